"""Which points of the face model a file's points are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..face_model.morphable import LinearShape

# Set of the face model, and the part of it.
_SETS = {
    "ibug68": ("ibug68", slice(None)),
    "ibug51": ("ibug68", slice(17, None)),
    "mediapipe478": ("mediapipe478", slice(None)),
    "mediapipe468": ("mediapipe478", slice(468)),
}
_COUNTS = {68: "ibug68", 51: "ibug51", 478: "mediapipe478", 468: "mediapipe468"}
#: Names of the sets of points that are known; "vertices" are all of the face model.
MARKUPS = (*_SETS, "vertices")


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """Points of the face model that a file has.

    shape: `LinearShape` of N points; index: (N,) which of the file's they are; corners, weights: (N, 3)
    vertices of the model and the share of each in the point.
    """

    shape: LinearShape
    index: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    @classmethod
    def at_vertices(cls, model, vertices, index):
        """Points that are vertices (N,) of a `MorphableModel`."""
        weights = np.tile([1.0, 0.0, 0.0], (len(vertices), 1))
        return cls(part_of(model.shape, vertices), index, np.tile(vertices[:, None], 3), weights)

    @property
    def vertices(self):
        """(N,) the vertex nearest to each point."""
        return self.corners[np.arange(len(self.corners)), self.weights.argmax(1)]


def read_vertices(path):
    """Vertices of the face model for hand-made points, of a JSON file: a list, or a name for each.

    [12, 345, ...] is a vertex for each point in the file's order, {"nose_tip": 12, ...} for the points of
    these names. Raises InputError if it is neither.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} is not JSON: {' '.join(str(e).split())}") from e
    numbers = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(numbers, list) or not numbers or not all(type(v) is int for v in numbers):
        raise InputError(f'{path} must be a list of vertices, [12, 345], or their names, {{"nose": 12}}')
    return value


def known_points(model, view, vertices=None):
    """What the points of a file are: `KnownPoints`.

    model: `MorphableModel`; view: `ImagePoints`, whose mark-up or number of points tells; vertices: of the
    model, one for each point, or by name (`read_vertices`), None for a known mark-up. Raises InputError if
    it does not tell.
    """
    count = view.points.shape[1]
    if vertices is not None:
        return _by_vertex(model, view, vertices)
    markup = view.markup or _COUNTS.get(count) or ("vertices" if count == model.vertex_count else None)
    if markup is None:
        known = ", ".join(f"{n} ({name})" for n, name in _COUNTS.items())
        raise InputError(
            f"{count} points are of no known set: known are {known}, {model.vertex_count} (vertices); for "
            "points of your own say which vertices of the face model they are"
        )
    if markup not in MARKUPS:
        raise InputError(f"unknown mark-up {markup!r}: known are {', '.join(MARKUPS)}")
    if markup == "vertices":
        known = KnownPoints.at_vertices(model, np.arange(model.vertex_count), np.arange(model.vertex_count))
    else:
        name, part = _SETS[markup]
        shape = part_of(model.landmarks(name), part)
        e = model.embeddings[name]
        corners, weights = model.triangles[e.triangle[part]], e.barycentric[part]
        known = KnownPoints(shape, np.arange(len(shape.mean)), corners, weights)
    if len(known.index) != count:
        raise InputError(f"{markup} has {len(known.index)} points; got {count}")
    return known


def _by_vertex(model, view, vertices):
    count = view.points.shape[1]
    if isinstance(vertices, Mapping):
        names = view.names or tuple(map(str, range(count)))
        missing = sorted(set(vertices) - set(names))
        if missing:
            raise InputError(f"there is no point {missing[0]!r}: the points are {', '.join(names)[:120]}")
        chosen = np.array([names.index(n) for n in vertices], int)
        vertex = np.array(list(vertices.values()))
    else:
        chosen, vertex = np.arange(count), np.asarray(vertices)
        if vertex.shape != (count,):
            raise InputError(f"{count} points need as many vertices; got {vertex.shape}")
    if vertex.dtype.kind not in "iu" or vertex.min() < 0 or vertex.max() >= model.vertex_count:
        raise InputError(
            f"vertices must be whole numbers from 0 to {model.vertex_count - 1} for the face model "
            f"{model.name!r}; got {vertex.min()} to {vertex.max()}"
        )
    return KnownPoints.at_vertices(model, vertex, chosen)


def part_of(shape, index):
    """Some of a shape's points."""
    return LinearShape(
        shape.mean[index],
        shape.identity_basis[:, index],
        shape.expression_basis[:, index],
        shape.expression_bounds,
    )
