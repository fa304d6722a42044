"""Files that place landmarks on another model's mesh, as triangles and barycentric weights."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from .morphable import Embedding
from .pickle_reader import Fields, read_npy, read_npz, read_pickle

#: Points of the landmark sets.
COUNTS = {"ibug68": 68, "mediapipe478": 478}


def read_landmarks(path):
    """Where a file places landmarks: name of the set to (indices (n,) of its points, `Embedding` of those).

    An .npz with NAME_triangle (L,) and NAME_barycentric (L, 3), NAME as in `COUNTS`; or FLAME's own files:
    static embeddings of the inner 51 iBUG points or all 68, dynamic ones of the contour, of which the row
    for a frontal head is taken, both in one file, and MediaPipe's selected points. Raises InputError if the
    file is none of these.
    """
    path = Path(path)
    if path.suffix == ".npz":
        f = Fields(path, read_npz(path))
    elif path.suffix == ".npy":
        f = Fields(path, read_npy(path))
    elif path.suffix == ".pkl":
        f = Fields(path, read_pickle(path))
    else:
        raise InputError(f"landmarks are read from .npz, .npy and .pkl files, got {path}")
    found = {}
    for name, count in COUNTS.items():
        if f"{name}_triangle" in f:
            pair = f(f"{name}_triangle", shape=(count,)), f(f"{name}_barycentric", shape=(count, 3))
            found[name] = np.arange(count), _embedding(path, *pair)
    if "landmark_indices" in f:
        index = f("landmark_indices", shape=(-1,)).astype(int)
        if index.size and (index.min() < 0 or index.max() >= 478):
            raise InputError(f"{path}: 'landmark_indices' must be points of MediaPipe, 0 to 477")
        pair = f("lmk_face_idx", shape=(len(index),)), f("lmk_b_coords", shape=(len(index), 3))
        found["mediapipe478"] = index, _embedding(path, *pair)
    elif "full_lmk_faces_idx" in f:
        pair = f("full_lmk_faces_idx").reshape(-1), f("full_lmk_bary_coords").reshape(-1, 3)
        found["ibug68"] = _ibug(path, *pair)
    elif "lmk_face_idx" in f:
        triangle, weights = f("lmk_face_idx"), f("lmk_b_coords")
        if triangle.ndim == 2:  # a row for each degree the head is turned, the first for none
            triangle, weights = triangle[0], weights[0]
        found["ibug68"] = _ibug(path, triangle, weights)
    if not found:
        raise InputError(
            f"{path} places no landmarks: it has neither ibug68_triangle, mediapipe478_triangle, "
            "lmk_face_idx nor full_lmk_faces_idx"
        )
    return found


def _ibug(path, triangle, weights):
    parts = {17: np.arange(17), 51: np.arange(17, 68), 68: np.arange(68)}
    if triangle.ndim != 1 or len(triangle) not in parts or weights.shape != (len(triangle), 3):
        raise InputError(f"{path} must place 17, 51 or 68 iBUG points, got {triangle.shape}, {weights.shape}")
    return parts[len(triangle)], _embedding(path, triangle, weights)


def _embedding(path, triangle, weights):
    if triangle.size and triangle.min() < 0:
        raise InputError(f"{path}: the triangles of landmarks must be >= 0")
    return Embedding(triangle.astype(np.int32), weights.astype(np.float32))
