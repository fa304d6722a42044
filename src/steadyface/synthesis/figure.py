"""The mesh that is filmed: head, teeth and a torso under one texture; what bends, what lies in shade."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..render.rasterize import Raster, rasterize
from ..render.shade import interpolate, vertex_normals
from .head import Head

# Where in the unit square of the texture things lie that the model's own layout leaves free: x, y, width,
# height.
EYE_TILES = ((0.775, 0.56, 0.1, 0.1), (0.885, 0.56, 0.1, 0.1))
TEETH_TILE = (0.30, 0.66, 0.44, 0.05)
TORSO_TILE = (0.005, 0.73, 0.99, 0.265)
#: Half the side of the square around an iris that an eye's tile shows, mm.
EYE_REACH = 14.0

# Rings of the torso from inside the neck downwards, model frame, mm: centre y and z, half-width, half-depth,
# and the slope of the ring from front to back.
_RINGS = np.array(
    [
        (112, 94, 52, 48, -0.45),
        (134, 103, 56, 54, -0.45),
        (155, 111, 61, 58, -0.42),
        (170, 116, 76, 64, -0.38),
        (184, 121, 112, 73, -0.30),
        (203, 124, 158, 82, -0.22),
        (228, 126, 190, 91, -0.15),
        (264, 127, 212, 99, -0.08),
        (325, 128, 225, 106, -0.03),
        (450, 128, 231, 112, 0.0),
        (900, 128, 236, 118, 0.0),
    ],
    np.float32,
)
_COLUMNS, _ROWS = 65, 34


@dataclass(frozen=True)
class Figure:
    """A head on a torso, as one mesh with one texture.

    Vertices are the head's, then the torso's. triangles: (F, 3); source: (P,) the vertex of each corner with
    texture coordinates of its own, corners: (F, 3) into these, uv: (P, 2) in [0, 1]; shelter: (V,) in 0..1,
    the share of the sky that a vertex at rest sees; bend: (V,) in 0..1, how much of the torso's motion it
    takes part in; torso: (N, 3) mm at rest, model frame; ring: (N, 2) angle over the circle (0.5 in front)
    and place from neck to hem of the torso's vertices, both in 0..1.
    """

    head: Head
    triangles: np.ndarray
    source: np.ndarray
    corners: np.ndarray
    uv: np.ndarray
    shelter: np.ndarray
    bend: np.ndarray
    torso: np.ndarray
    ring: np.ndarray
    _atlases: dict

    @property
    def head_count(self):
        return len(self.head.rest)

    @property
    def rest(self):
        """(V, 3) mm: the mean face on its torso."""
        return np.concatenate([self.head.rest, self.torso])

    def atlas(self, size):
        """What lies where in a texture of size x size texels, an `Atlas` kept for the next call."""
        if size not in self._atlases:
            self._atlases[size] = Atlas(self, size)
        return self._atlases[size]

    @cached_property
    def adjacency(self):
        """Pairs of vertices joined by an edge: two (M,) index arrays, each edge in both directions."""
        t = self.triangles
        edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
        edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
        return edges[:, 0], edges[:, 1]

    def smooth(self, values, times=1):
        """Average of each vertex with its neighbours: (V,) to (V,)."""
        a, b = self.adjacency
        count = np.bincount(a, minlength=len(values)) + 1.0
        for _ in range(times):
            values = (values + np.bincount(a, values[b], minlength=len(values))) / count
        return values


class Atlas:
    """The figure's surface unrolled into a square texture.

    raster: `Raster` of the texels; position: (s, s, 3) float32 mm at rest, model frame, of head and torso;
    region masks come from `at_vertices`.
    """

    def __init__(self, figure, size):
        points = np.column_stack([figure.uv * size - 0.5, np.zeros(len(figure.uv))])
        raster: Raster = rasterize(points, figure.corners, (size, size))
        self.size, self.raster = size, raster
        self._triangles = figure.triangles
        self.position = self.at_vertices(figure.rest)
        self.skin = raster.mask & (raster.triangle < len(figure.head.model.triangles))

    def at_vertices(self, values):
        """Values (V,) or (V, C) of the figure's vertices at the texels: (s, s) or (s, s, C) float32."""
        values = np.asarray(values, np.float32)
        flat = interpolate(self.raster, self._triangles, values.reshape(len(values), -1))
        return flat[..., 0] if values.ndim == 1 else flat

    def tile(self, tile):
        """The slices (rows, columns) of a tile of the texture."""
        x, y, w, h = (round(v * self.size) for v in tile)
        return slice(y, y + h), slice(x, x + w)


def build_figure(head):
    """The `Figure` of a head; a second, once."""
    v = len(head.rest)
    torso, ring, torso_triangles = _torso()
    triangles = np.concatenate([head.triangles, torso_triangles + v]).astype(np.int32)
    uv, uv_triangles = _texture_coordinates(head, ring)
    # One corner for each pair of vertex and texture coordinates that some triangle has.
    pairs = np.stack([triangles.ravel(), uv_triangles.ravel()], -1)
    pairs, corner = np.unique(pairs, axis=0, return_inverse=True)
    rest = np.concatenate([head.rest, torso]).astype(np.float32)
    shelter = _shelter(rest, triangles)
    # With the mouth shut nothing reaches what is in it: how it opens is not known here.
    inner = np.concatenate([head.inside | head.teeth | head.tongue, np.zeros(len(torso), bool)])
    shelter = np.where(inner, 0.75, shelter)
    bend = np.concatenate([_bend(head), np.ones(len(torso))]).astype(np.float32)
    return Figure(
        head=head,
        triangles=triangles,
        source=pairs[:, 0],
        corners=corner.reshape(-1, 3).astype(np.int32),
        uv=uv[pairs[:, 1]].astype(np.float32),
        shelter=shelter.astype(np.float32),
        bend=bend,
        torso=torso,
        ring=ring,
        _atlases={},
    )


def _torso():
    """Vertices (N, 3), their place on the rings (N, 2), triangles (M, 3)."""
    s = np.linspace(0, 1, _ROWS)
    # Rows are dense around the neck, where the surface bends.
    place = np.interp(s, [0, 0.75, 0.93, 1], [0, 7, 9, 10])
    y, z, rx, rz, slope = (np.interp(place, np.arange(len(_RINGS)), c) for c in _RINGS.T)
    for c in (y, z, rx, rz, slope):
        c[1:-1] = (c[:-2] + 2 * c[1:-1] + c[2:]) / 4
    angle = np.linspace(-np.pi, np.pi, _COLUMNS)
    # Angle 0 is in front, towards -z; the subject's left is at positive angles.
    side, ahead = np.sin(angle), -np.cos(angle)
    # Shoulders are squarer than an ellipse.
    power = np.interp(place, [3, 6], [1.0, 0.8])[:, None]
    x = rx[:, None] * np.sign(side) * np.abs(side) ** power
    dz = rz[:, None] * np.sign(ahead) * np.abs(ahead) ** power
    points = np.stack([x, y[:, None] + slope[:, None] * dz, z[:, None] + dz], -1).reshape(-1, 3)
    ring = np.stack(np.broadcast_arrays((angle / (2 * np.pi) + 0.5)[None], s[:, None]), -1).reshape(-1, 2)
    i = (np.arange(_ROWS - 1)[:, None] * _COLUMNS + np.arange(_COLUMNS - 1)).ravel()
    quads = np.stack([i, i + _COLUMNS, i + _COLUMNS + 1, i + 1], -1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    normals = vertex_normals(points, triangles)
    if (normals * (points - points.mean(0)))[:, [0, 2]].sum() < 0:
        triangles = triangles[:, ::-1]
    return points.astype(np.float32), ring.astype(np.float32), triangles


def _texture_coordinates(head, ring):
    """Texture coordinates (U, 2), the model's with tiles for eyes, teeth and torso, and their triangles."""
    model = head.model
    uv, triangles = [model.uv], [model.uv_triangles]
    eyes = model.triangles[:, 0]
    first = len(model.uv)
    tile = np.array(EYE_TILES)
    middle = iris_centers(model)
    rest = head.rest[: model.vertex_count]
    for side in range(2):
        mine = head.eyeball[eyes] & ((rest[eyes, 0] > 0) == (side == 0))
        at = (rest[:, :2] - middle[side, :2]) / (2 * EYE_REACH) + 0.5
        uv.append(tile[side, :2] + np.clip(at, 0.01, 0.99) * tile[side, 2:])
        triangles[0] = np.where(mine[:, None], model.triangles + first, triangles[0])
        first += len(rest)
    teeth = head.triangles[len(model.triangles) :] - model.vertex_count
    count = len(head.rest) - model.vertex_count
    columns = 17
    k = np.arange(count)
    rows = count // columns
    at = np.stack([(k % columns) / (columns - 1), (k // columns + 0.5) / rows], -1) * 0.98 + 0.01
    uv.append(np.array(TEETH_TILE[:2]) + at * TEETH_TILE[2:])
    triangles.append(teeth + first)
    first += count
    uv.append(np.array(TORSO_TILE[:2]) + (0.002 + 0.996 * ring) * TORSO_TILE[2:])
    torso = _torso()[2]
    triangles.append(torso + first)
    return np.concatenate(uv), np.concatenate(triangles)


def iris_centers(model):
    """Centres of the subject's left and right iris at rest: (2, 3) mm; the eyeballs' if it has no irises."""
    return model.landmarks("mediapipe478").mean[[473, 468]]


def below_jaw(model, points):
    """How far below the line from the chin to the ears' lower ends points at rest lie, mm: (*, 3) to (*,)."""
    contour = model.landmarks("ibug68").mean[:17]
    temple, jaw = contour[[0, 16]].mean(0), contour[8]
    slope = (jaw[1] - temple[1] - 30) / (temple[2] - jaw[2])
    return points[..., 1] - jaw[1] - 4 + slope * np.clip(points[..., 2] - jaw[2], 0, temple[2] - jaw[2])


def _bend(head):
    """The head's vertices: 0 on the face, growing down the neck to 1 where it meets the torso."""
    _, y, z = head.rest.T
    # Along the axis of the neck, from below the jaw to its lower end.
    low = y + 0.43 * (z - 60) / 0.9
    bend = np.clip((low - 95) / 45, 0, 1) * head.neck
    return bend * bend * (3 - 2 * bend)


def _shelter(points, triangles, directions=64, size=128):
    """How much of the light from all around reaches each vertex: (V,) in 0..1, cosine-weighted."""
    k = np.arange(directions) + 0.5
    z = 1 - 2 * k / directions
    turn = np.pi * (1 + 5**0.5) * k
    toward = np.stack([np.sqrt(1 - z**2) * np.cos(turn), z, np.sqrt(1 - z**2) * np.sin(turn)], -1)
    normals = vertex_normals(points, triangles)
    total, seen = np.zeros(len(points)), np.zeros(len(points))
    for d in toward:
        weight = np.maximum(normals @ d, 0)
        total += weight
        seen += weight * lit_by(points, triangles, d, size, 4.0)
    return seen / np.maximum(total, 1e-6)


def lit_by(points, triangles, direction, size=128, tolerance=3.0):
    """Whether a lamp far away in a direction shines on each vertex: (V,) in 0..1, soft over a texel or so.

    points: (V, 3) mm; direction: (3,) unit, from the points to the lamp; tolerance: mm.
    """
    from .shadow import shadow_map

    return shadow_map(points, triangles, direction, size)(points, tolerance)
