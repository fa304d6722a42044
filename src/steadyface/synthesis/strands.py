"""Draws strands of hair: lit, some behind the head and some before it."""

from dataclasses import dataclass

import cv2
import numpy as np

_LEVELS = 20
# Points in a piece of a strand, which is wholly before or behind the head.
_PIECE = 4
_FRACTION = 3


@dataclass(frozen=True)
class Pieces:
    """Pieces of strands in an image: at (M, P, 2) px; front (M,) bool; color (M, 3) uint8; order (M,) drawn in
    rising order; width px."""

    at: np.ndarray
    front: np.ndarray
    color: np.ndarray
    width: float


def cut_pieces(at, depth, buffer, color, width, tolerance=7.0):
    """Cut strands into `Pieces` before or behind a surface.

    at: (N, P, 2) px and depth: (N, P) mm of the strands; buffer: (h, w) mm, depth of the surface; color:
    (N, P, 3) 0..255.
    """
    n, p = depth.shape
    starts = [*range(0, p - _PIECE, _PIECE - 1), p - _PIECE]
    index = np.array(starts)[:, None] + np.arange(_PIECE)
    h, w = buffer.shape
    near = np.rint(at).astype(np.int32)
    inside = ((near >= 0) & (near < (w, h))).all(-1)
    x, y = np.clip(near[..., 0], 0, w - 1), np.clip(near[..., 1], 0, h - 1)
    seen = (depth < buffer[y, x] + tolerance) | ~inside
    front = seen[:, index].sum(-1) > _PIECE / 2
    shown = inside[:, index].any(-1)
    at, color = at[:, index][shown], color[:, index].mean(2)[shown]
    return Pieces(at, front[shown], np.clip(color, 0, 255).astype(np.uint8), width)


def draw_pieces(image, pieces, front, mark=None):
    """Draw the pieces before (or behind) the surface, in place, dark ones first.

    image: (h, w, 3) uint8; mark: (h, w) uint8, set to 255 where hair is.
    """
    mine = pieces.front == front
    if not mine.any():
        return
    at = np.rint(np.clip(pieces.at[mine], -2000, 6000) * (1 << _FRACTION)).astype(np.int32)
    color = pieces.color[mine]
    level = color.astype(int).sum(-1)
    bound = np.quantile(level, np.linspace(0, 1, _LEVELS + 1)[1:-1])
    which = np.searchsorted(bound, level)
    thick = max(1, int(pieces.width))
    for k in range(_LEVELS):
        group = which == k
        if group.any():
            shade = [float(c) for c in color[group].mean(0)]
            cv2.polylines(image, list(at[group]), False, shade, thick, cv2.LINE_8, _FRACTION)
    if mark is not None:
        cv2.polylines(mark, list(at), False, 255, thick, cv2.LINE_8, _FRACTION)


def strand_light(points, normal, light, style):
    """Factors of a strand's colour and its highlight: (N, P, 3) mm, camera frame, to (N, P) and (N, P).

    normal: (N, P, 3) outwards. Highlights lie where the strand is square to the half vector (Kajiya and Kay
    1989).
    """
    along = np.gradient(points, axis=1)
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    toward = light.toward.astype(np.float32)
    half = toward + np.array([0, 0, -1], np.float32)
    half /= max(float(np.linalg.norm(half)), 1e-6)
    facing = np.clip((normal @ toward + 0.35) / 1.35, 0, 1)
    sine = np.sqrt(np.clip(1 - (along @ half) ** 2, 0, 1))
    sky = np.maximum(1 + normal @ light.slope.astype(np.float32), 0.1)
    return light.key * facing, light.sky * sky, light.key * facing * sine**40 * style.gloss
