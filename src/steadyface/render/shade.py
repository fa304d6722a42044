"""Attributes, textures and light on a rasterised mesh."""

from dataclasses import dataclass, field

import cv2
import numpy as np


def triangle_normals(points, triangles):
    """Outward normals scaled by twice the area. points: (V, 3), triangles: (F, 3). Returns (F, 3)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    e, f = b - a, c - a
    return np.stack(
        [
            e[:, 1] * f[:, 2] - e[:, 2] * f[:, 1],
            e[:, 2] * f[:, 0] - e[:, 0] * f[:, 2],
            e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0],
        ],
        -1,
    )


def vertex_normals(points, triangles):
    """Unit outward normals, area-weighted: (V, 3), for triangles counter-clockwise as seen in the image."""
    faces = triangle_normals(points, triangles)
    index = triangles.ravel()
    n = np.stack(
        [np.bincount(index, np.repeat(faces[:, k], 3), minlength=len(points)) for k in range(3)], -1
    ).astype(np.float32)
    return n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-12)


def interpolate(raster, triangles, values):
    """Vertex values at the pixels of a raster.

    triangles: (F, 3); values: (V, C). Returns (h, w, C) float32, 0 where there is no mesh.
    """
    values = np.asarray(values, np.float32)
    out = np.zeros((*raster.triangle.shape, values.shape[1]), np.float32)
    mask = raster.mask
    corners = triangles[raster.triangle[mask]]
    w = raster.barycentric[mask]
    total = values[corners[:, 0]] * w[:, :1]
    total += values[corners[:, 1]] * w[:, 1:2]
    total += values[corners[:, 2]] * w[:, 2:]
    out[mask] = total
    return out


def sample_texture(raster, uv, uv_triangles, texture):
    """Bilinear texture colours at the pixels of a raster.

    uv: (U, 2) in [0, 1], v down; uv_triangles: (F, 3); texture: (th, tw, C). Returns (h, w, C), 0 where
    there is no mesh.
    """
    th, tw = texture.shape[:2]
    at = interpolate(raster, uv_triangles, uv * np.array([tw, th]) - 0.5)
    out = cv2.remap(texture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out[~raster.mask] = 0
    return out


def spherical_harmonics(normals):
    """The nine real spherical harmonics up to order 2 of unit normals: (*, 3) to (*, 9), unnormalised.

    Irradiance of distant light is linear in them to 1 % (Ramamoorthi and Hanrahan 2001, eq. 10).
    """
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    return np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], -1)


@dataclass(frozen=True)
class Lighting:
    """Light on a mesh: ambient (9, 3) spherical-harmonic coefficients per colour, and lamps far away.

    direction: (L, 3) unit vectors towards the lamps in the camera frame; color: (L, 3); specular: strength
    and shininess: exponent of the Blinn-Phong highlight.
    """

    ambient: np.ndarray = field(default_factory=lambda: np.eye(9)[:, :1] * np.full(3, 0.55))
    direction: np.ndarray = field(default_factory=lambda: np.array([[-0.3, -0.5, -0.81]]))
    color: np.ndarray = field(default_factory=lambda: np.full((1, 3), 0.6))
    specular: float = 0.0
    shininess: float = 20.0


def shade(albedo, normals, lighting):
    """Colours of lit points: Lambert plus ambient plus Blinn-Phong, the viewer at z = -infinity.

    albedo: (*, 3) in [0, 1]; normals: (*, 3) unit, camera frame. Returns (*, 3), not clipped.
    """
    n = normals.reshape(-1, 3).astype(np.float32)
    light = spherical_harmonics(n) @ lighting.ambient.astype(np.float32)
    direction, color = lighting.direction.astype(np.float32), lighting.color.astype(np.float32)
    light += np.maximum(n @ direction.T, 0) @ color
    out = albedo.reshape(-1, 3) * np.maximum(light, 0)
    if lighting.specular > 0:
        half = direction + np.array([0, 0, -1], np.float32)
        half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
        out += lighting.specular * np.maximum(n @ half.T, 0) ** lighting.shininess @ color
    return out.reshape(albedo.shape)
