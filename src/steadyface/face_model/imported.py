"""Bring another face model's arrays into this package's units, axes and origin."""

from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from ..errors import InputError
from .landmark_files import COUNTS, read_landmarks
from .morphable import Embedding, LinearShape, MorphableModel, load_face_model
from .registration import register

#: Standard-normal expression coefficients are kept within this many standard deviations.
EXPRESSION_SIGMAS = 4.0
# FLAME, BFM and ICT have y up and z towards the viewer; a half turn about x brings y down and z away.
_AXES = np.array([1.0, -1.0, -1.0])
# Farther from the embedded head than this, a vertex belongs to none of its regions.
_REGION_MM = 20.0


@dataclass(frozen=True)
class ForeignModel:
    """A model's arrays in its file's axes: x to the subject's left, y up, z to the viewer.

    name: of the kind of model; path: for messages; mean: (V, 3); identity: (K, V, 3) per standard deviation;
    expression: (E, V, 3); triangles: (F, 3); millimetres: one unit of the file; names: E; bounds: (E, 2);
    eyes: (3,) midway between the eyeballs' centres or None; placed: landmarks that the model itself places,
    as `read_landmarks` gives them; uv, uv_triangles: as in `MorphableModel`.
    """

    name: str
    path: object
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    millimetres: float
    names: tuple[str, ...]
    bounds: np.ndarray
    eyes: np.ndarray | None = None
    placed: dict = field(default_factory=dict)
    uv: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    uv_triangles: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int32))


def import_model(foreign, landmarks=None):
    """The `MorphableModel` of a `ForeignModel`.

    landmarks: path or paths of `read_landmarks` or None. Landmarks that neither they nor the model place
    are carried over from the embedded head where `register` finds the two faces to agree, and otherwise
    left out. Raises InputError if arrays do not fit together.
    """
    triangles = np.asarray(foreign.triangles)
    count = len(foreign.mean)
    if not triangles.size or triangles.min() < 0 or triangles.max() >= count:
        raise InputError(f"{foreign.path}: its triangles must be indices of its {count} vertices")
    if np.ptp(foreign.mean, axis=0).min() <= 0:
        raise InputError(f"{foreign.path}: its mean face is flat")
    unit = _AXES * foreign.millimetres
    mean = foreign.mean * unit
    triangles, flipped = _outward(mean, triangles.astype(np.int32))
    uv_triangles = foreign.uv_triangles[:, ::-1] if flipped else foreign.uv_triangles
    placed = _placed(foreign, landmarks, len(triangles), flipped)

    known = np.full((68, 3), np.nan)
    if "ibug68" in placed:
        index, e = placed["ibug68"]
        known[index] = np.einsum("lcd,lc->ld", mean[triangles[e.triangle]], e.barycentric)
    head = register(mean, triangles, known)
    origin = head.eyes if foreign.eyes is None else foreign.eyes * unit
    if foreign.eyes is None and not head.good:
        raise InputError(
            f"cannot find the eyes of {foreign.path}: its mean face is {np.median(head.distance):.1f} mm "
            "from the embedded one (median); is it a face, upright, in the unit of its format?"
        )
    embeddings = {}
    for name, total in COUNTS.items():
        index, e = placed.get(name, (np.zeros(0, int), None))
        if len(set(index.tolist())) < total and not head.good:
            continue
        triangle, weights = head.embeddings[name].triangle.copy(), head.embeddings[name].barycentric.copy()
        if e is not None:
            triangle[index], weights[index] = e.triangle, e.barycentric
        embeddings[name] = Embedding(triangle, weights)

    identity = (foreign.identity * unit).astype(np.float32)
    mean = mean - origin
    bounds = np.asarray(foreign.bounds, np.float32).reshape(-1, 2)
    return MorphableModel(
        name=foreign.name,
        shape=LinearShape(
            mean.astype(np.float32),
            identity,
            (foreign.expression * unit).astype(np.float32),
            None if (bounds == [0, 1]).all() else bounds,
        ),
        identity_std=np.sqrt((identity.astype(float) ** 2).sum((1, 2))),
        expression_names=tuple(foreign.names),
        triangles=triangles,
        uv=foreign.uv,
        uv_triangles=uv_triangles,
        mirror=nearest_mirrored(mean),
        identity_mirror=np.zeros(0, np.float32),
        expression_mirror=np.zeros(0, np.int32),
        regions=_regions(mean + origin, head) if head.good else {},
        embeddings=embeddings,
    )


def _outward(mean, triangles):
    """The triangles with their outer side as `MorphableModel` has it, and whether they were turned over."""
    c = mean[triangles]
    normal = np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0])
    # A face without the back of the head is open: look from well inside.
    inside = mean.mean(0) + np.array([0, 0, np.ptp(mean[:, 2]) / 2])
    flipped = bool((normal * (c.mean(1) - inside)).sum() < 0)
    return (triangles[:, ::-1].copy() if flipped else triangles), flipped


def _placed(foreign, landmarks, triangle_count, flipped):
    """Landmarks by files and by the model, the files first, on the triangles as they are now."""
    paths = [landmarks] if isinstance(landmarks, (str, PathLike)) else list(landmarks or ())
    sources = [foreign.placed, *(read_landmarks(path) for path in paths)]
    placed = {}
    for source, path in zip(sources, [foreign.path, *paths], strict=True):
        for name, (index, e) in source.items():
            if e.triangle.size and e.triangle.max() >= triangle_count:
                raise InputError(
                    f"{path} places {name} on triangle {e.triangle.max()}, the mesh has {triangle_count}: "
                    "is it for another model?"
                )
            weights = e.barycentric[:, ::-1] if flipped else e.barycentric
            old_index, old = placed.get(
                name, (np.zeros(0, int), Embedding(np.zeros(0, int), np.zeros((0, 3))))
            )
            keep = ~np.isin(old_index, index)
            placed[name] = (
                np.concatenate([old_index[keep], index]),
                Embedding(
                    np.concatenate([old.triangle[keep], e.triangle]).astype(np.int32),
                    np.concatenate([old.barycentric[keep], weights]).astype(np.float32),
                ),
            )
    return placed


def nearest_mirrored(mean):
    """(V,) index of the vertex closest to each vertex's mirror image at x = 0; mean: (V, 3)."""
    # Sorted along y, the candidates of a vertex are its neighbours in the list: enough for a mesh, whose
    # vertices are close together, and far less than all pairs.
    mirrored = mean * [-1, 1, 1]
    order = np.argsort(mean[:, 1], kind="stable")
    best, squared = np.arange(len(mean)), np.full(len(mean), np.inf)
    for part in np.array_split(order, max(1, len(mean) // 512)):
        y = mean[part, 1]
        reach = max(float(np.ptp(y)), 2.0)
        near = order[slice(*np.searchsorted(mean[order, 1], [y.min() - reach, y.max() + reach]))]
        a, b = mirrored[part], mean[near]
        d = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
        pick = d.argmin(1)
        best[part], squared[part] = near[pick], d[np.arange(len(part)), pick]
    return best.astype(np.int32)


def _regions(mean, head):
    """The embedded head's regions on the other mesh, by the closest triangle of the registered head."""
    from ..evaluate.closest_point import Surface

    ours = load_face_model()
    near = Surface(head.vertices, ours.triangles).closest(mean)
    close = near.distance < _REGION_MM
    corners = ours.triangles[near.triangle]
    return {name: close & (mask[corners].sum(1) >= 2) for name, mask in ours.regions.items()}
