"""Eyes: the colours of iris and white, painted around the iris' centre."""

from dataclasses import dataclass

import numpy as np

_IRIS_COLORS = (
    (60, 38, 24),
    (85, 55, 32),
    (40, 26, 18),
    (110, 85, 50),
    (95, 115, 90),
    (95, 125, 150),
    (130, 145, 150),
)
_SHARES = (0.26, 0.24, 0.2, 0.1, 0.08, 0.07, 0.05)


@dataclass(frozen=True)
class Eyes:
    """Someone's eyes.

    iris, white: (3,) RGB 0..255; size: of the iris, 1 as modelled; pupil: of the iris' radius; seed: of the
    iris' fibres.
    """

    iris: np.ndarray
    white: np.ndarray
    size: float
    pupil: float
    seed: int

    @classmethod
    def random(cls, rng):
        """Any natural colours."""
        iris = np.array(_IRIS_COLORS[rng.choice(len(_IRIS_COLORS), p=_SHARES)]) * rng.uniform(0.7, 1.3)
        white = np.array([215, 207, 200]) * rng.uniform(0.65, 1.0)
        white = white + np.array([0, -6, -6]) * rng.uniform(0, 3)
        seed = int(rng.integers(2**31))
        return cls(iris, white, float(rng.uniform(0.92, 1.06)), float(rng.uniform(0.27, 0.5)), seed)


def iris_radius(model, eyes=None):
    """Radius of the irises of a model, mm, of someone's eyes if given."""
    points = model.landmarks("mediapipe478").mean
    rims = ((473, (474, 475, 476, 477)), (468, (469, 470, 471, 472)))
    radius = np.mean([np.linalg.norm(points[list(r), :2] - points[c, :2], axis=-1).mean() for c, r in rims])
    return float(radius * (eyes.size if eyes else 1))


def paint_eye(eyes, offset, radius):
    """Colours of points of an eyeball.

    offset: (*, 2) mm from the centre of the iris, at rest; radius: of the iris, mm. Returns (*, 3) float32
    0..255.
    """
    x, y = offset[..., :1], offset[..., 1:]
    r = np.hypot(x, y) / radius
    paint = np.broadcast_to(eyes.white, (*offset.shape[:-1], 3)).astype(np.float32)
    # Redder towards the corners.
    paint = paint * (1 - np.clip((np.abs(x) - 7) / 10, 0, 0.25) * np.array([0.1, 0.5, 0.5]))
    phase = np.random.default_rng(eyes.seed).uniform(0, 6, 4)
    angle = np.arctan2(y, x)
    fibres = sum(np.sin(k * angle + p) for k, p in zip((9, 17, 26, 41), phase, strict=True)) / 4
    limbus, glow = np.clip((r - 0.8) / 0.2, 0, 1), np.clip((0.75 - r) / 0.4, -0.5, 1)
    iris = eyes.iris * (1 - 0.5 * limbus) * (0.9 + 0.22 * glow) * (1 + 0.16 * fibres * (1 - limbus))
    # The edges of iris and pupil are soft over a tenth of the radius.
    paint = paint + (iris - paint) * np.clip((1.05 - r) / 0.1, 0, 1)
    dark = np.clip((eyes.pupil + 0.05 - r) / 0.1, 0, 1)
    return (paint + (12 - paint) * dark).astype(np.float32)


def draw_glint(canvas, center, light, project, depth):
    """The lamp's reflection on an eyeball, in place.

    canvas: (h, w, 3) uint8; center: (3,) mm of the eyeball, camera frame; light: `Light`;
    project: camera points to pixels of the canvas; depth: (h, w) mm of what is there.
    """
    half = light.toward - center / np.linalg.norm(center)
    at = center + 15.2 * half / np.linalg.norm(half)
    (x, y), (x1, _) = project(np.stack([at, at + np.array([1.0, 0, 0])]))
    size = x1 - x
    r = int(np.ceil(3 * size)) + 1
    cx, cy = round(float(x)), round(float(y))
    h, w = depth.shape
    if not (r < cx < w - r - 1 and r < cy < h - r - 1):
        return
    place = slice(cy - r, cy + r + 1), slice(cx - r, cx + r + 1)
    gy, gx = np.mgrid[place]
    spot = np.exp(-((((gx - x) ** 2 + (gy - y) ** 2) / (0.85 * size) ** 2) ** 2))
    # Not where a lid is before the eye.
    spot = spot * (np.abs(depth[place] - at[2]) < 2.5)
    part = canvas[place]
    bright = 0.8 * min(1.0, 0.5 + 0.5 * light.key) * spot[..., None]
    part[:] = np.clip(part + (250 - part.astype(np.float32)) * bright, 0, 255).astype(np.uint8)
