"""steadyface on still images, each on its own, in the form in which clips are scored."""

import hashlib
import time
from pathlib import Path

import numpy as np

from ..errors import InputError
from .methods import METHODS
from .prediction import MARKUPS, Prediction
from .reference import common_points

#: Images that are aligned, and kept, together: an interruption costs no more.
PART = 100
#: Farthest middle of a found face from the true one's, in diagonals of the true landmarks' box.
SAME_FACE = 0.5


def align_stills(samples, folder, progress=None, tracker=None, surfaces=False):
    """The `Prediction` of steadyface for images, one frame each; of several faces the nearest to the truth.

    samples: list of `Sample`; without landmarks the surest face counts; folder: of the parts that are done;
    progress: called with the images done and their number; tracker: a `LiveTracker` instead of the default;
    surfaces: whether vertices are wanted. Raises InputError if an image cannot be read.
    """
    if tracker is None:
        from ..live import LiveTracker

        tracker = LiveTracker(max_faces=8)
    parts = []
    for first in range(0, len(samples), PART):
        part = samples[first : first + PART]
        path = Path(folder) / f"{first:06d}_{_digest(part)}{'_surfaces' if surfaces else ''}.npz"
        prediction = _current(path)
        if prediction is None:
            prediction = _aligned(part, tracker, surfaces)
            prediction.save(path)
        parts.append(prediction)
        if progress:
            progress(first + len(part), len(samples))
    return _joined(parts)


def _digest(samples):
    files = [
        (s.name, str(s.image_path), b"" if s.landmarks is None else s.landmarks.tobytes()) for s in samples
    ]
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def _current(path):
    newest = max(p.stat().st_mtime for p in (*METHODS["live"].sources(), Path(__file__)))
    if not path.is_file() or path.stat().st_mtime < newest:
        return None
    try:
        return Prediction.load(path)
    except InputError:
        return None


def _aligned(samples, tracker, surfaces):
    from ..pipeline import align
    from ..rotation import matrix_from_axis_angle

    n = len(samples)
    markups = [m for m in MARKUPS if m in tracker.model.embeddings]
    points = {m: np.full((n, MARKUPS[m], 3), np.nan, np.float32) for m in markups}
    rotation = np.full((n, 3, 3), np.nan)
    found, seconds = np.zeros(n, bool), np.zeros(n)
    vertices = triangles = None
    if surfaces:
        vertices = np.full((n, tracker.model.vertex_count, 3), np.nan, np.float32)
        triangles = tracker.model.triangles
    for i, sample in enumerate(samples):
        image = sample.image()
        start = time.perf_counter()
        tracks = align(image, tracker=tracker)
        seconds[i] = time.perf_counter() - start
        track = nearest(tracks, sample)
        if track is None:
            continue
        found[i] = True
        rotation[i] = matrix_from_axis_angle(track.rotation[0])
        for m in markups:
            points[m][i] = track.landmarks(m)[0]
        if vertices is not None:
            vertices[i] = track.vertices()[0]
    return Prediction(
        *("steadyface", found, points),
        vertices=vertices,
        triangles=triangles,
        metric=surfaces,
        rotation=rotation,
        seconds=seconds,
    )


def nearest(tracks, sample):
    """The track of one frame whose points' middle is closest to the true one; None if none is close.

    Without true points the first one, which is the detector's surest.
    """
    if sample.landmarks is None:
        return tracks[0] if tracks else None
    true = sample.landmarks[None, :, :2]
    known = common_points({sample.markup: true})
    true = (true if known is None else known[1])[0]
    true = true[np.isfinite(true).all(-1)]
    if not len(true) or not tracks:
        return None
    reach = SAME_FACE * np.linalg.norm(np.ptp(true, axis=0))
    away = [np.linalg.norm(t.landmarks("ibug68")[0, 17:, :2].mean(0) - true.mean(0)) for t in tracks]
    best = int(np.argmin(away))
    return tracks[best] if away[best] <= reach else None


def _joined(parts):
    def join(name):
        return np.concatenate([getattr(p, name) for p in parts])

    points = {m: np.concatenate([p.points[m] for p in parts]) for m in parts[0].points}
    surfaces = parts[0].vertices is not None
    return Prediction(
        *(parts[0].method, join("found"), points),
        vertices=join("vertices") if surfaces else None,
        triangles=parts[0].triangles,
        metric=surfaces,
        rotation=join("rotation"),
        seconds=join("seconds"),
    )
