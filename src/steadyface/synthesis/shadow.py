"""What a lamp far away shines on: depth seen from the lamp, compared at points."""

import numpy as np

from ..render.rasterize import depth_image


class ShadowMap:
    """The nearest surface as a lamp far away sees it.

    axes: (3, 3) rows right, down and away from the lamp; scale: px/mm; corner: (2,) mm; depth: (n, n) mm.
    """

    def __init__(self, axes, scale, corner, depth):
        self.axes, self.scale, self.corner, self.depth = axes, scale, corner, depth

    def __call__(self, points, tolerance=3.0):
        """How much of the lamp reaches each point: (N, 3) mm to (N,) float32 in 0..1.

        tolerance: mm that something must lie nearer to the lamp by to count, by twice of it to count fully;
        the edge of a shadow is soft over two pixels of the map.
        """
        at = points @ self.axes.T
        xy = (at[:, :2] - self.corner) * self.scale
        total = np.zeros(len(points), np.float32)
        offsets = np.array([(-0.8, -0.4), (0.4, -0.8), (0.8, 0.4), (-0.4, 0.8)], np.float32)
        limit = np.array(self.depth.shape[::-1]) - 1
        for offset in offsets:
            x, y = np.clip(np.rint(xy + offset), 0, limit).astype(np.int32).T
            # Behind by the tolerance it grows darker, behind by twice of it dark.
            total += np.clip(2 - (at[:, 2] - self.depth[y, x]) / tolerance, 0, 1)
        return total / len(offsets)


def shadow_map(points, triangles, direction, size=128):
    """The `ShadowMap` of a mesh under a lamp in a direction.

    points: (V, 3) mm; direction: (3,) unit, from the mesh to the lamp; size: pixels along the longer side.
    """
    away = -np.asarray(direction, np.float32)
    side = np.cross(away, [0, 1, 0] if abs(away[1]) < 0.9 else [1, 0, 0])
    side /= np.linalg.norm(side)
    # Right-handed, so that triangles keep their sense as seen from the lamp.
    axes = np.stack([side, np.cross(away, side), away]).astype(np.float32)
    at = points.astype(np.float32) @ axes.T
    corner = at[:, :2].min(0)
    scale = (size - 1) / max(np.ptp(at[:, :2], axis=0).max(), 1e-6)
    at[:, :2] = (at[:, :2] - corner) * scale
    return ShadowMap(axes, scale, corner, depth_image(at, triangles, (size, size)))
