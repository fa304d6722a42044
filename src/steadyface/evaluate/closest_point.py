"""Closest points on a triangle surface: exact, by a tree of boxes that many points descend at once."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError

# Triangles in a leaf: few enough to test all, enough to keep the tree shallow.
_LEAF = 4
# Pairs of point and box looked at together; bounds the memory to some 100 MB.
_MAX_PAIRS = 1_000_000


@dataclass(frozen=True)
class Closest:
    """Where points are closest to a surface: point (N, 3), distance (N,), triangle (N,) index.

    The unit is the surface's. Points that are not finite have NaN and triangle -1.
    """

    point: np.ndarray
    distance: np.ndarray
    triangle: np.ndarray


def closest_on_triangles(points, corners):
    """The closest point of one triangle each: points (N, 3), corners (N, 3, 3) to (N, 3).

    The foot of the perpendicular where it lies inside the triangle, else the closest point of its three
    edges; triangles without area count as their edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    bb, bc, cc = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    pb, pc = _dot(ab, ap), _dot(ac, ap)
    area = bb * cc - bc * bc
    # Slivers this thin are told from their edges by rounding alone.
    sound = area > 1e-10 * bb * cc
    safe = np.where(sound, area, 1)
    v = (cc * pb - bc * pc) / safe
    w = (bb * pc - bc * pb) / safe
    inside = sound & (v >= 0) & (w >= 0) & (v + w <= 1)
    best = a + v[:, None] * ab + w[:, None] * ac
    squared = np.where(inside, -1.0, np.inf)
    for start, edge in ((a, ab), (b, c - b), (a, ac)):
        length = _dot(edge, edge)
        t = np.clip(_dot(edge, points - start) / np.where(length > 0, length, 1), 0, 1)
        candidate = start + t[:, None] * edge
        d = _dot(points - candidate, points - candidate)
        closer = d < squared
        best = np.where(closer[:, None], candidate, best)
        squared = np.where(closer, d, squared)
    return best


def _dot(a, b):
    return np.einsum("ij,ij->i", a, b)


class Surface:
    """Triangles in a tree of bounding boxes, each level halving its parts along their longest side."""

    def __init__(self, vertices, triangles):
        """vertices: (V, 3); triangles: (F, 3) indices. Raises InputError for other shapes or values."""
        vertices, triangles = np.asarray(vertices, float), np.asarray(triangles)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise InputError(f"vertices must be finite and (V, 3), got shape {vertices.shape}")
        if triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles):
            raise InputError(f"triangles must be (F, 3) with F >= 1, got {triangles.shape}")
        if triangles.dtype.kind not in "iu" or triangles.min() < 0 or triangles.max() >= len(vertices):
            raise InputError(f"triangles must be indices below the {len(vertices)} vertices")
        self.corners = vertices[triangles]
        self.depth = max(0, int(np.ceil(np.log2(len(triangles) / _LEAF))))
        self._order = self._sort()
        self._boxes = self._bound()

    def _sort(self):
        # Which triangles each leaf holds, (leaves, size); the last triangle fills up the last leaves.
        count = len(self.corners)
        size = -(-count // 2**self.depth) * 2**self.depth
        order = np.minimum(np.arange(size), count - 1)[None]
        centre = self.corners.mean(1)
        for _ in range(self.depth):
            c = centre[order]
            longest = np.argmax(np.ptp(c, axis=1), axis=-1)
            along = np.take_along_axis(c, longest[:, None, None], -1)[..., 0]
            order = np.take_along_axis(order, np.argsort(along, axis=1, kind="stable"), 1)
            order = order.reshape(2 * len(order), -1)
        return order

    def _bound(self):
        # Lowest and highest corner of the boxes of each level, root first: (2**level, 3) each.
        low, high = self.corners.min(1)[self._order].min(1), self.corners.max(1)[self._order].max(1)
        boxes = [(low, high)]
        for _ in range(self.depth):
            low, high = low.reshape(-1, 2, 3).min(1), high.reshape(-1, 2, 3).max(1)
            boxes.append((low, high))
        return boxes[::-1]

    def closest(self, points, guess=None):
        """The closest points of the surface to points (N, 3): a `Closest`.

        guess: (N,) triangles that are likely close, for example the answer for nearly the same points:
        they only save time.
        """
        points = np.asarray(points, float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(f"points must be (N, 3), got {points.shape}")
        known = np.flatnonzero(np.isfinite(points).all(1))
        point = np.full(points.shape, np.nan)
        triangle = np.full(len(points), -1)
        step = max(1, _MAX_PAIRS // 64)
        for i in range(0, len(known), step):
            part = known[i : i + step]
            first = self._descend(points[part]) if guess is None else np.asarray(guess)[part]
            point[part], triangle[part] = self._search(points[part], first)
        return Closest(point, np.linalg.norm(points - point, axis=1), triangle)

    def _descend(self, points):
        # A triangle of the leaf that is reached by always taking the nearer box.
        node = np.zeros(len(points), int)
        for level in range(1, self.depth + 1):
            left, right = (self._box_distance(points, level, 2 * node + i) for i in (0, 1))
            node = 2 * node + (right < left)
        return self._order[node, 0]

    def _box_distance(self, points, level, node):
        # Squared distance of points (N, 3) to boxes (N,) of a level.
        low, high = self._boxes[level]
        outside = np.maximum(np.maximum(low[node] - points, points - high[node]), 0)
        return _dot(outside, outside)

    def _search(self, points, triangle):
        best = closest_on_triangles(points, self.corners[triangle])
        squared = _dot(points - best, points - best)
        best, triangle = best.copy(), np.array(triangle)
        query, node = np.arange(len(points)), np.zeros(len(points), int)
        bound = np.zeros(len(points))
        for level in range(1, self.depth + 1):
            query = np.repeat(query, 2)
            node = (2 * node[:, None] + [0, 1]).ravel()
            bound = self._box_distance(points[query], level, node)
            closer = bound < squared[query]
            query, node, bound = query[closer], node[closer], bound[closer]
            if len(query) > _MAX_PAIRS and len(points) > 1:
                # Points far from everything reach many boxes: look at fewer of them at a time.
                half = len(points) // 2
                parts = [self._search(points[s], triangle[s]) for s in (slice(half), slice(half, None))]
                return tuple(np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.lexsort((bound, query))
        query, node, bound = query[order], node[order], bound[order]
        boxes = 1
        while len(query):
            # A point's nearest box first: it rules out most of the others; then two, four, ... of the rest.
            now = np.arange(len(query)) - np.searchsorted(query, query) < boxes
            self._visit(points, query[now], node[now], best, squared, triangle)
            left = ~now & (bound < squared[query])
            query, node, bound = query[left], node[left], bound[left]
            boxes *= 2
        return best, triangle

    def _visit(self, points, query, node, best, squared, triangle):
        # Try all triangles of the leaves `node` for the points `query`, which come in order.
        held = self._order[node].ravel()
        query = np.repeat(query, self._order.shape[1])
        candidate = closest_on_triangles(points[query], self.corners[held])
        d = _dot(points[query] - candidate, points[query] - candidate)
        first = np.flatnonzero(np.diff(query, prepend=-1))
        least = np.minimum.reduceat(d, first)
        closer = np.flatnonzero((d == np.repeat(least, np.diff(first, append=len(d)))) & (d < squared[query]))
        # Where several are equally close the last one is written last.
        best[query[closer]], squared[query[closer]] = candidate[closer], d[closer]
        triangle[query[closer]] = held[closer]
