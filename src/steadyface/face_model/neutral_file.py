"""A person's neutral face on the model's mesh, from another tool, as MICA (Zielonka et al. 2022)."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from .pickle_reader import read_array, read_npz

_KEYS = ("vertices", "neutral")
# Files are in metres, decimetres, centimetres, millimetres or micrometres.
_UNITS = np.array([1e3, 1e2, 1e1, 1.0, 1e-3])
# A head is within this factor of the mean head's size, and its vertices this close to the model's (mm, root
# mean square) once its identity is found: else the vertices are in another order.
_SIZE, _FAR_MM = 2.0, 6.0


def read_neutral(path, model):
    """The neutral face in the model's frame: (V, 3) mm.

    path: .obj or .ply, .npy (V, 3), or .npz with vertices (V, 3), of the model's vertices in their order;
    any unit of length, any axes: the face is laid on the model's rigidly, never scaled but by the unit.
    model: `MorphableModel`. Raises InputError if the file is broken, has another number of vertices, or its
    vertices are not those of the model.
    """
    path = Path(path)
    points = _read(path)
    v = model.vertex_count
    if points.size != 3 * v or points.shape[-1] != 3:
        raise InputError(
            f"{path} must hold the {v} vertices of the face model {model.name!r}, ({v}, 3); got "
            f"{points.shape}"
        )
    points = points.reshape(v, 3)
    if not np.isfinite(points).all():
        raise InputError(f"{path} has a vertex that is not finite")
    mean = np.asarray(model.shape.mean, float)
    points, mean_size = points - points.mean(0), _size(mean)
    factor = mean_size / np.maximum(_size(points), 1e-12)
    unit = _UNITS[np.argmin(np.abs(np.log(_UNITS / factor)))]
    if not 1 / _SIZE < factor / unit < _SIZE:
        raise InputError(f"{path}: in no unit of length is it as large as a head")
    points = points * unit
    basis = np.asarray(model.shape.identity_basis, float).reshape(model.identity_count, -1)
    # The identity's prior: a standard deviation of 1, against a millimetre a vertex.
    gram = basis @ basis.T + np.eye(len(basis))
    target = mean
    for _ in range(10):
        laid = _laid_on(points, target)
        identity = np.linalg.solve(gram, basis @ (laid - mean).ravel())
        target = mean + (identity @ basis).reshape(v, 3)
    far = float(np.sqrt(((laid - target) ** 2).sum(1).mean()))
    if far > _FAR_MM:
        raise InputError(
            f"{path}: its vertices are {far:.0f} mm from any face of the model {model.name!r}: are they in "
            "the same order?"
        )
    return laid


def _read(path):
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"cannot read the neutral face {path}: there is no such file")
    if suffix in (".obj", ".ply"):
        from ..evaluate.datasets.mesh_file import read_mesh

        return read_mesh(path).vertices
    if suffix == ".npz":
        arrays = read_npz(path)
        key = next((k for k in _KEYS if k in arrays), None)
        if key is None:
            raise InputError(f"{path} lacks the key {' or '.join(map(repr, _KEYS))}")
        array = arrays[key]
    elif suffix == ".npy":
        array = read_array(path)
    else:
        raise InputError(f"{path} is no neutral face: know .obj, .ply, .npy and .npz")
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path} must hold numbers; got an array of {array.dtype}")
    return array.astype(float)


def _size(points):
    """Root mean square distance from the middle."""
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))


def _laid_on(points, target):
    """Points moved rigidly as close to others as they come (Kabsch 1976): both (V, 3)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return a @ turn + target.mean(0)
