"""The place that a head is filmed in: what is behind it, how the camera sways, and the light."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from .lighting import Light
from .room import draw_room

#: How much larger than the frame the picture of the place is, so that the camera can sway.
MARGIN = 1.12


@dataclass(frozen=True)
class Stage:
    """A place to film in.

    picture: (H, W, 3) uint8 RGB, `MARGIN` times the frame; sway: (3, 2, 2) slow waves of the view, each with
    amplitudes (x, y) in shares of the frame's width and phases; rate: (3,) of these waves, cycles a second;
    light: the base `Light`.
    """

    picture: np.ndarray = field(repr=False)
    sway: np.ndarray
    rate: np.ndarray
    light: Light

    @classmethod
    def random(cls, rng, size, skins=None):
        """Somewhere: size: (width, height) of the frames; skins: `PortraitSkins`, whose photographs'
        surroundings serve as places in half the cases; `DrawnSkins` have none.
        """
        w, h = (int(np.ceil(MARGIN * n)) for n in size)
        picture = None
        if skins is not None and rng.random() < 0.5:
            surroundings = skins.draw(rng, 256).surroundings
            if surroundings is not None:
                picture = _enlarged(surroundings, w, h, rng)
        if picture is None:
            picture = draw_room(rng, w, h)
        amplitude = np.abs(rng.normal(0, 1, (3, 2))) * np.array([[0.006], [0.003], [0.0006]])
        sway = np.stack([amplitude, rng.uniform(0, 2 * np.pi, (3, 2))], 1)
        rate = np.array([rng.uniform(0.03, 0.08), rng.uniform(0.15, 0.35), rng.uniform(0.8, 1.6)])
        return cls(picture, sway, rate, Light.random(rng))

    def view(self, seconds, size, window=None):
        """The place at a time: (h, w, 3) uint8 RGB.

        size: (width, height) of the whole frame; window: (x0, y0, x1, y1) of it, if only that is wanted.
        """
        wave = np.sin(2 * np.pi * self.rate[:, None] * seconds + self.sway[:, 1]) * self.sway[:, 0]
        shift = wave.sum(0) * size[0]
        free = (np.array(self.picture.shape[1::-1]) - np.array(size)) / 2
        x, y = free + np.clip(shift, -free + 1, free - 1)
        x0, y0, x1, y1 = window or (0, 0, *size)
        turn = np.array([[1, 0, x + x0], [0, 1, y + y0]], np.float32)
        return cv2.warpAffine(
            self.picture,
            turn,
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _enlarged(picture, w, h, rng):
    """What a photograph shows beside its head, as an unsharp place: (h, w, 3) uint8."""
    n = len(picture)
    # Beyond a photograph's edge its outermost pixels were continued; in the middle there was the head.
    rows = slice(int(0.08 * n), int(0.5 * n))
    left, right = picture[rows, int(0.03 * n) : int(0.17 * n)], picture[rows, int(0.83 * n) : int(0.97 * n)]
    if rng.random() < 0.5:
        left, right = right[:, ::-1], left[:, ::-1]
    left, right = (
        cv2.resize(np.ascontiguousarray(part), (w, h), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        for part in (left, right)
    )
    middle = rng.uniform(0.3, 0.7)
    mix = np.clip((np.arange(w) / w - middle) / 0.35 + 0.5, 0, 1).astype(np.float32)
    mix = (mix * mix * (3 - 2 * mix))[None, :, None]
    out = cv2.GaussianBlur(left + (right - left) * mix, (0, 0), rng.uniform(0.008, 0.02) * w)
    return np.clip(out, 0, 255).astype(np.uint8)
