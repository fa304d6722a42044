"""The square picture around a head that samples are stored as: its size, and how a head lies in it."""

from pathlib import Path

import numpy as np

from ..align.crop import ANCHOR_MM, SIDE_MM, Crop
from ..errors import InputError
from ..rotation import matrix_from_axis_angle

#: Side of the stored pictures, pixels, unless their maker is told another (readers take any), and how much
#: more than the standard crop they show, so that crops can move in them.
PICTURE_SIZE, PICTURE_MARGIN = 160, 4 / 3


def crop_pose(rotation):
    """The pose of a head in its own standard crop.

    rotation: (3, 3). Returns the rotation without the crop's roll, scale (crop sides per mm) and translation
    (2,) crop coordinates.
    """
    scale = 1 / SIDE_MM
    roll = Crop.from_pose(rotation, scale, (0, 0)).roll
    upright = matrix_from_axis_angle(np.array([0, 0, -roll])) @ rotation
    return upright, scale, -scale * (upright @ np.array(ANCHOR_MM))[:2]


def picture_points(points, rotation, scale, translation, size):
    """Model points (V, 3) mm as pixels of the cached picture, with depth in pixels.

    rotation (3, 3), scale, translation (2,): pose in crop coordinates; size: pixels of the picture.
    """
    unit = size / PICTURE_MARGIN
    out = points @ (np.asarray(rotation).T * (scale * unit)).astype(np.float32)
    out[:, :2] += (np.asarray(translation) * unit + (size - 1) / 2).astype(np.float32)
    return out


def read_set(folder):
    """Pictures (N, n, n, 3) uint8, read as needed, and labels, name to (N, ...), of a cached set as they are.

    Raises InputError if the folder lacks either file or they disagree.
    """
    folder = Path(folder)
    if not (folder / "images.npy").is_file() or not (folder / "labels.npz").is_file():
        raise InputError(
            f"{folder} is no sample set: it must hold images.npy and labels.npz; the first set is made by "
            "python -m steadyface.learn.portraits"
        )
    images = np.load(folder / "images.npy", mmap_mode="r")
    with np.load(folder / "labels.npz") as z:
        labels = {key: z[key] for key in z.files}
    if len(images) != len(labels["rotation"]):
        raise InputError(f"{folder}: {len(images)} images but {len(labels['rotation'])} labels")
    return images, labels
