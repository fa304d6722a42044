"""Cameras as values: points in the camera frame (mm, x right, y down, z forward) to pixels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WeakPerspective:
    """Scaled orthographic camera: pixel = scale * (x, y) + center.

    scale: (*,) pixels per mm; center: (*, 2) pixels, the image of the optical axis.
    """

    scale: np.ndarray
    center: np.ndarray

    def project(self, points):
        """points: (*, N, 3) mm. Returns (*, N, 2) pixels."""
        return (
            np.asarray(self.scale)[..., None, None] * points[..., :2] + np.asarray(self.center)[..., None, :]
        )


@dataclass(frozen=True)
class Pinhole:
    """Perspective camera with square pixels: pixel = focal * (x, y) / z + center.

    focal: (*,) pixels; center: (*, 2) pixels.
    """

    focal: np.ndarray
    center: np.ndarray

    def project(self, points):
        """points: (*, N, 3) mm with z > 0. Returns (*, N, 2) pixels."""
        return (
            np.asarray(self.focal)[..., None, None] * points[..., :2] / points[..., 2:]
            + np.asarray(self.center)[..., None, :]
        )

    def J_project(self, points):
        """Jacobian of `project` with respect to the points: (*, N, 2, 3) pixels per mm."""
        f_over_z = np.asarray(self.focal)[..., None] / points[..., 2]
        j = np.zeros((*points.shape[:-1], 2, 3), points.dtype)
        j[..., 0, 0] = j[..., 1, 1] = f_over_z
        j[..., :, 2] = -f_over_z[..., None] * points[..., :2] / points[..., 2:]
        return j
