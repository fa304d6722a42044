"""Cameras in a JSON file, for fits to several views."""

import json
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..output import replacing
from ..points.image_points import checked_size
from .rig import Rig

_KEYS = ("focal", "K", "center", "image_size", "rotation", "translation")
# Focal lengths of x and y may differ by so much of their mean: pixels are square.
_SQUARE = 1e-2


def read_cameras(path, image_sizes=None):
    """The `Rig` of a JSON file, and its image sizes: list of (width, height), None where it tells none.

    {"cameras": [{...}, ...]}, for each camera focal (px) or K (3 x 3), center ([x, y] px, by default the
    middle of the image), image_size ([width, height]), and rotation (3 x 3, world to camera) and translation
    (mm): a point X of the world is at rotation X + translation, x right, y down, z forward. Cameras without
    rotation and translation are placed by the fit. image_sizes: of the cameras, where the file tells none.
    Raises InputError if something is missing, unknown or does not fit, or lenses distort.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} is not JSON: {' '.join(str(e).split())}") from e
    cameras = value.get("cameras") if isinstance(value, dict) else None
    if not isinstance(cameras, list) or not cameras or not all(isinstance(c, dict) for c in cameras):
        raise InputError(f'{path} must be {{"cameras": [{{"focal": 900, ...}}, ...]}}, one for each view')
    given = image_sizes or [None] * len(cameras)
    if len(given) != len(cameras):
        raise InputError(f"{path} has {len(cameras)} cameras, but there are {len(given)} views")
    rows = []
    for i, camera in enumerate(cameras):
        try:
            rows.append(_camera(camera, given[i]))
        except InputError as e:
            raise InputError(f"{path}, camera {i}: {e}") from e
    focal, center, rotation, translation, sizes = zip(*rows, strict=True)
    placed = [r is not None for r in rotation]
    if any(placed) and not all(placed):
        raise InputError(f"{path}: give rotation and translation for all cameras or for none")
    known = all(placed)
    count = len(cameras)
    rig = Rig(
        np.array(focal),
        np.array(center),
        np.stack(rotation) if known else np.tile(np.eye(3), (count, 1, 1)),
        np.stack(translation) if known else np.zeros((count, 3)),
        known=known or count == 1,
    )
    return rig, list(sizes)


def write_cameras(rig, image_sizes, path):
    """Write a `Rig` and its image sizes as `read_cameras` reads them, whole or not at all."""
    cameras = [
        {
            "image_size": [int(n) for n in image_sizes[c]],
            "focal": float(rig.focal[c]),
            "center": rig.center[c].tolist(),
            "rotation": rig.rotation[c].tolist(),
            "translation": rig.translation[c].tolist(),
        }
        for c in range(len(rig))
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"cameras": cameras}, indent=1), encoding="utf-8")


def _camera(camera, image_size):
    """focal, center (2,), rotation (3, 3) or None, translation (3,) or None, image size or None."""
    distortion = np.ravel(_numbers(camera.get("distortion", 0), "distortion", None))
    if distortion.any():
        raise InputError("lenses that distort are unknown here: undistort the points first")
    unknown = sorted(set(camera) - {*_KEYS, "distortion"})
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}: known are {', '.join(_KEYS)}")
    size = checked_size(camera["image_size"]) if "image_size" in camera else image_size
    if ("focal" in camera) == ("K" in camera):
        raise InputError("give focal (px) or K (3 x 3), one of them")
    center = None
    if "K" in camera:
        focal, center = _of_matrix(_numbers(camera["K"], "K", (3, 3)))
    else:
        focal = float(_numbers(camera["focal"], "focal", ()))
    if not focal > 0:
        raise InputError(f"the focal length must be > 0 px; got {focal:g}")
    if "center" in camera:
        center = _numbers(camera["center"], "center", (2,))
    if center is None:
        if size is None:
            raise InputError("give center ([x, y] px) or image_size ([width, height])")
        center = (np.array(size) - 1) / 2
    if ("rotation" in camera) != ("translation" in camera):
        raise InputError("rotation and translation go together: give both or neither")
    if "rotation" not in camera:
        return focal, center, None, None, size
    rotation = _numbers(camera["rotation"], "rotation", (3, 3))
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise InputError("rotation must be a rotation matrix: orthonormal, determinant 1")
    return focal, center, rotation, _numbers(camera["translation"], "translation", (3,)), size


def _of_matrix(k):
    """Focal length and centre of K = [[f, 0, x], [0, f, y], [0, 0, 1]]."""
    focal = (k[0, 0] + k[1, 1]) / 2
    rest = np.array([k[0, 1], k[1, 0], k[2, 0], k[2, 1], k[2, 2] - 1])
    if abs(k[0, 0] - k[1, 1]) > _SQUARE * abs(focal) or np.abs(rest).max() > 1e-6 * max(abs(focal), 1):
        raise InputError("K must be [[f, 0, x], [0, f, y], [0, 0, 1]]: square pixels without skew")
    return float(focal), k[:2, 2]


def _numbers(value, name, shape):
    try:
        array = np.array(value, float)
    except (ValueError, TypeError):
        array = np.array(np.nan)
    if not np.isfinite(array).all() or (shape is not None and array.shape != shape):
        wanted = "numbers" if not shape else f"{' x '.join(map(str, shape))} numbers"
        raise InputError(f"{name} must be {wanted if shape != () else 'a number'}; got {str(value)[:60]}")
    return array
