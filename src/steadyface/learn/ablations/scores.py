"""How well and how steadily an aligner follows faces: against SteadyBench's truth and beside MediaPipe."""

from functools import cache

import numpy as np

from ...align.regressor import ASSET as REGRESSOR
from ...evaluate.clips import interocular
from ...evaluate.datasets.steadybench import read_steadybench
from ...evaluate.datasets.videos import read_videos
from ...evaluate.metrics import auc_fr, jitter, lag, nme, nme_per_frame, nmf, normalizer_of, stability
from ...face_model.mediapipe import INNER_51
from .aligner import ParameterAligner
from .decoded import frames_of
from .follow import Leader, follow

#: Errors above it, percent of the box' diagonal, are failures: the local motion paper's two thresholds.
THRESHOLDS = (8, 4)


def score(aligner, window, steadybench_root, clips_root, detector=None, frames=None, led=False):
    """Figures of an aligner on both sets of videos: name to number.

    aligner, window, detector: as `follow` takes them; steadybench_root: a benchmark's folder, None to leave
    it out; clips_root: a folder as `read_videos` reads it, None to leave it out; frames: as `frames_of` takes
    its folder; led: whether the shipped network crops, as steadily for all, instead of the aligner itself,
    which may not have learned enough to follow a face. See `score_steadybench` and `score_clips` for the
    figures.
    """
    figures = {}
    if steadybench_root is not None:
        clips = list(read_steadybench(steadybench_root))
        look = _leader(steadybench_root).led(aligner) if led else aligner
        figures |= score_steadybench(look, window, clips, detector, frames)
    if clips_root is not None:
        clips = list(read_videos(clips_root))
        look = _leader(clips_root).led(aligner) if led else aligner
        figures |= score_clips(look, window, clips, detector, frames)
    return figures


@cache
def _leader(root):
    return Leader(ParameterAligner(REGRESSOR))


def score_steadybench(aligner, window, clips, detector=None, frames=None):
    """Figures against the truth of a list of `Clip`s with "ibug68" landmarks.

    Over the 68 points of all frames, hidden ones too: nme (percent, by bbox_sqrt), nme_A, nme_B, nme_C by
    category, nme_interocular; auc_8, fr_8, auc_4, fr_4 of the errors by the box' diagonal, percent, a frame
    without points being a failure, and auc_8_A, fr_8_A and so on by category; means of clips of stability
    (percent) and nmf; medians of clips of jitter (percent of inter-ocular) and lag (frames behind the
    truth); jitter_truth; losses, how often the detector was asked again; found, percent of the frames.
    """
    losses, lost = _counter()
    tracks = follow([frames_of(c, frames) for c in clips], aligner, window, detector, lost)
    rows, diagonal = [], []
    for clip, points in zip(clips, tracks, strict=True):
        assert clip.landmarks is not None
        truth = clip.landmarks[..., :2]
        length = normalizer_of(truth, "interocular")
        found = _found(points)
        known = np.where(found[:, None, None], truth, np.nan)
        errors = nme_per_frame(points, known, "bbox_diagonal")
        diagonal.append(np.where(found, errors, np.inf))
        rows.append(
            {
                "category": clip.attributes["category"],
                "nme": nme(points, known, "bbox_sqrt"),
                "nme_interocular": nme(points, known, "interocular"),
                "stability": stability(points, known),
                "nmf": nmf(points, known),
                "jitter": jitter(points, length),
                "jitter_truth": jitter(truth, length),
                "lag": lag(points, truth),
                "found": 100 * float(found.mean()),
            }
        )
    figures = {k: _mean(r[k] for r in rows) for k in ("nme", "nme_interocular", "stability", "nmf", "found")}
    for category in ("A", "B", "C"):
        figures[f"nme_{category}"] = _mean(r["nme"] for r in rows if r["category"] == category)
    figures |= {k: _median(r[k] for r in rows) for k in ("jitter", "jitter_truth", "lag")}
    for threshold in THRESHOLDS:
        for category in ("", "A", "B", "C"):
            errors = [e for e, r in zip(diagonal, rows, strict=True) if category in ("", r["category"])]
            name = f"{threshold}_{category}".rstrip("_")
            if errors:
                figures[f"auc_{name}"], figures[f"fr_{name}"] = auc_fr(np.concatenate(errors), threshold)
    return figures | {"losses": losses[0]}


def score_clips(aligner, window, clips, detector=None, frames=None):
    """Figures beside MediaPipe's points of a list of `Clip`s with "mediapipe478" landmarks: medians of clips.

    On the inner 51 points, percent of MediaPipe's inter-ocular distance: clips_distance, clips_jitter,
    clips_jitter_mediapipe; clips_lag, frames behind MediaPipe's points; clips_losses, in all.
    """
    losses, lost = _counter()
    tracks = follow([frames_of(c, frames) for c in clips], aligner, window, detector, lost)
    rows = []
    for clip, track in zip(clips, tracks, strict=True):
        assert clip.landmarks is not None
        reference, points = clip.landmarks[:, INNER_51, :2], track[:, 17:]
        length = interocular(reference)
        found = _found(points)
        known = np.where(found[:, None, None], reference, np.nan)
        rows.append(
            {
                "clips_distance": nme(points, known, length),
                "clips_jitter": jitter(points, length),
                "clips_jitter_mediapipe": jitter(known, length),
                "clips_lag": lag(points, known),
            }
        )
    return {k: _median(r[k] for r in rows) for k in rows[0]} | {"clips_losses": losses[0]}


def _found(points):
    return np.all(np.isfinite(points), axis=(1, 2))


def _counter():
    count = [0]

    def lost(*_):
        count[0] += 1

    return count, lost


def _mean(values):
    return _over(np.nanmean, values)


def _median(values):
    return _over(np.nanmedian, values)


def _over(function, values):
    values = list(values)
    if not np.isfinite(values).any():
        return float("nan")
    return float(function(values))
