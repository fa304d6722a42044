"""Front-most triangle, barycentric coordinates and depth at every pixel of a projected mesh."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import InputError

# OpenCV's rasteriser wants a perspective camera. Any field of view will do, since the vertices are moved
# along their rays so that they land on the asked pixels, and a distance of many depths keeps OpenCV's
# perspective-correct depth inside a triangle close to the affine one.
_FOV_Y = 0.5
_DISTANCE = 64.0
# Triangle numbers travel through a float colour channel in [0, 1]: exact up to 2^23.
_ID_UNIT = np.float32(2.0**-23)


@dataclass(frozen=True)
class Raster:
    """What each pixel centre of an (h, w) image sees of a mesh.

    triangle: (h, w) int32, the front-most triangle's index, -1 where there is none; barycentric:
    (h, w, 3) float32 weights of its corners, 0 where there is none; depth: (h, w) float32 in the unit of
    the points' third coordinate, +inf where there is none.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @property
    def mask(self):
        """(h, w) bool: pixels that see the mesh."""
        return self.triangle >= 0


def rasterize(points, triangles, size, cull=False):
    """Front-most triangle (smallest third coordinate) at every pixel centre.

    points: (V, 3), x and y in pixels (integers are pixel centres), then depth in any unit, growing away
    from the viewer. triangles: (F, 3) vertex indices. size: (h, w). cull: skip triangles whose corners do
    not turn counter-clockwise as seen in the image, faster for closed meshes. Returns `Raster`.
    Triangles that share an edge leave no gap. Raises InputError for wrong shapes or points that are not
    finite.
    """
    points, triangles = _checked(points, triangles)
    h, w = size
    v, f = len(points), len(triangles)
    if f == 0 or h == 0 or w == 0:
        none = np.full((h, w), -1, np.int32)
        return Raster(none, np.zeros((h, w, 3), np.float32), np.full((h, w), np.inf, np.float32))
    # With flat shading the colour is the first corner's, so each triangle gets a first corner of its own.
    corners = triangles.copy()
    corners[:, 0] = v + np.arange(f)
    colors = np.zeros((v + f, 3), np.float32)
    colors[v:, 0] = np.arange(1, f + 1) * _ID_UNIT
    image, _ = _draw(
        np.concatenate([points, points[triangles[:, 0]]]), corners, colors, size, cull, flat=True
    )
    triangle = np.rint(image[..., 0] / _ID_UNIT).astype(np.int32) - 1
    seen = np.flatnonzero(triangle >= 0)
    index = triangle.reshape(-1)[seen]
    x, y = (seen % w).astype(np.float32), (seen // w).astype(np.float32)
    weights = _barycentric(points, triangles, index, x, y)
    barycentric, depth = np.zeros((h * w, 3), np.float32), np.full(h * w, np.inf, np.float32)
    barycentric[seen] = weights
    depth[seen] = np.einsum("nk,nk->n", weights, points[:, 2][triangles][index])
    return Raster(triangle, barycentric.reshape(h, w, 3), depth.reshape(h, w))


def rasterize_colors(points, triangles, colors, size, cull=False):
    """Vertex colours interpolated over the mesh, without the indices.

    points, triangles, size, cull: as `rasterize`. colors: (V, 3) in [0, 1]. Returns (h, w, 3) float32,
    0 where there is no mesh, and the (h, w) bool mask of the mesh.
    """
    points, triangles = _checked(points, triangles)
    if len(triangles) == 0 or min(size) == 0:
        return np.zeros((*size, 3), np.float32), np.zeros(size, bool)
    image, depth = _draw(points, triangles, np.asarray(colors, np.float32), size, cull, flat=False)
    return image, np.isfinite(depth)


def rasterize_attributes(points, triangles, values, size, cull=False):
    """Vertex values interpolated over the mesh, and its depth.

    points, triangles, size, cull: as `rasterize`. values: (V, C) with C a multiple of 3. Returns (h, w, C)
    float32, 0 where there is no mesh, and the (h, w) float32 depth in the unit of the points' third
    coordinate, +inf where there is none.
    """
    points, triangles = _checked(points, triangles)
    values = np.asarray(values, np.float32)
    parts = [
        _draw(points, triangles, np.ascontiguousarray(values[:, k : k + 3]), size, cull, flat=False)
        for k in range(0, values.shape[1], 3)
    ]
    image = parts[0][0] if len(parts) == 1 else np.concatenate([p for p, _ in parts], -1)
    return image, parts[0][1]


def depth_image(points, triangles, size, cull=False):
    """Depth of the nearest surface: (h, w) float32, +inf where there is none; arguments as `rasterize`."""
    points, triangles = _checked(points, triangles)
    return _draw(points, triangles, None, size, cull, flat=False)[1]


def _checked(points, triangles):
    points = np.asarray(points, np.float32)
    triangles = np.asarray(triangles, np.int32)
    if points.ndim != 2 or points.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise InputError(
            f"rasterize takes points (V, 3) and triangles (F, 3): got {points.shape} and {triangles.shape}"
        )
    if not np.isfinite(points).all():
        raise InputError("rasterize takes finite points: some coordinates are NaN or infinite")
    return points, triangles


def _draw(points, triangles, colors, size, cull, flat):
    h, w = size
    near, far = float(points[:, 2].min()), float(points[:, 2].max())
    # The unit of depth is arbitrary, so that a mesh much flatter than wide keeps its precision.
    spread = max(far - near, 1e-3)
    distance = _DISTANCE * spread
    z = points[:, 2] - (near + far) / 2 + distance
    per_pixel = z * (2 * np.tan(_FOV_Y / 2) / h)
    eye = np.empty((len(points), 3), np.float32)
    # OpenCV samples at (i + 0.5, j + 0.5), with y up.
    eye[:, 0] = (points[:, 0] + 0.5 - w / 2) * per_pixel
    eye[:, 1] = (h / 2 - 0.5 - points[:, 1]) * per_pixel
    eye[:, 2] = -z
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT if flat else cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW if cull else cv2.RASTERIZE_CULLING_NONE)
    z_far = distance + spread
    depth = np.full((h, w), z_far, np.float32)
    identity = np.eye(4, dtype=np.float32)[:3]
    view = (identity, _FOV_Y, distance - spread, z_far, settings)
    if colors is None:
        image = np.zeros((h, w, 0), np.float32)
        cv2.triangleRasterizeDepth(eye[None], triangles[None], depth, *view)
    else:
        image = np.zeros((h, w, 3), np.float32)
        cv2.triangleRasterize(eye[None], triangles[None], colors[None], image, depth, *view)
    depth[depth >= distance + 0.75 * spread] = np.inf
    depth += np.float32((near + far) / 2 - distance)
    return image, depth


def _barycentric(points, triangles, index, x, y):
    # Rows (origin, inverse of the two edges) per triangle, gathered once per pixel.
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    e, f = b - a, c - a
    area = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    area = np.where(np.abs(area) < 1e-12, np.float32(1e-12), area)
    rows = np.stack(
        [a[:, 0], a[:, 1], f[:, 1] / area, -f[:, 0] / area, -e[:, 1] / area, e[:, 0] / area], 0
    ).astype(np.float32)
    px, py, u_x, u_y, v_x, v_y = rows[:, index]
    dx, dy = x - px, y - py
    weights = np.empty((len(index), 3), np.float32)
    weights[:, 1] = u_x * dx + u_y * dy
    weights[:, 2] = v_x * dx + v_y * dy
    # A pixel exactly on an edge may lie outside by rounding.
    np.clip(weights[:, 1:], 0, 1, out=weights[:, 1:])
    weights[:, 2] = np.minimum(weights[:, 2], 1 - weights[:, 1])
    weights[:, 0] = 1 - weights[:, 1] - weights[:, 2]
    return weights
