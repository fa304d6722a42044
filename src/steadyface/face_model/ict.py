"""ICT-FaceKit's folder of OBJ files (Li et al. 2020, "Learning Formation of Physically-Based Face ...")."""

import json
from pathlib import Path

import numpy as np

from ..errors import InputError
from .imported import ForeignModel
from .registration import vertex_embedding

_MEAN = "generic_neutral_mesh"
# Vertices of the published mesh: its face, and its two eyeballs' scleras.
_VERTICES = 26719
_SCLERAS = slice(21451, 22221), slice(23021, 23791)
# Its polygons of face, head, neck and eyeballs: the others are hidden (sockets, teeth) or transparent films.
_SURFACE = (slice(0, 11144), slice(21496, 24692))
_CENTIMETRE = 10.0


def read_ict(folder):
    """ICT-FaceKit's FaceXModel folder: a `ForeignModel` of its identities and expressions.

    Every identityNNN.obj is one standard deviation away from the mean; expressions are activations in
    [0, 1] under their ARKit names, with browInnerUp and cheekPuff split in left and right. Needed beside the
    OBJ files: vertex_indices.json. Raises InputError if a file is missing, broken or of another mesh.
    """
    folder = Path(folder)
    inner = folder / "FaceXModel"
    folder = inner if inner.is_dir() else folder
    index = folder / "vertex_indices.json"
    try:
        table = json.loads(index.read_text(encoding="utf-8"))
        names = [str(n) for n in table["expressions"]]
        landmarks = np.array(table["idx_to_landmark_verts"], int)
    except OSError as e:
        raise InputError(f"{folder} is not ICT-FaceKit's folder: cannot read {index.name}") from e
    except KeyError as e:
        raise InputError(f"{index} lacks {e}") from e
    except (ValueError, TypeError) as e:
        raise InputError(f"{index} is not what ICT-FaceKit writes: {' '.join(str(e).split())}") from e
    mean, faces, uv, uv_faces = _read_mesh(folder / f"{_MEAN}.obj")
    identities = sorted(folder.glob("identity*.obj"))
    if not identities:
        raise InputError(f"{folder} has no identity000.obj")
    identity = np.stack([_read_vertices(p, len(mean)) - mean for p in identities])
    expression = [_read_vertices(folder / f"{n}.obj", len(mean)) - mean for n in names]
    whole = len(mean) == _VERTICES
    if whole:
        shown = np.concatenate([np.arange(len(faces))[part] for part in _SURFACE])
        faces = [faces[i] for i in shown]
        uv_faces = [uv_faces[i] for i in shown]
    triangles = _fan(faces)
    if landmarks.shape != (68,) or landmarks.min() < 0 or landmarks.max() >= len(mean):
        raise InputError(f"{index}: 'idx_to_landmark_verts' must be 68 of the {len(mean)} vertices")
    try:
        placed = {"ibug68": (np.arange(68), vertex_embedding(landmarks, triangles))}
    except ValueError as e:
        raise InputError(f"{index}: {e}") from e
    uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]]).astype(np.float32)
    return ForeignModel(
        name="ict",
        path=folder,
        mean=mean,
        identity=identity,
        expression=np.stack(expression) if names else np.zeros((0, *mean.shape)),
        triangles=triangles,
        millimetres=_CENTIMETRE,
        names=tuple(_arkit(n) for n in names),
        bounds=np.tile([0.0, 1.0], (len(names), 1)),
        eyes=np.mean([_sphere_centre(mean[part]) for part in _SCLERAS], 0) if whole else None,
        placed=placed,
        uv=uv,
        uv_triangles=_fan(uv_faces).astype(np.int32) if len(uv) else np.zeros((0, 3), np.int32),
    )


def _arkit(name):
    for end, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(end):
            return name[: -len(end)] + side
    return name


def _lines(path):
    try:
        return path.read_bytes().splitlines()
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e


def _numbers(path, lines, start, columns):
    """The first numbers of all lines of one kind: (N, columns)."""
    rows = [line.split()[1 : 1 + columns] for line in lines if line.startswith(start)]
    try:
        array = np.array(rows, float).reshape(len(rows), columns)
    except ValueError as e:
        raise InputError(f"{path} has a broken line {start.decode().strip()!r}") from e
    if not np.isfinite(array).all():
        raise InputError(f"{path} has a vertex that is not finite")
    return array


def _read_vertices(path, count):
    vertices = _numbers(path, _lines(path), b"v ", 3)
    if len(vertices) != count:
        raise InputError(f"{path} has {len(vertices)} vertices, the mean face {count}")
    return vertices


def _read_mesh(path):
    """Vertices (V, 3), faces (lists of indices), texture coordinates (U, 2) and faces of those."""
    lines = _lines(path)
    vertices, uv = _numbers(path, lines, b"v ", 3), _numbers(path, lines, b"vt ", 2)
    try:
        corners = [[c.split(b"/") for c in line.split()[1:]] for line in lines if line.startswith(b"f ")]
        faces = [[int(c[0]) - 1 for c in face] for face in corners]
        uv_faces = [[int(c[1]) - 1 for c in face] for face in corners] if len(uv) else faces
    except (ValueError, IndexError) as e:
        raise InputError(f"{path} has a broken face") from e
    for what, some, count in (("vertices", faces, len(vertices)), ("texture coordinates", uv_faces, len(uv))):
        if what == "texture coordinates" and not count:
            continue
        if not some or min(map(len, some)) < 3 or min(map(min, some)) < 0 or max(map(max, some)) >= count:
            raise InputError(f"{path}: its faces must be three or more of its {count} {what}")
    return vertices, faces, uv, uv_faces


def _fan(faces):
    """Polygons to triangles around their first corner: (F, 3)."""
    return np.array([(f[0], f[i], f[i + 1]) for f in faces for i in range(1, len(f) - 1)], int).reshape(-1, 3)


def _sphere_centre(points):
    """Centre (3,) of the sphere through points (N, 3), by least squares: |p|^2 = 2 c p + r^2 - |c|^2."""
    a = np.column_stack([2 * points, np.ones(len(points))])
    return np.linalg.lstsq(a, (points**2).sum(1), rcond=None)[0][:3]
