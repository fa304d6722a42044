"""Agreement with MediaPipe Face Mesh, steadiness and delay of the track on short clips of one face."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..align.methods import ALIGNMENT_METHODS, DEFAULT, check_method
from ..errors import InputError
from ..face_model.mediapipe import INNER_51
from .metrics import jitter, lag, nme
from .report import Section, Table, Target

#: Jitter over MediaPipe's that each quality has to reach: of the median clip, and of the worst.
JITTER = {"live": (0.7, 1.0), "standard": (0.4, 1.0), "studio": (0.4, 1.0)}
# Of `INNER_51`, that is iBUG index less 17: outer eye corners, pairs of upper and lower lid, and of lips.
_FIRST = 17
_CORNERS = np.array([36, 45]) - _FIRST
_LIDS = np.array([[37, 41], [38, 40], [43, 47], [44, 46]]) - _FIRST
_LIPS = np.array([[62, 66]]) - _FIRST


@dataclass(frozen=True)
class ClipResult:
    """What is measured of one clip; lengths in percent of MediaPipe's inter-ocular distance.

    frames: decoded; tracked: percent of them where the face was followed; distance: mean distance of the
    51 points to MediaPipe's; eyes, mouth: correlation of opening with MediaPipe's; eyes_range,
    mouth_range: how much MediaPipe's opening varies (standard deviation, percent of inter-ocular), for a
    correlation over no movement means nothing; jitter, jitter_mediapipe: by the same code on the same
    frames and points; jitter_ratio; jitter_unfiltered: of the live network's answers before any filter; lag:
    frames behind the unfiltered track; motion: mean frame-to-frame motion of MediaPipe's points, percent, for
    fast motion alone raises jitter.
    """

    clip: str
    frames: int
    tracked: float
    distance: float
    eyes: float
    mouth: float
    eyes_range: float
    mouth_range: float
    jitter: float
    jitter_mediapipe: float
    jitter_ratio: float
    jitter_unfiltered: float
    lag: float
    motion: float


def interocular(points):
    """Distance of the outer eye corners of 51 inner points: (T, 51, 2) to (T,) px."""
    ends = points[:, _CORNERS]
    return np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)


def openings(points):
    """Opening of the eyes (mean of both) and of the mouth over inter-ocular: (T, 51, 2) to two (T,)."""
    length = interocular(points)

    def mean_gap(pairs):
        return np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1).mean(1) / length

    return mean_gap(_LIDS), mean_gap(_LIPS)


def correlation(a, b):
    """Pearson's correlation of two series (T,) of openings; NaN where one varies by less than 1e-6."""
    if a.std() < 1e-6 or b.std() < 1e-6:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def compare(clip, points, reference, unfiltered):
    """Measure one track against MediaPipe's and against the same tracker without its filter.

    clip: name; points, reference, unfiltered: (T, 51, 2) px, NaN where a frame was not tracked. Returns
    `ClipResult`; its figures are NaN if no frame was tracked.
    """
    followed = np.isfinite(points).all((1, 2))
    both = followed & np.isfinite(reference).all((1, 2))
    length = interocular(reference)
    nan = float("nan")
    here, there = points[both], reference[both]
    eyes, mouth = openings(here), openings(there)
    # Both trackers' jitter over the same windows of frames, with the same normaliser.
    masked = np.where(both[:, None, None], reference, np.nan)
    ours = jitter(np.where(both[:, None, None], points, np.nan), length)
    plain = jitter(np.where(both[:, None, None], unfiltered, np.nan), length)
    theirs = jitter(masked, length)
    speed = np.linalg.norm(np.diff(reference, axis=0), axis=-1).mean(1) / length[1:]
    return ClipResult(
        clip=clip,
        frames=len(points),
        tracked=100 * float(followed.mean()),
        distance=nme(here, there, length[both]) if both.any() else nan,
        eyes=correlation(eyes[0], mouth[0]) if both.any() else nan,
        mouth=correlation(eyes[1], mouth[1]) if both.any() else nan,
        eyes_range=100 * float(mouth[0].std()) if both.any() else nan,
        mouth_range=100 * float(mouth[1].std()) if both.any() else nan,
        jitter=ours,
        jitter_mediapipe=theirs,
        jitter_ratio=ours / theirs if theirs > 0 else nan,
        jitter_unfiltered=plain,
        lag=lag(points, unfiltered),
        motion=100 * float(np.nanmean(speed)) if np.isfinite(speed).any() else nan,
    )


def load_reference(folder):
    """MediaPipe's inner 51 points of every clip of a folder: name to (T, 51, 2), pixel centres at integers.

    folder: holds mediapipe478.npz, (T, 478, 3) per clip in pixels from the image's corner. Raises
    InputError if it is missing.
    """
    path = Path(folder) / "mediapipe478.npz"
    if not path.is_file():
        raise InputError(
            f"cannot read {path}: the folder of clips must hold MediaPipe's landmarks under that name"
        )
    with np.load(path, allow_pickle=False) as z:
        # MediaPipe's image ends at the outer edges of its border pixels, ours at their centres.
        return {name: z[name][:, INNER_51, :2].astype(float) - 0.5 for name in sorted(z.files)}


def main_track(tracks, frames):
    """The inner 51 points of the track that follows its face longest: (frames, 51, 2) px, NaN elsewhere."""
    points = np.full((frames, len(INNER_51), 2), np.nan)
    if tracks:
        track = max(tracks, key=lambda t: len(t.frame_index))
        known = np.asarray(track.frame_index) < frames
        points[track.frame_index[known]] = track.landmarks("ibug68")[known, _FIRST:, :2]
    return points


def _track(path, quality, **options):
    from ..errors import NoFaceError
    from ..pipeline import track

    try:
        # A clip that ends early is known: the frames that MediaPipe saw are those that decode.
        return track(path, quality, note=lambda _: None, **options)
    except NoFaceError:
        return []


def evaluate_clips(folder, quality="live", track=_track, method=DEFAULT):
    """Measure every clip of a folder: the `Section` "clips", with what is not the default in its name.

    folder: `<clip>.mp4` files with mediapipe478.npz; quality: a key of `JITTER`; track: path and quality to
    list of `Track`, takes `filter=None` to leave the live network's output as it is, and `method`, a key of
    `ALIGNMENT_METHODS`. Raises InputError if the landmarks are missing or a name is unknown.
    """
    check_method(method)
    if quality not in JITTER:
        raise InputError(f"unknown quality {quality!r}: known are {', '.join(JITTER)}")
    folder = Path(folder)
    results = []
    for clip, reference in load_reference(folder).items():
        path = folder / f"{clip}.mp4"
        ours = main_track(track(path, quality, method=method), len(reference))
        unfiltered = main_track(track(path, "live", method=method, filter=None), len(reference))
        results.append(compare(clip, ours, reference, unfiltered))
    return section(results, quality, method)


def _before_any_filter(median):
    """The network's own steadiness: its jitter without a filter against MediaPipe's with one."""
    return Target(
        f"jitter of the network before any filter, median of clips (MediaPipe's, filtered, is "
        f"{median['jitter_mediapipe']:.3f})",
        median["jitter_unfiltered"],
        "<=",
        median["jitter_mediapipe"],
        "%",
    )


def section(results, quality="live", method=DEFAULT):
    """The `Section` of `evaluate_clips` of a list of `ClipResult`; goals are set for the default method."""
    median_jitter, worst_jitter = JITTER[quality]

    def column(name):
        return np.array([getattr(r, name) for r in results], float)

    median = {name: float(np.median(column(name))) for name in ClipResult.__annotations__ if name != "clip"}
    columns = {
        "clip": "clip",
        "frames": "frames",
        "tracked": "tracked %",
        "distance": "distance %",
        "eyes": "eyes r",
        "mouth": "mouth r",
        "eyes_range": "eyes vary %",
        "mouth_range": "mouth varies %",
        "jitter": "jitter %",
        "jitter_mediapipe": "MediaPipe's jitter %",
        "jitter_ratio": "ratio",
        "jitter_unfiltered": "unfiltered live jitter %",
        "lag": "lag, frames",
        "motion": "motion %/frame",
    }
    rows = [tuple(getattr(r, name) for name in columns) for r in results]
    rows.append(("median", *(median[name] for name in columns if name != "clip")))
    other = {"quality": quality} if quality != "live" else {}
    other |= {"method": method} if method != DEFAULT else {}
    network = "" if method == DEFAULT else f", {ALIGNMENT_METHODS[method].title}"
    return Section(
        name="_".join(["clips", *(v.replace("-", "_") for v in other.values())]),
        title=f"Clips of one face, {quality} quality{network}, against MediaPipe Face Mesh",
        command=" ".join(["steadyface benchmark clips", *(f"--{k} {v}" for k, v in other.items())]),
        targets=()
        if method != DEFAULT
        else (
            Target(
                "distance to MediaPipe, inner 51 points, median of clips", median["distance"], "<=", 4.0, "%"
            ),
            Target("the same, worst clip", float(column("distance").max()), "<=", 7.0, "%"),
            Target("correlation of eye opening, median of clips", median["eyes"], ">=", 0.8),
            Target("correlation of mouth opening, median of clips", median["mouth"], ">=", 0.9),
            Target("frames tracked, worst clip", float(column("tracked").min()), ">=", 99.0, "%"),
            Target(
                "jitter over MediaPipe's, worst clip", float(column("jitter_ratio").max()), "<=", worst_jitter
            ),
            Target("jitter over MediaPipe's, median of clips", median["jitter_ratio"], "<=", median_jitter),
            Target(
                "lag behind the unfiltered track, worst clip", float(column("lag").max()), "<=", 1.0, "frames"
            ),
            *([_before_any_filter(median)] if quality == "live" else []),
        ),
        tables=(
            Table(
                "Lengths are percent of MediaPipe's inter-ocular distance.",
                tuple(columns.values()),
                tuple(rows),
            ),
        ),
        notes=(
            "MediaPipe's landmarks come from version 0.10.21 in tracking mode. The distance is one of "
            "agreement, not of truth: the two mark-ups differ by a percent or so in places.",
            "Jitter counts motion that a quadratic over five frames cannot follow, so on a clip of sudden "
            "motion (last column) the ratio of two trackers that both follow it tends to one.",
        ),
    )
