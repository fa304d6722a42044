"""2D points in numpy's files: plain arrays, a tracker's prediction, or a `Track`."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..face_model.pickle_reader import read_array, read_npz
from ..track import FORMAT, Track
from .image_points import ImagePoints, numbers

_KEYS = ("points", "sigma", "frame_index", "time_s", "fps", "image_size", "names", "markup")
_PREFIX = "points_"


def read_npz_points(path, markup=None):
    """The cameras of an .npz or .npy file: list of `ImagePoints`.

    An .npz holds points (T, L, 2) or (T, L, 3), or (T, C, L, 2) of C cameras, and, if they are known,
    sigma (T, L) or (T, C, L), frame_index and time_s (T,), fps, image_size (2,) or (C, 2), names (L,) and
    markup; or it is a prediction (found and points_MARKUP: `evaluate.prediction`), or a `Track`, for which
    markup chooses the points; an .npy holds the points alone. Raises InputError, which names the file and the
    key, if it is broken, holds pickled objects or something else.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            return _cameras({"points": read_array(path)})
        arrays = read_npz(path)
        if str(arrays.get("format", "")) == FORMAT:
            return [_of_track(path, markup)]
        if "found" in arrays:
            return [_of_prediction(arrays, markup)]
        return _cameras(arrays)
    except InputError as e:
        raise e if str(path) in str(e) else InputError(f"{path}: {e}") from e


def _cameras(arrays):
    unknown = sorted(set(arrays) - set(_KEYS))
    if unknown or "points" not in arrays:
        what = f"unknown key {unknown[0]!r}" if unknown else "it lacks the key 'points'"
        raise InputError(f"{what}: known are {', '.join(_KEYS)}")
    shared = {
        "frame_index": arrays.get("frame_index"),
        "time_s": arrays.get("time_s"),
        "fps": _single("fps", arrays, float),
        "markup": _single("markup", arrays, str),
        "names": tuple(map(str, arrays["names"].ravel())) if "names" in arrays else None,
    }
    points, sigma, size = numbers("points", arrays["points"]), arrays.get("sigma"), arrays.get("image_size")
    if points.ndim != 4:
        return [ImagePoints(points, sigma, image_size=None if size is None else tuple(size), **shared)]
    cameras = points.shape[1]
    if points.shape[-1] != 2:
        raise InputError(f"points of several cameras must be (T, C, L, 2) pixels; got {points.shape}")
    if sigma is not None and sigma.shape != points.shape[:-1]:
        raise InputError(f"sigma must be {points.shape[:-1]} px, one a point; got {sigma.shape}")
    if size is not None and size.shape not in ((2,), (cameras, 2)):
        raise InputError(f"image_size must be (2,) or ({cameras}, 2); got {size.shape}")
    sizes = [None if size is None else tuple(np.broadcast_to(size, (cameras, 2))[c]) for c in range(cameras)]
    return [
        ImagePoints(points[:, c], None if sigma is None else sigma[:, c], image_size=sizes[c], **shared)
        for c in range(cameras)
    ]


def _single(key, arrays, kind):
    if key not in arrays:
        return None
    try:
        return kind(arrays[key].item())
    except ValueError as e:
        raise InputError(f"{key} must be a single value; got an array {arrays[key].shape}") from e


def _of_track(path, markup):
    track = Track.load(path)
    markup = markup or "mediapipe478"
    return ImagePoints(
        track.landmarks(markup),
        track.sigma if markup == "ibug68" and np.isfinite(track.sigma).any() else None,
        track.frame_index,
        track.time_s,
        track.fps,
        track.image_size,
        markup=markup,
    )


def _of_prediction(arrays, markup):
    known = [k.removeprefix(_PREFIX) for k in arrays if k.startswith(_PREFIX)]
    markup = markup or next((m for m in ("mediapipe478", "ibug68") if m in known), None)
    if markup is None or markup not in known:
        raise InputError(f"the prediction has the points {', '.join(known) or 'of no mark-up'}: choose one")
    found, points = arrays["found"], numbers(_PREFIX + markup, arrays[_PREFIX + markup])
    if found.dtype != bool or found.shape != points.shape[:1]:
        raise InputError(f"found must be {points.shape[:1]} of bool; got {found.shape} of {found.dtype}")
    points[~found] = np.nan
    return ImagePoints(points, markup=markup)
