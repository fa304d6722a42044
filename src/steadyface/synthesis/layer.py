"""A lit, textured mesh drawn finely into a part of an image."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..render.rasterize import rasterize_attributes
from .sensor import HEADROOM

# Light is kept in bytes, this many steps a unit.
_STEPS = 110.0


@dataclass(frozen=True)
class Grid:
    """A box (x0, y0, x1, y1) of an image, its pixels made `finer` times finer along x and y."""

    box: tuple[int, int, int, int]
    finer: int

    @property
    def size(self):
        """(h, w) of the finer grid."""
        x0, y0, x1, y1 = self.box
        return self.finer * (y1 - y0), self.finer * (x1 - x0)

    def at(self, pixels):
        """Places in the image as places in the finer grid: (*, 2) to (*, 2) float32."""
        corner = np.array(self.box[:2], np.float32)
        return self.finer * (np.asarray(pixels, np.float32) - corner) + np.float32((self.finer - 1) / 2)

    def cut(self, image):
        """The box of an image on the finer grid, every pixel repeated: `put` gives back what was there."""
        x0, y0, x1, y1 = self.box
        h, w = self.size
        return cv2.resize(image[y0:y1, x0:x1], (w, h), interpolation=cv2.INTER_NEAREST)

    def put(self, image, fine):
        """Average a picture on the finer grid into the box of an image, in place."""
        x0, y0, x1, y1 = self.box
        image[y0:y1, x0:x1] = cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)


def clipped(low, high, size):
    """The box from low to high (2,) px that lies inside an image of size (w, h); None if hardly any does."""
    x0, y0 = np.maximum(np.floor(low).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(high).astype(int), size)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 - x0 > 3 and y1 - y0 > 3 else None


def draw_layer(figure, texture, pixels, lit, light, exposure, grid, corners, curve):
    """Colours and depth of a mesh on a grid.

    texture: ((s, s, 3), (s, s)) uint8 colours and gloss; pixels: (V, 3) px and mm; lit: (V, 3) of
    `vertex_light`; corners: (F, 3) triangles of the figure's corners; curve: (256,) the camera's. Returns
    (h, w, 3) uint8 and depth (h, w) mm, inf where there is no mesh.
    """
    colors, gloss = texture
    at = pixels[figure.source]
    at[:, :2] = grid.at(at[:, :2])
    values = np.zeros((len(figure.source), 3), np.float32)
    values[:, :2] = figure.uv * len(colors) - 0.5
    h, w = grid.size
    place, depth = rasterize_attributes(at, corners, values, (h, w), cull=True)
    x, y = cv2.extractChannel(place, 0), cv2.extractChannel(place, 1)
    color = cv2.remap(colors, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shiny = cv2.remap(gloss, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    # Light varies little from pixel to pixel: two of the finer grid's share one.
    at[:, :2] = (at[:, :2] - 0.5) / 2
    half = (h + 1) // 2, (w + 1) // 2
    glow, beyond = rasterize_attributes(at, corners, lit[figure.source], half, cull=True)
    # Beyond the mesh's edge light goes on, so that enlarging brings in no darkness.
    cv2.copyTo(cv2.dilate(glow, np.ones((3, 3), np.uint8)), np.isinf(beyond).astype(np.uint8), glow)
    mix = np.zeros((4, 3), np.float32)
    mix[:3, 0], mix[:3, 1], mix[3, 2] = light.key_color, light.sky_color, 1
    mix *= _STEPS * exposure
    glow = cv2.convertScaleAbs(cv2.transform(glow, mix))
    glow = cv2.resize(glow, (2 * glow.shape[1], 2 * glow.shape[0]), interpolation=cv2.INTER_LINEAR)[:h, :w]
    shown = cv2.multiply(color, np.ascontiguousarray(glow[..., :3]), scale=HEADROOM / _STEPS)
    highlight = cv2.multiply(shiny, cv2.extractChannel(glow, 3), scale=HEADROOM / _STEPS)
    shown = cv2.add(shown, cv2.cvtColor(highlight, cv2.COLOR_GRAY2RGB))
    return cv2.LUT(shown, curve), depth
