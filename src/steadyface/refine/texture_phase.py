"""The first phase: texture, identity and focal length from some frames of the video (SR-VFA, section 2.1)."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..fit.blas_threads import one_blas_thread
from ..fit.sequence_terms import SequenceState
from .appearance import learn_texture
from .average import average_texture, judge_all
from .problem import KnownFace, Problem


@dataclass(frozen=True)
class LearnedFace:
    """known: `KnownFace`; state: `SequenceState` of the n frames it was learned from; light: (n, B),
    coefficients of their irradiance."""

    known: KnownFace
    state: SequenceState
    light: np.ndarray


@one_blas_thread()
def learn_face(problem: Problem, observations, identity, focal, *, align_first=False):
    """Find what the frames of a video share, together with the poses of some of them: `LearnedFace`.

    observations: list of `Observation`, frames that need not follow each other; identity: (K,) and focal: px,
    the guesses; align_first: whether their poses are too rough to sample a texture at, and are brought to the
    dense points before. In turn the texture is sampled where the face is thought to be, in closed form, and
    poses, expressions, identity and focal length take Gauss-Newton steps towards it.
    """
    prior, weights = problem.surface.basis.prior, problem.config.photometric
    state = problem.state(observations, identity, focal)
    alignment = problem.alignment(observations, ordered=False, shared=problem.config.own_identity)
    if align_first:
        # A texture sampled where the face is not would hold it there.
        state = problem.minimise(alignment, state)
    learn = learn_texture
    if not problem.config.own_texture:
        learn = partial(judge_all, average_texture(problem.surface))
    for halvings in problem.config.learning:
        views = problem.views(observations, state, halvings)
        texture, judged = learn(views, prior, weights)
        frames = [problem.photometric_frame(v, j, texture)[0] for v, j in zip(views, judged, strict=True)]
        state = problem.minimise(problem.together(alignment, frames), state)
    texture, judged = learn(problem.views(observations, state, 0), prior, weights)
    return LearnedFace(
        KnownFace(texture, state.identity, float(np.exp(state.log_focal[0]))),
        state,
        np.stack([j.light for j in judged]).astype(np.float32),
    )
