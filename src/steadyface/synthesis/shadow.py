"""What a lamp far away shines on: depth seen from the lamp, compared at points."""

import cv2
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

        tolerance: mm that something must lie nearer to the lamp by to count; the edge of a shadow is soft
        over two pixels of the map.
        """
        at = points @ self.axes.T
        xy = ((at[:, :2] - self.corner) * self.scale).astype(np.float32)
        total = np.zeros(len(points), np.float32)
        offsets = ((-0.8, -0.4), (0.4, -0.8), (0.8, 0.4), (-0.4, 0.8))
        for dx, dy in offsets:
            nearest = cv2.remap(
                self.depth,
                xy[:, 0] + dx,
                xy[:, 1] + dy,
                cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=1e9,
            )[:, 0]
            # From half the tolerance on darker and darker.
            total += np.clip(2 - 1.0 * (at[:, 2] - nearest) / tolerance, 0, 1)
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
