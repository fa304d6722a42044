"""SR-VFA's ablation (table 2): what is gained by optimising, by one identity, and by the face's texture."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ...errors import NoFaceError
from ...pipeline import refine, track
from ...studio import StudioSettings
from ..clips import main_track
from ..metrics import jitter, nme, nmf
from ..reference import Reference, common_points
from ..report import Section, Table, Target
from .likeness import likeness

#: The steps of table 2, by name: what of `RefineConfig` differs from the studio quality's.
STEPS = {
    "nothing": {"iterations": 0, "own_identity": False, "own_texture": False},
    "+ pose and expression": {"own_identity": False, "own_texture": False},
    "+ one identity": {"own_texture": False},
    "+ texture": {},
}
#: What the last step is to reach inside the face.
LEAST_SSIM = 0.93


class RememberedAligner:
    """A dense aligner that is asked once about each face in each frame, though every step asks anew."""

    def __init__(self, aligner):
        self.vertices, self.shape = aligner.vertices, aligner.shape
        self._aligner, self._known = aligner, {}

    def __call__(self, image, guess, crop):
        key = hash((np.ascontiguousarray(image[::4, ::4]).tobytes(), np.asarray(guess).tobytes()))
        if key not in self._known:
            self._known[key] = self._aligner(image, guess, crop)
        return self._known[key]


def refine_by_steps(video, start, aligner, settings=None):
    """The `Track` of every step of `STEPS`: (name, track) one by one, all from the same start.

    video: path; start: `Track` of it; aligner: a `DenseAligner` or a stand-in; settings: `StudioSettings`.
    """
    settings, aligner = settings or StudioSettings(), RememberedAligner(aligner)
    for name, changes in STEPS.items():
        of_step = replace(settings, refine=replace(settings.refine, **changes))
        yield name, refine(video, start, aligner=aligner, settings=of_step)[0]


def study_clip(clip, every=10, *, settings=None, tracker=None, aligner=None):
    """Figures of every step on a `Clip`: step to name of `measure` to number, empty if no face is found.

    The steps start where the live quality's network sees the face, without a filter. every: frames of which
    one is drawn for SSIM; settings, tracker, aligner: as of `pipeline.track`, the embedded ones by default.
    """
    try:
        start = track(clip.source, "live", filter=None, note=lambda _: None, max_faces=1, tracker=tracker)[0]
    except NoFaceError:
        return {}
    if aligner is None:
        from ...align.uv_flow import DenseAligner

        aligner = DenseAligner(start.model)
    steps = refine_by_steps(clip.source, start, aligner, settings)
    return {name: measure(clip, found, every) for name, found in steps}


def measure(clip, found, every=10):
    """Figures of a studio `Track` of a `Clip`: found, percent of the frames; nme and nmf on the 51 points,
    against MediaPipe's where there is no truth; jitter; ssim inside the face, ssim_seen without what hides
    it; refined, percent of the frames found."""
    reference, truth = Reference.of_clip(clip), clip.attributes.get("truth")
    known = common_points(reference.landmarks)
    assert known is not None
    points = main_track([found], len(clip))
    followed = np.asarray(np.isfinite(points).all((1, 2)))
    there = np.where(followed[:, None, None], known[1], np.nan)
    length, box = reference.lengths["interocular"], reference.lengths["bbox_sqrt"]
    whole, seen = likeness(clip.source, found, every, None if truth is None else truth.visible)
    return {
        "found": 100 * float(followed.mean()),
        "nme": nme(points, there, length),
        "nmf": nmf(points, there, box**2),
        "jitter": jitter(points, length),
        "ssim": whole,
        "ssim_seen": seen,
        "refined": 100 * float(np.mean(found.refined)),
    }


def ablation_section(results, exact, every, command):
    """The `Section` of all clips.

    results: clip to (category, figures as `study_clip` gives them); exact: whether the clips' truth is known,
    as SteadyBench's is, or only what MediaPipe says; every: as of `study_clip`.
    """
    columns = {"nme": "NME %", "nmf": "NMF", "jitter": "jitter %", "ssim": "SSIM"}
    columns |= {"ssim_seen": "SSIM of what is seen"} if exact else {}
    if not exact:
        columns["nme"] = "distance to MediaPipe %"
        del columns["nmf"]
    columns["refined"] = "frames refined %"
    figures = {name: f for name, (_, f) in results.items() if f}
    where = "SteadyBench" if exact else "clips"
    groups = sorted({category for category, _ in results.values()}) if exact else list(figures)
    inside = {g: {n: f for n, f in figures.items() if g in (n, results[n][0])} for g in groups}
    steps = tuple((step, *(_mean(figures, step, n) for n in columns)) for step in STEPS)
    each = tuple(
        (group, step, *(_mean(inside[group], step, n) for n in columns)) for group in groups for step in STEPS
    )
    lost = sorted(set(results) - set(figures))
    return Section(
        name="refine_ablation" if exact else "refine_clips",
        title=f"Steps of the self-refinement, {where}",
        command=command,
        targets=(
            *_order(figures, exact, where),
            Target(
                f"SSIM inside the face after the last step, {where}",
                _mean(figures, list(STEPS)[-1], "ssim"),
                ">=",
                LEAST_SSIM,
            ),
        ),
        tables=(
            Table(f"Means of {len(figures)} clips.", ("step", *columns.values()), steps),
            Table(
                f"By {'category' if exact else 'clip'}.",
                ("category" if exact else "clip", "step", *columns.values()),
                each,
            ),
        ),
        notes=(
            "The steps of SR-VFA's table 2. Each starts where the live quality's network sees the face, "
            "unfiltered; before the last step frames are compared with the texture of an average face, "
            f"and drawn with it. SSIM is inside the drawn face, of one frame in {every}"
            + (", once without the pixels that something hides." if exact else "."),
            *([f"No face was found in {', '.join(lost)}."] if lost else ()),
        ),
    )


def _order(figures, exact, where):
    """`Target`s that every step is better than the one before in all that counts."""
    names = list(STEPS)
    for before, after in pairwise(names):
        ratios = {"1 - SSIM": (1 - _mean(figures, after, "ssim")) / (1 - _mean(figures, before, "ssim"))}
        for name, title in (("nme", "NME"), ("nmf", "NMF")) if exact else (("jitter", "jitter"),):
            ratios[title] = _mean(figures, after, name) / _mean(figures, before, name)
        # A figure that is missing is no step forward.
        worst = float(np.max(list(ratios.values())))
        yield Target(
            f"{where}, {after!r} over the step before: largest ratio of {', '.join(ratios)}", worst, "<", 1.0
        )


def _mean(figures, step, name):
    values = [f[step][name] for f in figures.values()]
    return float(np.mean(values)) if values else float("nan")
