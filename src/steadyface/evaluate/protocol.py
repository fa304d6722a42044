"""Running methods over the clips or images of a dataset, and scoring what they say; what is done is kept.

In the folder of a run: predictions/METHOD/CLIP.npz, scores/METHOD/CLIP.npz, and videos/CLIP.mkv of clips
that are folders of images. A second run does only what is missing or out of date.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..output import make_folder, replacing
from .datasets.sample import Clip
from .methods import METHODS, given_predictions, run_method
from .prediction import Prediction
from .reference import Reference
from .scan_scores import score_scans
from .scores import Scores, score
from .stills import align_stills
from .tables import STILLS, Result

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Contender:
    """A method that takes part: one of `METHODS`, run by its own python or by `python`; or, where `folder` is
    given, the predictions that any tool has left there."""

    name: str
    python: Path | None = None
    folder: Path | None = None

    def __post_init__(self):
        if self.folder is None and self.name not in METHODS:
            raise InputError(
                f"unknown method {self.name!r}: know {', '.join(METHODS)}; of others give the predictions"
            )


def evaluate(items, contenders, out, *, progress: Progress | None = None, run=run_method):
    """Run and score methods on `Clip`s or `Sample`s: list of `Result`, method by method.

    items: of one reader; contenders: list of `Contender`; out: folder of the run; run: as `run_method`. Still
    images are aligned by steadyface itself, or come from folders of predictions with one file "images".
    Raises InputError if there are no items or methods, or a prediction does not fit its clip.
    """
    items = list(items)
    if not items:
        raise InputError("the dataset is empty: there is nothing to evaluate")
    if len({c.name for c in contenders}) < max(len(contenders), 1):
        raise InputError("give one method at least, and every method once")
    out = make_folder(out)
    tell = progress or (lambda *_: None)
    results = []
    if isinstance(items[0], Clip):
        videos = _videos(items, out, tell)
        for contender in contenders:
            paths = _predict(contender, videos, out, tell, run)
            for i, (clip, path) in enumerate(zip(items, paths, strict=True)):
                results.append(_result(contender.name, clip, path, out))
                tell(f"scoring {contender.name}", i + 1, len(items))
        return results
    scans = _has_scans(items[0])
    reference = None if scans else Reference.of_samples(items)
    for contender in contenders:
        if contender.folder is not None:
            (path,) = given_predictions(contender.folder, [STILLS])
            prediction = Prediction.load(path)
        elif contender.name == "live":
            folder = make_folder(out / "predictions" / contender.name)
            prediction = align_stills(items, folder, lambda d, n: tell("aligning", d, n), surfaces=scans)
        else:
            raise InputError(
                f"{contender.name} follows videos: still images are aligned by 'live', or read from a folder"
            )
        if reference is None:
            meshes, calibrations = [s.mesh for s in items], [s.calibration for s in items]
            scores = score_scans(prediction, meshes, calibrations, load_face_model(), moving=False)
        else:
            scores = score(prediction, reference)
        results.append(Result(contender.name, STILLS, scores, {}, prediction.method))
    return results


def _has_scans(item):
    # Landmarks, where there are any, say more than a scan.
    return item.landmarks is None and item.mesh is not None and item.calibration is not None


def _file_name(clip):
    return clip.name.replace("/", "_").replace("\\", "_")


def _videos(clips, out, tell):
    # Name to video file, unique names being the readers' promise.
    videos = {}
    for i, clip in enumerate(clips):
        name = _file_name(clip)
        if name in videos:
            raise InputError(f"two clips of {clip.dataset} are called {name!r}")
        videos[name] = clip.source if isinstance(clip.source, Path) else _as_video(clip, out, name)
        tell("reading clips", i + 1, len(clips))
    return videos


def _as_video(clip, out, name):
    """The images of a clip as a video without loss, which every tool can read: its path."""
    import av

    path = make_folder(out / "videos") / f"{name}.mkv"
    newest = max(p.stat().st_mtime for p in clip.source)
    if path.is_file() and path.stat().st_mtime >= newest:
        return path
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        stream = None
        for image in clip.frames():
            if stream is None:
                stream = container.add_stream("ffv1", rate=Fraction(clip.fps or 25).limit_denominator(1001))
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "bgr0"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def _predict(contender, videos, out, tell, run):
    if contender.folder is not None:
        return given_predictions(contender.folder, videos)

    def step(done, total):
        tell(f"running {contender.name}", done, total)

    folder = out / "predictions" / contender.name
    return run(contender.name, videos, folder, python=contender.python, progress=step)


def first_frames(prediction, count):
    """A prediction of the first frames of a longer one: videos may go on after their annotation ends."""
    if len(prediction.found) <= count:
        return prediction
    per_frame = ("found", "vertices", "vertex_pixels", "rotation", "expression", "seconds")
    cut = {n: getattr(prediction, n)[:count] for n in per_frame if getattr(prediction, n) is not None}
    return replace(prediction, points={m: p[:count] for m, p in prediction.points.items()}, **cut)


def _result(method, clip, path, out):
    """The `Result` of a prediction: read if it was scored before by the same code from the same data."""
    attributes = {k: str(v) for k, v in clip.attributes.items() if isinstance(v, (str, int, float))}
    stored = make_folder(out / "scores" / method) / f"{_file_name(clip)}.npz"
    key = _key(clip, path)
    scores = _load_scores(stored, key)
    if scores is None:
        prediction = first_frames(Prediction.load(path), len(clip))
        if _has_scans(clip):
            meshes = [partial(clip.mesh, i) for i in range(len(clip))]
            calibrations = [clip.calibration] * len(clip)
            scores = score_scans(prediction, meshes, calibrations, load_face_model(), moving=True)
        else:
            scores = score(prediction, Reference.of_clip(clip))
        _save_scores(scores, stored, key)
    with np.load(path, allow_pickle=False) as z:
        title = str(z["method"])
    return Result(method, clip.name, scores, attributes, title)


def _key(clip, path):
    """A digest of all that scores depend on: the prediction, the truth and the code."""
    digest = hashlib.sha256(path.read_bytes())
    if clip.landmarks is not None:
        digest.update(np.ascontiguousarray(clip.landmarks).tobytes())
    elif clip.mesh is not None:
        digest.update(np.ascontiguousarray(clip.mesh(0).vertices).tobytes())
    truth = clip.attributes.get("truth")
    if truth is not None:
        digest.update(np.packbits(truth.visible).tobytes())
        for f in fields(truth.script):
            if f.name != "model":
                digest.update(np.ascontiguousarray(getattr(truth.script, f.name)).tobytes())
        digest.update(truth.script.model.name.encode())
    here = Path(__file__).parent
    for source in sorted((*here.glob("*scores.py"), here / "metrics.py", here / "reference.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _save_scores(scores, path, key):
    meta = json.dumps({"key": key, "values": dict(scores.values)})
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, meta=np.array(meta), **scores.frames)


def _load_scores(path, key):
    """The `Scores` in a file, None if there are none or they were made from something else."""
    try:
        with np.load(path, allow_pickle=False) as z:
            meta = json.loads(str(z["meta"]))
            if meta["key"] != key:
                return None
            return Scores(meta["values"], {name: z[name] for name in z.files if name != "meta"})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def limited(items, count):
    """The first items of a dataset, all if count is None. Raises InputError for less than one."""
    if count is not None and count < 1:
        raise InputError(f"the limit must be at least 1, got {count}")
    return list(islice(items, count))
