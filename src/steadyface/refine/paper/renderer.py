"""A differentiable renderer: OpenCV says which triangle a pixel sees, torch where on it and what colour.

Gradients are those of a surface that is seen where it was seen: which triangle a pixel sees is not
differentiated, so silhouettes and occlusions give none, the inside of the face does.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...render.rasterize import rasterize
from .window import face_triangles


@dataclass(frozen=True)
class HeadGeometry:
    """The linear shape of a face model in torch: mean (V, 3) mm, identity (K, 3V), expression (E, 3V)."""

    mean: torch.Tensor
    identity: torch.Tensor
    expression: torch.Tensor

    @classmethod
    def of(cls, model, device: torch.device | str = "cpu", dtype=torch.float32):
        s = model.shape
        arrays = s.mean, s.identity_basis.reshape(len(s.identity_basis), -1)
        arrays = (*arrays, s.expression_basis.reshape(len(s.expression_basis), -1))
        return cls(*(torch.as_tensor(np.asarray(a), device=device, dtype=dtype) for a in arrays))

    def vertices(self, identity, expression, rotation, translation):
        """identity: (K,) or (B, K); expression: (B, E); rotation: (B, 3, 3) head to camera; translation:
        (B, 3) mm. Returns (B, V, 3) mm in the camera frame."""
        flat = self.mean.flatten() + identity @ self.identity + expression @ self.expression
        return flat.unflatten(-1, (-1, 3)) @ rotation.mT + translation[..., None, :]


def rotation_matrix(axis_angle):
    """Rotation matrices (*, 3, 3) of axis-angle vectors (*, 3), with gradients also at no rotation."""
    x, y, z = axis_angle.unbind(-1)
    o = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3)))


@dataclass(frozen=True)
class Surface:
    """What is drawn of a face model: triangles (F, 3) vertices; uv (F, 3, 2) of their corners in the maps'
    coordinates, v down; counted (F,) bool, those that are drawn: the others only hide what is behind."""

    triangles: torch.Tensor
    uv: torch.Tensor
    counted: torch.Tensor

    @classmethod
    def of(cls, model, uv, device: torch.device | str = "cpu", dtype=torch.float32):
        """The face of a `MorphableModel`; uv: (U, 2) in [0, 1] where its `uv_triangles` lie in the maps."""
        return cls(
            torch.as_tensor(model.triangles.astype(np.int64), device=device),
            torch.as_tensor(np.asarray(uv)[model.uv_triangles], device=device, dtype=dtype),
            torch.as_tensor(face_triangles(model), device=device),
        )


def project(vertices, focal, center):
    """Camera points (B, V, 3) mm to pixels (B, V, 2); focal: (B,) px; center: (B, 2) px. Torch or numpy."""
    return focal[:, None, None] * vertices[..., :2] / vertices[..., 2:] + center[:, None]


def front_triangles(surface, vertices, focal, center, size):
    """Which triangle every pixel sees: (B, H, W) int64 on the vertices' device, -1 for none.

    vertices: (B, V, 3) mm in the camera frame, z > 0; focal: (B,) px; center: (B, 2) px; size: (H, W). Made
    on the CPU whatever the device, without gradients. Raises InputError for vertices that are not finite.
    """
    device = vertices.device
    v, f, c = (x.detach().cpu().double().numpy() for x in (vertices, focal, center))
    points = np.concatenate([project(v, f, c), v[..., 2:]], -1)
    triangles = surface.triangles.cpu().numpy()

    def seen(points):
        return rasterize(points, triangles, size, cull=True).triangle

    with ThreadPoolExecutor(min(len(points), os.cpu_count() or 1)) as pool:
        return torch.as_tensor(np.stack(list(pool.map(seen, points))).astype(np.int64), device=device)


@dataclass(frozen=True)
class SurfacePixels:
    """The N pixels of B images of (H, W) that see the counted surface.

    mask: (B, H, W) bool; triangle: (N,) of each, in the order of the mask; corners: (N, 3) vertices, those of
    image b starting at b V; weights: (N, 3) barycentric, perspective-correct, with gradients.
    """

    mask: torch.Tensor
    triangle: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor

    def interpolate(self, values):
        """Vertex values (B, V, C) at the pixels: (B, C, H, W), 0 where the mask is not set."""
        at = values.flatten(0, 1)[self.corners]
        return self._spread((self.weights[..., None] * at).sum(1)).movedim(-1, 1)

    def texture_grid(self, surface):
        """Where the pixels lie in the maps: (B, H, W, 2) in [-1, 1], as `grid_sample` takes it."""
        uv = (self.weights[..., None] * surface.uv[self.triangle]).sum(1)
        return self._spread(2 * uv - 1)

    def _spread(self, values):
        out = values.new_zeros(*self.mask.shape, values.shape[-1])
        return out.index_put(self.mask.nonzero(as_tuple=True), values)


def locate(surface, vertices, focal, center, triangle):
    """The `SurfacePixels` of vertices (B, V, 3) mm in the camera frame.

    focal: (B,) px; center: (B, 2) px; triangle: (B, H, W) of `front_triangles`, which stay as they are. The
    weights are those of the point where the pixel's ray meets the triangle's plane.
    """
    mask = (triangle >= 0) & surface.counted[triangle.clamp_min(0)]
    frame, y, x = mask.nonzero(as_tuple=True)
    index = triangle[mask]
    corners = surface.triangles[index] + (frame * vertices.shape[1])[:, None]
    # Not by plain indexing: its gradient is many times slower on the CPU.
    points = vertices.flatten(0, 1).index_select(0, corners.flatten()).unflatten(0, (-1, 3))
    ray = (torch.stack([x, y], -1) - center[frame]) / focal[frame, None]
    # Sheared along the ray, which then is the z axis: volumes spanned with it are areas in x and y.
    a = points[..., :2] - ray[:, None] * points[..., 2:]
    b, c = a[:, [1, 2, 0]], a[:, [2, 0, 1]]
    area = b[..., 0] * c[..., 1] - b[..., 1] * c[..., 0]
    return SurfacePixels(mask, index, corners, area / area.sum(-1, keepdim=True))


def read_map(grid, values):
    """A map read bilinearly: grid (B, H, W, 2) of `texture_grid`; values (B or 1, C, S, T). Returns
    (B, C, H, W). Texel (i, j) has its centre at ((j + 1/2) / T, (i + 1/2) / S); the border is repeated."""
    if len(values) == len(grid):
        return functional.grid_sample(values, grid, padding_mode="border", align_corners=False)
    # One map for all images is read as one tall image: nothing is copied.
    tall = functional.grid_sample(
        values, grid.flatten(0, 1)[None], padding_mode="border", align_corners=False
    )
    return tall[0].unflatten(1, grid.shape[:2]).movedim(1, 0)


@dataclass(frozen=True)
class Rendering:
    """image: (B, 3, H, W) in [0, 1], 0 beside the face; irradiance: (B, C, H, W) at the pixels; mask:
    (B, H, W) bool, pixels that show the face."""

    image: torch.Tensor
    irradiance: torch.Tensor
    mask: torch.Tensor


def shade(pixels, texture, irradiance):
    """Texture times irradiance, both (B, C, H, W) at the pixels, cut at white: a `Rendering`."""
    inside = pixels.mask[:, None]
    return Rendering((texture * irradiance).clamp(0, 1) * inside, irradiance * inside, pixels.mask)


def render(surface, vertices, focal, center, texture, irradiance, size=None, triangle=None):
    """Render faces with their texture times their irradiance, with gradients in all arguments that are real.

    vertices: (B, V, 3) mm in the camera frame, z > 0; focal: (B,) px; center: (B, 2) px; texture: (B or 1, 3,
    S, S) in [0, 1]; irradiance: (B or 1, C, s, s) >= 0, C 1 or 3; size: (H, W), or triangle: (B, H, W) of
    `front_triangles` if known. Returns `Rendering`. SR-VFA, section 2.1: F_i = {BFM(alpha, beta, p), T * I}.
    """
    if triangle is None:
        triangle = front_triangles(surface, vertices, focal, center, size)
    pixels = locate(surface, vertices, focal, center, triangle)
    grid = pixels.texture_grid(surface)
    return shade(pixels, read_map(grid, texture), read_map(grid, irradiance))
