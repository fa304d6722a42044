"""Texture-free light on the face: low order, a few numbers a frame, found in closed form (SR-VFA, sec. 2.1).

What a frame shows is texture times irradiance. The irradiance is linear in spherical harmonics of the normals
in the camera frame, which follow the light as the head turns, and in a few broad bumps over the face, which
stand for shadows and highlights.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..render.shade import spherical_harmonics, vertex_normals
from .samples import far_apart

#: Bumps over the face: how many, and their radius in mm.
BUMPS, RADIUS_MM = 24, 22.0
#: Irradiance stays within (section 2.1).
RANGE = (0.0, 10.0)
# What holds the coefficients of harmonics and of bumps down, beside squared grey levels summed over samples.
_HOLD = 1e-2, 1e5


@dataclass(frozen=True)
class IrradianceBasis:
    """B functions on the face of which the irradiance is made: nine harmonics, then bumps around centers
    (B - 9, 3) mm on the mean face."""

    centers: np.ndarray

    @classmethod
    def of(cls, model):
        """Bumps spread over the face of a `MorphableModel`, over all of one without regions."""
        face = model.regions.get("face", np.ones(model.vertex_count, bool))
        points = np.asarray(model.shape.mean, np.float32)[face]
        return cls(points[far_apart(points, BUMPS)])

    def __len__(self):
        return 9 + len(self.centers)

    @property
    def prior(self):
        """(B,) by which the coefficients' squares are held down beside the samples' squared errors."""
        return np.concatenate([np.full(9, _HOLD[0]), np.full(len(self.centers), _HOLD[1])])

    def bumps(self, points):
        """(N, B - 9) float32 of points (N, 3) mm on the mean face; each row adds up to at most 1."""
        points = np.asarray(points, np.float32)
        squared = ((points[:, None] - self.centers) ** 2).sum(-1)
        value = np.exp(-squared / (2 * RADIUS_MM**2))
        return (value / np.maximum(value.sum(1, keepdims=True), 1)).astype(np.float32)

    def __call__(self, normals, bumps):
        """(N, B) float32: normals (N, 3) unit, in the camera frame; bumps (N, B - 9)."""
        return np.concatenate([spherical_harmonics(normals).astype(np.float32), bumps], 1)


def irradiance(basis, coefficients):
    """Irradiance within `RANGE`: basis (N, B) and coefficients (B,) or (B, 3) to (N,) or (N, 3)."""
    return np.clip(basis @ coefficients, *RANGE)


class VertexIrradiance:
    """The irradiance at every vertex of a face model, from the coefficients of a frame."""

    def __init__(self, model):
        self._model, self._basis = model, IrradianceBasis.of(model)
        self._bumps = self._basis.bumps(model.shape.mean)

    def __call__(self, vertices, light):
        """(V,) float32 within `RANGE`: vertices (V, 3) mm in the camera frame, light (B,).

        Raises InputError for another number of coefficients.
        """
        light = np.asarray(light, np.float32)
        if light.shape != (len(self._basis),):
            raise InputError(f"light has ({len(self._basis)},) coefficients; got {light.shape}")
        normals = vertex_normals(np.asarray(vertices, np.float32), self._model.triangles)
        return irradiance(self._basis(normals, self._bumps), light)
