"""Glasses as curves on the head: two rims, a bridge and the arms, with lenses that may tint or reflect."""

from dataclasses import dataclass

import cv2
import numpy as np

_FRAME_COLORS = ((20, 18, 16), (60, 40, 25), (90, 60, 30), (120, 120, 125), (180, 150, 90), (70, 20, 25))


@dataclass(frozen=True)
class Glasses:
    """Someone's glasses.

    half: (2,) mm, half-width and half-height of a lens; power: of the rim's superellipse; drop: mm below the
    eyes; forward: mm before the nose's bridge; thickness: mm of the rims; color, lens: (3,) RGB 0..255; tint:
    how much the lenses darken, 0..1; glare: strength of the reflection.
    """

    half: np.ndarray
    power: float
    drop: float
    forward: float
    thickness: float
    color: np.ndarray
    lens: np.ndarray
    tint: float
    glare: float

    @classmethod
    def random(cls, rng):
        """Any common glasses; one pair in twelve is dark."""
        dark = rng.random() < 0.08
        return cls(
            half=np.array([rng.uniform(21, 27), rng.uniform(15, 22)]),
            power=float(rng.choice([2.0, 2.6, 4.0])),
            drop=float(rng.uniform(1, 5)),
            forward=float(rng.uniform(3, 7)),
            thickness=float(rng.choice([1.2, 2.2, 3.6])),
            color=np.array(_FRAME_COLORS[rng.integers(len(_FRAME_COLORS))]) * rng.uniform(0.6, 1.3),
            lens=rng.uniform(10, 40, 3) if dark else rng.uniform(170, 240, 3),
            tint=float(rng.uniform(0.7, 0.9)) if dark else float(rng.uniform(0.0, 0.06)),
            glare=float(rng.uniform(0.1, 0.5) * (rng.random() < 0.5)),
        )

    def curves(self, points478):
        """The frame on a neutral face: points478 (478, 3) mm, model frame. Returns (rims, bridge, arms):
        (2, R, 3), (B, 3) and (2, A, 3) mm; of two, the first is the subject's right.
        """
        eyes = np.stack([points478[[33, 133]].mean(0), points478[[263, 362]].mean(0)])
        front = points478[6, 2] - self.forward
        angle = np.linspace(0, 2 * np.pi, 41)[:-1]
        c, s = np.cos(angle), np.sin(angle)
        x = np.sign(c) * np.abs(c) ** (2 / self.power) * self.half[0]
        y = np.sign(s) * np.abs(s) ** (2 / self.power) * self.half[1]
        rims, arms = [], []
        for k, side in enumerate((-1, 1)):
            outward = np.abs(eyes[k, 0] + side + x)
            # Frames wrap round the face a little.
            z = front + 0.0035 * outward**2
            rims.append(np.stack([eyes[k, 0] + side + x, eyes[k, 1] + self.drop + y, z], -1))
            hinge_x = abs(eyes[k, 0]) + 1 + self.half[0]
            hinge = [
                side * hinge_x,
                eyes[k, 1] + self.drop - 0.35 * self.half[1],
                front + 0.0035 * hinge_x**2,
            ]
            ear = [side * 79.0, eyes[k, 1] + 2, 92.0]
            s = np.linspace(0, 1, 8)[:, None]
            arms.append(np.array(hinge) * (1 - s) + np.array(ear) * s)
        t = np.linspace(-1, 1, 7)
        inner = abs(eyes[0, 0]) + 1 - self.half[0] + 0.6
        level = eyes[:, 1].mean() + self.drop - 0.3 * self.half[1]
        bridge = np.stack([t * inner, level - 2.5 * (1 - t**2), front + 0 * t], -1)
        return np.stack(rims), bridge, np.stack(arms)


def draw_glasses(canvas, glasses, curves, project, depth, scale, mark):
    """Draw glasses over a picture, in place, and mark what they hide.

    canvas: (h, w, 3) uint8; curves: of `Glasses.curves`, in the camera frame, mm; project: camera points to
    pixels of the canvas; depth: (h, w) mm of what is there; scale: px/mm; mark: (h, w) uint8, set to 255.
    """
    rims, bridge, arms = curves
    thick = max(1, round(glasses.thickness * scale))
    color = [float(c) for c in np.clip(glasses.color, 0, 255)]
    fraction = 4

    def fixed(points):
        at = np.clip(project(points), -3000, 6000)
        return np.rint(at * (1 << fraction)).astype(np.int32)

    for rim in rims:
        at = fixed(rim)
        # Rims throw a thin shadow on the cheeks.
        _darken(canvas, at + np.array([0, round(3.5 * scale)]) * (1 << fraction), thick, fraction)
        _tint(canvas, at, glasses, fraction)
        if glasses.tint > 0.5:
            cv2.fillPoly(mark, [at], 255, cv2.LINE_8, fraction)
    for arm in arms:
        at, z = project(arm), arm[:, 2]
        h, w = depth.shape
        x, y = np.clip(np.rint(at).astype(int), 0, [w - 1, h - 1]).T
        # The far arm hides behind the face; hair covers the ends.
        seen = z < depth[y, x] + 4
        stop = len(seen) if seen.all() else int(np.argmin(seen))
        if stop > 1:
            for image, shade in ((canvas, color), (mark, 255)):
                cv2.polylines(image, [fixed(arm[:stop])], False, shade, thick, cv2.LINE_8, fraction)
    for image, shade in ((canvas, color), (mark, 255)):
        cv2.polylines(image, [fixed(bridge)], False, shade, thick, cv2.LINE_8, fraction)
        cv2.polylines(image, [fixed(r) for r in rims], True, shade, thick, cv2.LINE_8, fraction)


def _region(at, shape, fraction, spare):
    low = (at.min(0) >> fraction) - spare
    high = (at.max(0) >> fraction) + spare
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, [shape[1], shape[0]])
    return None if x1 <= x0 or y1 <= y0 else (slice(y0, y1), slice(x0, x1), np.array([x0, y0]))


def _darken(canvas, at, thick, fraction):
    place = _region(at, canvas.shape, fraction, 2 * thick + 4)
    if place is None:
        return
    part = canvas[place[:2]]
    line = np.zeros(part.shape[:2], np.uint8)
    cv2.polylines(line, [at - (place[2] << fraction)], True, 255, thick, cv2.LINE_8, fraction)
    line = cv2.blur(line, (2 * thick + 1, 2 * thick + 1))
    part[:] = (part * (1 - 0.22 / 255 * line[..., None])).astype(np.uint8)


def _tint(canvas, at, glasses, fraction):
    place = _region(at, canvas.shape, fraction, 2)
    if place is None:
        return
    part = canvas[place[:2]]
    inner = at - (place[2] << fraction)
    glass = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(glass, [inner], 255, cv2.LINE_8, fraction)
    alpha = glass.astype(np.float32) * (glasses.tint / 255)
    if glasses.glare > 0:
        # A window's reflection: a bright slanted band across the lens.
        low, high = inner.min(0), inner.max(0)
        x = low[0] + (high[0] - low[0]) * np.array([0.25, 0.5, 0.36, 0.1])
        band = np.zeros_like(glass)
        corners = np.column_stack([x, [low[1], low[1], high[1], high[1]]]).astype(np.int32)
        cv2.fillPoly(band, [corners], 255, cv2.LINE_8, fraction)
        band = cv2.bitwise_and(cv2.blur(band, (5, 5)), glass)
        part[:] = cv2.add(
            part, cv2.cvtColor(cv2.convertScaleAbs(band, alpha=0.5 * glasses.glare), cv2.COLOR_GRAY2RGB)
        )
    part[:] = cv2.convertScaleAbs(part + (glasses.lens - part.astype(np.float32)) * alpha[..., None])
