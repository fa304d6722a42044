"""Read 2D points of a face, whatever file they are in."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from .csv_file import read_csv
from .image_points import checked_size
from .npz_file import read_npz_points
from .pts_file import read_pts_frames

#: What files may call the pixels, and what is taken off to make integers pixel centres.
PIXELS = {
    "centers": "integers are pixel centres, the first is 0 (OpenCV, OpenFace)",
    "corners": "the image begins at 0, its first pixel's centre is 0.5 (MediaPipe, times the image's size)",
    "one": "integers are pixel centres, the first is 1 (MATLAB, .pts files)",
    "normalized": "0 to 1 over the image (MediaPipe)",
}


def read_points(paths, *, pixels=None, image_size=None, markup=None):
    """The points of one face in files: list of `ImagePoints`, one a camera.

    paths: a path, or one for each camera: .npz or .npy (`read_npz_points`), .csv (`read_csv`), a .pts file
    or a folder of them, one a frame (`read_pts_frames`); several .pts files are the frames of one camera.
    pixels: a key of `PIXELS`, None for "one" in .pts files and "centers" in others; image_size: (width,
    height) px where a file does not tell; markup: name of the points. Raises InputError if a file is missing,
    broken or of another kind.
    """
    paths = [Path(p) for p in ([paths] if isinstance(paths, (str, Path)) else paths)]
    if pixels is not None and pixels not in PIXELS:
        raise InputError(f"unknown pixels {pixels!r}: known are {', '.join(PIXELS)}")
    if len(paths) > 1 and all(p.suffix.lower() == ".pts" for p in paths):
        found = [(paths[0].parent, read_pts_frames(paths), True)]
    else:
        found = [(path, *camera) for path in paths for camera in _read(path, markup)]
    size = None if image_size is None else checked_size(image_size)
    views = []
    for path, view, from_one in found:
        known = view.with_known(image_size=size, markup=markup)
        views.append(replace(known, points=_centred(path, known, pixels, from_one)))
    return views


def _read(path, markup):
    """Cameras of a file, each with whether it was counted from one and is not any more."""
    if path.is_dir():
        files = [p for p in path.iterdir() if p.suffix.lower() == ".pts"]
        if not files:
            raise InputError(f"the folder {path} has no .pts file")
        return [(read_pts_frames(files), True)]
    if not path.exists():
        raise InputError(f"cannot read the points {path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix == ".pts":
        return [(read_pts_frames([path]), True)]
    if suffix == ".csv":
        return [(read_csv(path), False)]
    if suffix in (".npz", ".npy"):
        return [(view, False) for view in read_npz_points(path, markup)]
    raise InputError(f"{path} is of an unknown kind: points are read from .npz, .npy, .csv and .pts files")


def _centred(path, view, pixels, from_one):
    """Points with pixel centres for integers: (T, L, 2)."""
    points = view.points + (1.0 if from_one and pixels is not None else 0.0)
    if pixels in (None, "centers"):
        return points
    if pixels == "normalized":
        if view.image_size is None:
            raise InputError(f"the points of {path} are normalized: give the image size")
        points = points * np.array(view.image_size)
    return points - (1.0 if pixels == "one" else 0.5)
