"""Strands of hair: cut into pieces, lit, and drawn behind the head or before it."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .lighting import DISPLAY
from .sensor import HEADROOM

_LEVELS = 18
# Points in a piece of a strand, which lies wholly before or behind the head.
_PIECE = 4
_FRACTION = 3


@dataclass(frozen=True)
class Strands:
    """Strands of hair in the model frame.

    points: (N, P, 3) mm; normal: (N, P, 3) outwards, unit; tint: (N,) factor of the hair's colour, -1 for
    grey; width: mm as drawn.
    """

    points: np.ndarray
    normal: np.ndarray
    tint: np.ndarray
    width: float

    @cached_property
    def _index(self):
        p = self.points.shape[1]
        starts = np.array([*range(0, p - _PIECE, _PIECE - 1), p - _PIECE])
        return starts[:, None] + np.arange(_PIECE)

    @cached_property
    def pieces(self):
        """Points (M, 4, 3) mm, and per piece its normal (M, 3), direction (M, 3) unit, and strand (M,)."""
        index = self._index
        points = self.points[:, index].reshape(-1, _PIECE, 3).astype(np.float32)
        normal = self.normal[:, index].mean(2).reshape(-1, 3).astype(np.float32)
        along = points[:, -1] - points[:, 0]
        along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
        strand = np.repeat(np.arange(len(self.points)), len(index))
        return points, normal, along, strand


@dataclass(frozen=True)
class Drawn:
    """Pieces on a grid: at (M, 4, 2) px; front (M,) bool; color (M, 3) uint8; width px."""

    at: np.ndarray
    front: np.ndarray
    color: np.ndarray
    width: float


def light_pieces(strands, style, rotation, light, exposure, curve):
    """Colours of the pieces of strands under a light: (M, 3) uint8.

    style: `HairStyle`; rotation: (3, 3) head to camera. Highlights lie where a strand is square to the half
    vector (Kajiya and Kay 1989).
    """
    _, normal, along, strand = strands.pieces
    # The lamp is turned into the head's frame, which is one vector and not thousands.
    toward = (rotation.T @ light.toward).astype(np.float32)
    view = (rotation.T @ np.array([0, 0, -1.0])).astype(np.float32)
    slope = (rotation.T @ light.slope).astype(np.float32)
    half = toward + view
    half /= max(float(np.linalg.norm(half)), 1e-6)
    facing = np.clip((normal @ toward + 0.35) / 1.35, 0, 1)
    key, sky = light.key * facing, 0.85 * light.sky * np.maximum(1 + normal @ slope, 0.1)
    total = np.maximum(key + sky, 1e-3)
    factor = total**DISPLAY / total
    gloss = light.key * facing * np.clip(1 - (along @ half) ** 2, 0, 1) ** 20 * style.gloss
    tint = strands.tint[strand]
    color = np.where(tint[:, None] < 0, 0.5 * style.color + 80, style.color * np.abs(tint)[:, None])
    lit = np.outer(key * factor, light.key_color) + np.outer(sky * factor, light.sky_color)
    rgb = (color * lit + 255 * gloss[:, None]) * exposure
    return curve[np.clip(HEADROOM * rgb, 0, 255).astype(np.uint8), 0, [0, 1, 2]]


def place_pieces(at, depth, buffer, color, width, tolerance=7.0):
    """`Drawn` pieces, told apart by what lies before the surface and what behind.

    at: (M, 4, 2) px and depth: (M, 4) mm; buffer: (h, w) mm, depth of the surface; color: (M, 3).
    """
    h, w = buffer.shape
    near = np.rint(at[:, 1:3]).astype(np.int32)
    x, y = np.clip(near[..., 0], 0, w - 1), np.clip(near[..., 1], 0, h - 1)
    front = (depth[:, 1:3] < buffer[y, x] + tolerance).all(-1)
    low, high = at.min(1), at.max(1)
    shown = (high[:, 0] > 0) & (high[:, 1] > 0) & (low[:, 0] < w) & (low[:, 1] < h)
    return Drawn(at[shown], front[shown], color[shown], width)


def draw_pieces(image, drawn, front, mark=None):
    """Draw the pieces before (or behind) the surface, in place, dark ones first.

    image: (h, w, 3) uint8; mark: (h, w) uint8, set to 255 where hair is.
    """
    mine = np.flatnonzero(drawn.front == front)
    if not len(mine):
        return
    color = drawn.color[mine]
    level = color @ np.array([2, 5, 1], np.int32)
    order = np.argsort(level, kind="stable")
    at = np.rint(np.clip(drawn.at[mine[order]], -2000, 6000) * (1 << _FRACTION)).astype(np.int32)
    color = color[order]
    thick = max(1, int(drawn.width))
    # Some, dark and wide, lie beneath the others.
    under = at[:: 4 if len(at) > 3000 else 6]
    beneath = [0.84 * float(c) for c in color.mean(0)]
    cv2.polylines(image, list(under), False, beneath, max(2 * thick, 3), cv2.LINE_8, _FRACTION)
    for part, shades in zip(np.array_split(at, _LEVELS), np.array_split(color, _LEVELS), strict=True):
        if len(part):
            shade = [float(c) for c in shades.mean(0)]
            cv2.polylines(image, list(part), False, shade, thick, cv2.LINE_8, _FRACTION)
    if mark is not None:
        cv2.polylines(mark, list(at), False, 255, thick, cv2.LINE_8, _FRACTION)
