"""The second phase: every frame of the video against the known face (SR-VFA, section 2.2), as a stream."""

from dataclasses import dataclass, replace

import numpy as np

from ..fit.blas_threads import one_blas_thread
from ..fit.block_arrow import frame_covariances
from ..fit.rig import Rig
from ..fit.sequence import SequenceFit
from ..rotation import axis_angle_from_matrix
from .appearance import judge
from .problem import KnownFace, Observation, Problem


@dataclass(frozen=True)
class RefinedFrames:
    """Frames that change no more.

    fit: `SequenceFit` of T frames; refined: (T,) bool, whether the texture helped; light: (T, B) float32
    coefficients of the irradiance.
    """

    fit: SequenceFit
    refined: np.ndarray
    light: np.ndarray


class FaceFollower:
    """Refines a stream of frames of a known face: `push` frames, then `finish`.

    A window moves along: the frames not settled yet, tied by the smoothness of motion to the two before
    them, which stay. Memory does not grow with the stream.
    """

    def __init__(self, problem: Problem, known: KnownFace):
        self._problem, self._known = problem, known
        self._window: list[Observation] = []
        self._settled = 0

    def push(self, observation):
        """Take in the next `Observation`. Returns the `RefinedFrames` that this settles, or None."""
        self._window.append(observation)
        config = self._problem.config
        if len(self._window) - self._settled < config.stride + config.ahead:
            return None
        return self._settle(config.stride)

    def finish(self):
        """Settle what is left: `RefinedFrames`, or None if that is nothing."""
        left = len(self._window) - self._settled
        return self._settle(left) if left else None

    @one_blas_thread()
    def _settle(self, count):
        problem, seen = self._problem, self._window
        alignment = problem.alignment(seen, ordered=True, shared=False)
        held = np.arange(len(seen)) < self._settled
        # What alignment alone makes of the frames: where the texture does not help, this stays.
        start = problem.state(seen, self._known.identity, self._known.focal)
        plain = problem.minimise(alignment, start, held)
        state, frames, support, light = self._refine(alignment, plain, held)

        energy = problem.together(alignment, frames)
        before, after = (np.array(energy.photometric_costs(s)) for s in (plain, state))
        refined = (support >= problem.config.least_support) & (after < before)
        back = ~refined & ~held
        if back.any():
            frames = [f if r else None for f, r in zip(frames, refined, strict=True)]
            energy = problem.together(alignment, frames)
            restored = replace(
                state,
                rotation=np.where(back[:, None, None], plain.rotation, state.rotation),
                translation=np.where(back[:, None], plain.translation, state.translation),
                expression=np.where(back[:, None], plain.expression, state.expression),
            )
            state = problem.minimise(energy, restored, held)
        covariance = frame_covariances(energy.linearize(state)).astype(np.float32)

        done = slice(self._settled, self._settled + count)
        fit = self._fit_of(alignment, state, covariance, done)
        self._forget(state, count)
        return RefinedFrames(fit, refined[done], light[done])

    def _refine(self, alignment, state, held):
        """All rounds: the state and of each frame its `PhotometricFrame` or None, support and light."""
        problem, texture = self._problem, self._known.texture
        prior, weights = problem.surface.basis.prior, problem.config.photometric
        frames, support, light = [], np.zeros(0), np.zeros(0, np.float32)
        for halvings in problem.config.following:
            views = problem.views(self._window, state, halvings)
            first = [judge(v, texture, prior, weights) for v in views]
            # Once more, for what hides a part of the face has pulled the light.
            judged = [judge(v, texture, prior, weights, j.weight) for v, j in zip(views, first, strict=True)]
            made = [problem.photometric_frame(v, j, texture) for v, j in zip(views, judged, strict=True)]
            support = np.array([s for _, s in made])
            frames = [f if s >= problem.config.least_support else None for f, s in made]
            state = problem.minimise(problem.together(alignment, frames), state, held)
            light = np.stack([j.light for j in judged]).astype(np.float32)
        return state, frames, support, light

    def _fit_of(self, alignment, state, covariance, done):
        number = (alignment.root[done] > 0).sum((1, 2))
        inlier = alignment.inliers(state)[done].astype(np.float32)
        rig = Rig.single(self._problem.image_size, focal=self._known.focal)
        return SequenceFit(
            axis_angle_from_matrix(state.rotation[done]),
            state.translation[done],
            state.expression[done],
            state.identity,
            replace(rig, center=np.asarray(self._problem.center, float)[None]),
            np.zeros((0, 3)),
            np.zeros(0, int),
            number,
            inlier,
            inlier.sum((1, 2)) / np.maximum(number, 1),
            covariance[done],
            [],
            0,
            True,
        )

    def _forget(self, state, count):
        """Keep the poses found; of what is settled now, only the last two frames."""
        poses = zip(state.rotation, state.translation, state.expression, strict=True)
        self._settled += count
        drop = max(self._settled - 2, 0)
        self._window = [
            replace(o, rotation=r, translation=t, expression=e)
            for o, (r, t, e) in zip(self._window, poses, strict=True)
        ][drop:]
        self._settled -= drop
