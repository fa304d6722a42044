"""A frame unwrapped onto the texture: what colour it shows of each texel, how well (SR-VFA, sec. 2.1)."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import InputError
from ..image import check_image
from ..render.rasterize import rasterize
from ..render.shade import vertex_normals
from .layout import EYEBALLS, texture_layout

#: A surface seen at a smaller cosine to the line of sight is not used; towards it the weight falls smoothly.
LEAST_COSINE, ANGLE_POWER = 0.2, 2.0
#: Surface this far behind the nearest one is hidden.
HIDDEN_MM = 3.0
#: A jump in depth is an outline, where the colours of two surfaces mix: the weight rises over this distance.
JUMP_MM, INSET_MM = 5.0, 4.0
# Colours are read from a smaller image where the texture is coarser than the image by more than this.
_COARSER = 1.5
# What hides what is told at this many px/mm at most.
_TELL = 1.25
# cv2.remap takes no line longer than 2^15.
_LINE = 1024


@dataclass(frozen=True)
class Unwrapped:
    """The n texels that a frame shows.

    index: (n,) into the N texels of the `UVUnwrap`, increasing; color: (n, 3) float32, 0..255; weight: (n,)
    float32 in (0, 1], how well each is seen.
    """

    index: np.ndarray
    color: np.ndarray
    weight: np.ndarray


class UVUnwrap:
    """The texels of a model's texture, made once.

    size: S, of S x S texels; uv: (U, 2) texture coordinates in [0, 1], v down, `texture_layout` of the model
    unless given. N texels lie on the surface: texel (N,), their places i * S + j, increasing; triangle (N,)
    and barycentric (N, 3) of each; mirror (N, 2), x and y in texels of the same spot on the other side, NaN
    where the model knows none. density: texels/mm over the face. Raises InputError for a model without
    texture coordinates or a size below 8.
    """

    def __init__(self, model, size=512, uv=None):
        if not size >= 8:
            raise InputError(f"a texture needs a size of at least 8 texels; got {size}")
        self.model, self.size = model, int(size)
        self.uv = np.asarray(texture_layout(model) if uv is None else uv, np.float32)
        flat = np.concatenate([self.uv * size - 0.5, np.zeros((len(self.uv), 1), np.float32)], 1)
        raster = rasterize(flat, model.uv_triangles, (self.size, self.size))
        self.texel = np.flatnonzero(raster.triangle >= 0).astype(np.int32)
        self.triangle = raster.triangle.reshape(-1)[self.texel]
        self.barycentric = raster.barycentric.reshape(-1, 3)[self.texel]
        self.mirror = self._mirror()
        self.density = self._density()
        self._corners = np.ascontiguousarray(model.triangles[self.triangle].T)
        self._weights = np.ascontiguousarray(self.barycentric.T)
        # Eyeballs lie closer behind the lids than depth can tell.
        part = np.zeros(len(model.triangles), np.uint8)
        for k, name in enumerate((*EYEBALLS, "tongue")):
            if name in model.regions:
                part[model.regions[name][model.triangles].all(1)] = k + 1
        self._part = part

    def __len__(self):
        return len(self.texel)

    def at_texels(self, values, index=None):
        """Vertex values at texels: (V,) or (V, C) to (n,) or (n, C) float32. index: (n,), by default all."""
        values = np.asarray(values, np.float32)
        index = np.arange(len(self)) if index is None else index
        out = np.zeros((len(index), *values.shape[1:]), np.float32)
        for corner, weight in zip(self._corners, self._weights, strict=True):
            w = weight[index]
            out += values[corner[index]] * (w if values.ndim == 1 else w[:, None])
        return out

    def image_of(self, values, empty=0.0):
        """Values of the N texels as an image: (N,) or (N, C) to (S, S) or (S, S, C) of the same type."""
        values = np.asarray(values)
        out = np.full((self.size * self.size, *values.shape[1:]), empty, values.dtype)
        out[self.texel] = values
        return out.reshape(self.size, self.size, *values.shape[1:])

    def unwrap(self, image, track, row):
        """What frame `row` of the `Track` shows: `Unwrapped`.

        image: (H, W, 3) uint8 RGB, the frame. The weight is the product of visibility (depth test against
        the mesh), angle of view, and distance from outlines; outside the image nothing is seen. Raises
        InputError for an image of another kind or size.
        """
        image = check_image(image)
        if image.shape[1::-1] != tuple(track.image_size):
            raise InputError(
                f"the track is of {track.image_size[0]} x {track.image_size[1]} pixels, the image of "
                f"{image.shape[1]} x {image.shape[0]}: give the frame as it was tracked"
            )
        scale = float(track.scale[row])
        points = track.image_points(track.model.shape, row).astype(np.float32)
        points[:, 2] /= scale
        facing = view_cosine(track.vertices(row), self.model.triangles, track.focal is not None)
        step = max(scale / self.density, 1.0)
        patch, points = _window(image, points, step if step > _COARSER else 1.0)
        if patch is None:
            return Unwrapped(np.zeros(0, int), np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
        return self._read(patch, points, facing, scale if step <= _COARSER else scale / step)

    def _read(self, patch, points, facing, scale):
        """As `unwrap`, of a window of the image. points: (V, 3) px of it, and mm; scale: its px/mm."""
        angle = np.clip((facing - LEAST_COSINE) / (1 - LEAST_COSINE), 0, None) ** np.float32(ANGLE_POWER)
        part = min(_TELL / scale, 1.0)
        h, w = (math.ceil(part * n) for n in patch.shape[:2])
        small = points * np.array([part, part, 1], np.float32)
        raster = rasterize(small, self.model.triangles, (h, w), cull=True)
        toward = (angle > 0)[self.model.triangles].all(1)
        index = np.flatnonzero(toward[self.triangle])
        x, y, z, weight = np.ascontiguousarray(self.at_texels(np.column_stack([points, angle]), index).T)
        inside = (x >= 0) & (y >= 0) & (x <= patch.shape[1] - 1) & (y <= patch.shape[0] - 1)
        column, line = (np.rint(c * np.float32(part)) for c in (x, y))
        at = np.where(inside, np.minimum(line, h - 1) * w + np.minimum(column, w - 1), 0).astype(np.int32)
        clear = inside & (z < raster.depth.reshape(-1)[at] + np.float32(HIDDEN_MM))
        clear &= self._part[raster.triangle.reshape(-1)[at]] == self._part[self.triangle[index]]
        weight *= _inset(raster, part * scale).reshape(-1)[at] * clear
        kept = np.flatnonzero(weight > 1e-3)
        return Unwrapped(index[kept], _look_up(patch, x[kept], y[kept]), weight[kept])

    def _mirror(self):
        """Where the mirrored triangle has the same spot: exactly, or where its corners' texture lies."""
        model, size = self.model, self.size
        if len(model.mirror) != model.vertex_count:
            return np.full((len(self), 2), np.nan, np.float32)
        # One set of texture coordinates of each vertex; at seams there are several.
        of_vertex = np.zeros(model.vertex_count, int)
        of_vertex[model.triangles.ravel()] = model.uv_triangles.ravel()
        other = model.mirror[model.triangles]
        corners = of_vertex[other]
        order, mirrored = np.argsort(model.triangles, 1), np.argsort(other, 1)
        keys = _key(np.sort(model.triangles, 1), model.vertex_count)
        wanted = _key(np.sort(other, 1), model.vertex_count)
        by_key = np.argsort(keys, kind="stable")
        match = by_key[np.searchsorted(keys[by_key], wanted).clip(max=len(keys) - 1)]
        exact = np.flatnonzero(keys[match] == wanted)
        there = np.take_along_axis(model.uv_triangles[match], order[match], 1)[exact]
        rows = corners[exact]
        np.put_along_axis(rows, mirrored[exact], there, 1)
        corners[exact] = rows
        # Corners on both sides of a seam, or no mirrored triangle at all.
        here = _extent(self.uv[model.uv_triangles])
        known = _extent(self.uv[corners]) < 4 * here + 4 / size
        known &= (model.mirror[other] == model.triangles).all(1)
        at = np.einsum("nkd,nk->nd", self.uv[corners][self.triangle], self.barycentric) * size - 0.5
        at[~known[self.triangle]] = np.nan
        return at.astype(np.float32)

    def _density(self):
        model = self.model
        x, flat = (
            np.asarray(model.shape.mean, float)[model.triangles],
            self.uv[model.uv_triangles] * self.size,
        )
        inside = np.ones(len(x), bool)
        if "face" in model.regions:
            inside = model.regions["face"][model.triangles].all(1)
        length, texels = (
            np.linalg.norm(c - np.roll(c, 1, 1), axis=-1).sum(1)[inside] for c in (x, flat.astype(float))
        )
        return float(np.median(texels / np.maximum(length, 1e-9)))


def view_cosine(vertices, triangles, perspective):
    """Cosine between normals and the direction to the viewer: (V,) float32. vertices: (V, 3) mm."""
    vertices = np.asarray(vertices, np.float32)
    normals = vertex_normals(vertices, triangles)
    if not perspective:
        return -normals[:, 2]
    return -(normals * vertices).sum(-1) / np.maximum(np.linalg.norm(vertices, axis=-1), 1e-6)


def _window(image, points, step):
    """The part of the image that shows the points, reduced by `step`, and the points in it."""
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(points[:, :2].min(0)) - 2, 0, limit).astype(int)
    high = np.clip(np.ceil(points[:, :2].max(0)) + 3, 0, limit).astype(int)
    if (high - low < 2).any():
        return None, points
    patch = image[low[1] : high[1], low[0] : high[0]]
    points = points.copy()
    points[:, :2] -= low
    if step > 1:
        size = np.maximum(np.rint((high - low) / step), 2).astype(int)
        patch = cv2.resize(patch, size.tolist(), interpolation=cv2.INTER_AREA)
        points[:, :2] = (points[:, :2] + 0.5) * (size / (high - low)) - 0.5
    return patch, points


def _inset(raster, scale):
    """0 on outlines, where depth jumps, to 1 inside: (h, w) float32."""
    depth = np.where(raster.mask, raster.depth, np.float32(1e6))
    # A pixel's step along an oblique surface is no jump.
    jump = JUMP_MM + 8 / scale
    smooth = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) < jump
    away = cv2.distanceTransform((smooth & raster.mask).astype(np.uint8), cv2.DIST_L2, 3)
    return np.clip((away - 1) / max(INSET_MM * scale, 2.0), 0, 1)


def _look_up(image, x, y):
    """Bilinear colours: (n,) places to (n, 3) float32."""
    n = len(x)
    lines = -(-n // _LINE)
    at = np.zeros((2, max(lines, 1) * _LINE), np.float32)
    at[0, :n], at[1, :n] = x, y
    at = at.reshape(2, -1, _LINE)
    color = cv2.remap(image, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return color.reshape(-1, 3)[:n].astype(np.float32)


def _key(corners, count):
    a, b, c = corners.T.astype(np.int64)
    return (a * count + b) * count + c


def _extent(triangles):
    """Largest side of triangles (F, 3, 2): (F,)."""
    return np.linalg.norm(triangles - np.roll(triangles, 1, 1), axis=-1).max(1)
