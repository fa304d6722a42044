"""The study from nothing to its section: film the people who are missing, look, fit in every way, compare."""

import shlex
from collections.abc import Callable
from concurrent.futures import as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial

import cv2
import numpy as np

from ...errors import InputError
from ...face_model.morphable import MorphableModel, load_face_model
from ...standard import StandardSettings
from ..speed import OneCore, cores
from ..steadybench.cast import Cast, build_cast
from ..surface_scores import spread_frames
from .errors import FaceErrors, score_faces
from .filming import Filmed, FilmPlan, film_person, read_person
from .fits import Setting, fit_setting, said_by_network, settings
from .observe import COUNT, LivePoints, Observed, live_align, observe, with_true_points
from .rig import true_rig
from .tables import NETWORK, section_of

#: Where the fitted points come from: the dense alignment network, the live network, or the truth with noise.
SOURCES = ("dense", "live", "exact")
#: Noise of true points, px.
NOISE_PX = 1.0

Key = Setting | str


@dataclass(frozen=True)
class StudyPlan:
    """What is compared on which films. points: of `SOURCES`; standard: settings whose weights all have."""

    film: FilmPlan = field(default_factory=FilmPlan)
    points: str = "dense"
    standard: StandardSettings = field(default_factory=StandardSettings)

    def __post_init__(self):
        if self.points not in SOURCES:
            raise InputError(f"unknown points {self.points!r}: give one of {', '.join(SOURCES)}")


def points_of(source, model):
    """What says where points are. Raises InputError if the dense alignment network is missing."""
    if source != "dense":
        return LivePoints(model)
    from ...align.dense_points import DensePoints
    from ...align.uv_flow import DenseAligner

    return DensePoints(model, DenseAligner(model), COUNT)


def see(plan: StudyPlan, filmed: Filmed, person, model: MorphableModel, points=None, align=None):
    """The `Observed` of one person. points, align: as `observe` takes them, made from the plan if None."""
    pictures = [partial(filmed.images, c) for c in range(len(filmed.truths))]
    points = points or points_of(plan.points, model)
    seen = observe(pictures, align or live_align(), points, model)
    if plan.points == "exact":
        rng = np.random.default_rng([plan.film.seed, person, 4])
        seen = with_true_points(seen, filmed.truths, NOISE_PX, rng)
    return seen


def compare_fits(plan: StudyPlan, filmed: Filmed, seen: Observed, model: MorphableModel):
    """Errors of one person by every setting, and without any fit: dict of `FaceErrors`, None where nothing
    was found."""
    frames = spread_frames(np.ones(len(seen.points), bool))
    rig, fps = true_rig(filmed.scripts), filmed.scripts[0].fps
    out: dict[Key, FaceErrors | None] = {}
    for name, whole in NETWORK.items():
        out[name] = score_faces(said_by_network(seen, model, frames, whole), filmed, model)
    for setting in settings(len(rig)):
        faces = fit_setting(setting, seen, model, rig, fps, frames, plan.standard)
        out[setting] = score_faces(faces, filmed, model)
    return out


def study_person(plan: StudyPlan, person, cast: Cast, root):
    """Film one person if need be, and compare: as `compare_fits`."""
    film_person(plan.film, person, cast, root)
    filmed = read_person(plan.film, person, cast, root)
    model = load_face_model()
    return compare_fits(plan, filmed, see(plan, filmed, person, model), model)


def run_study(
    root, plan: StudyPlan, portraits=None, processes=2, progress: Callable[[int, int], None] | None = None
):
    """The `Section` of the study; what was filmed is kept in the folder `root`.

    portraits: cache of held-out portraits whose skin the heads wear, None for the averaged texture;
    processes: people at the same time, one core each; progress: called with the people done and their
    number. Raises InputError if a portrait is not held out or the network is missing, OutputError if `root`
    cannot be written.
    """
    # Whatever is missing shows before the work.
    points_of(plan.points, load_face_model())
    textures = _cast(portraits).name
    people = range(plan.film.people)
    count = min(processes, len(people), len(cores()))
    with ExitStack() as stack:
        alone = [stack.enter_context(OneCore(k)) for k in range(count)]
        futures = {alone[k % count].submit(_study_here, plan, k, portraits, root): k for k in people}
        try:
            for number, future in enumerate(as_completed(futures)):
                future.result()
                if progress:
                    progress(number + 1, len(people))
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    command = f"steadyface benchmark views --points {plan.points} --people {plan.film.people}"
    if portraits is not None:
        command += f" --portraits {shlex.quote(str(portraits))}"
    return section_of([future.result() for future in futures], plan, textures, command)


@cache
def _cast(portraits):
    return build_cast(portraits)


def _study_here(plan, person, portraits, root):
    cv2.setNumThreads(1)
    return study_person(plan, person, _cast(portraits), root)
