"""Random views and random looks of a cached picture, with the labels that go with them.

A `View` is a mirroring and a similarity, applied exactly to labels and by one warp to pixels; a `Look` is
what a scene and a camera do to all frames of a clip (light, colours, occluders); a degradation is what
changes from frame to frame (blur, noise, compression).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..synthesis.picture import PICTURE_MARGIN
from .parameters import mirror


@dataclass(frozen=True)
class AugmentConfig:
    """How far views and looks stray. Angles in degrees, shifts in crop sides, probabilities in [0, 1]."""

    roll_deg: float = 8.0
    wide_roll_deg: float = 35.0
    wide_probability: float = 0.12
    scale: float = 0.08
    shift: float = 0.035
    wide_shift: float = 0.08
    grey: float = 0.12
    occlude: float = 0.2
    shade: float = 0.25
    blur: float = 0.35
    noise: float = 0.35
    compress: float = 0.25
    #: Share of a clip's frames that are blurred, noisy or compressed in another way than the rest.
    flawed: float = 0.25
    #: Frame-to-frame motion of short videos (3DDFA_V2, eq. 8), standard deviations of the liveliest; others
    #: move down to `calmest` times as much, for most frames of a real video hardly move.
    motion_roll_deg: float = 2.0
    motion_scale: float = 0.02
    motion_shift: float = 0.015
    calmest: float = 0.05


@dataclass(frozen=True)
class View:
    """Labels u in a cached picture become u' = scale * Rot2(roll) @ u + shift, after a mirroring of x.

    roll: radians; shift: (2,) crop sides.
    """

    mirrored: bool
    scale: float
    roll: float
    shift: np.ndarray


def draw_view(rng, config):
    """A random `View` around the standard crop."""
    wide = rng.random() < config.wide_probability
    roll, x, y, size = rng.standard_normal(4)
    shift = config.wide_shift if wide else config.shift
    return View(
        mirrored=bool(rng.random() < 0.5),
        scale=float(np.exp(np.clip(size * config.scale * (1.6 if wide else 1), -0.35, 0.35))),
        roll=float(np.radians(roll * (config.wide_roll_deg if wide else config.roll_deg))),
        shift=np.clip(np.array([x, y]) * shift, -0.2, 0.2),
    )


def draw_far_view(rng):
    """A `View` in which there is no roughly centred face: off to the side, far too large, or upside down."""
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    roll = rng.normal(0, 0.3)
    kind = rng.integers(3)
    if kind == 0:
        scale, shift = np.exp(rng.normal(0, 0.3)), rng.uniform(0.55, 0.8) * direction
    elif kind == 1:
        scale, shift = rng.uniform(2.5, 5), rng.uniform(0, 1.2) * direction
    else:
        scale, shift = np.exp(rng.normal(0, 0.1)), rng.uniform(0, 0.1) * direction
        roll = rng.uniform(1.9, 2 * np.pi - 1.9)
    return View(bool(rng.random() < 0.5), float(scale), float(roll), shift)


def view_labels(params, landmarks, views, model, flip_index):
    """Labels seen through views, exactly.

    params: (N, P); landmarks: (N, 478, 2); views: N; flip_index: (478,) which landmark becomes which in a
    mirrored image. Returns the new params and landmarks.
    """
    mirrored = np.array([v.mirrored for v in views])[:, None]
    params = np.where(mirrored, mirror(params, model), params)
    flipped = landmarks[:, flip_index] * np.array([-1, 1], landmarks.dtype)
    landmarks = np.where(mirrored[..., None], flipped, landmarks)

    scale = np.array([v.scale for v in views])
    roll = np.array([v.roll for v in views])
    shift = np.stack([v.shift for v in views])
    c, s = scale * np.cos(roll), scale * np.sin(roll)
    turn = np.stack([c, -s, s, c], -1).reshape(-1, 2, 2)
    similarity = params[:, :12].reshape(-1, 3, 4).astype(float)
    similarity[:, :2] = turn @ similarity[:, :2]
    similarity[:, 2] *= scale[:, None]
    similarity[:, :2, 3] += shift
    landmarks = landmarks @ turn.transpose(0, 2, 1) + shift[:, None]
    new = params.copy()
    new[:, :12] = similarity.reshape(-1, 12)
    return new, landmarks.astype(np.float32)


def view_matrix(view, source, size):
    """Affine (2, 3) from pixels of the view to pixels of the cached picture; source, size: their sides."""
    c, s = np.cos(view.roll) / view.scale, np.sin(view.roll) / view.scale
    turn = np.array([[c, s], [-s, c]])
    if view.mirrored:
        turn[0] *= -1
    gain = source / PICTURE_MARGIN
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn * gain / size
    # Pixel j of the view is u' = (j + 1/2) / size - 1/2.
    first = np.full(2, 0.5 / size - 0.5) - view.shift
    matrix[:, 2] = gain * (turn @ first) + (source - 1) / 2
    return matrix


_BORDERS = (cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101)


def view_pixels(image, view, size=120, border=cv2.BORDER_REPLICATE, fill=(0, 0, 0)):
    """The (size, size, 3) picture of a view of a cached picture."""
    return cv2.warpAffine(
        image,
        view_matrix(view, image.shape[0], size),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
        borderValue=fill,
    )


class Appearance:
    """Random looks and degradations of pictures of one size; holds the banks of noise and light."""

    def __init__(self, config, size=120, seed=0):
        self.config, self.size = config, size
        rng = np.random.default_rng(seed)
        n = size + 64
        # Grain around 128 with deviation 40, white and slightly coarse, cut at random places.
        grain = rng.standard_normal((4, n, n, 3)).astype(np.float32)
        grain[1::2] = grain[1::2].mean(-1, keepdims=True)
        for i in (2, 3):
            coarse = cv2.GaussianBlur(grain[i], (0, 0), 0.9)
            grain[i] = coarse / coarse.std()
        self.grain = np.clip(128 + 40 * grain, 0, 255).astype(np.uint8)
        self.light = np.stack([self._light(rng) for _ in range(48)])

    def _light(self, rng):
        # A shadow edge or a ramp across the face, 64 = unchanged.
        y, x = np.mgrid[: self.size, : self.size] / self.size - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        ramp = x * np.cos(angle) + y * np.sin(angle) - rng.normal(0, 0.15)
        ramp = np.tanh(ramp * rng.uniform(1, 12))
        gain = np.exp(ramp * rng.uniform(0.15, 0.7) + rng.normal(0, 0.1))
        tint = np.exp(rng.normal(0, 0.05, 3))
        return np.clip(64 * gain[..., None] * tint, 0, 255).astype(np.uint8)

    def draw_look(self, rng):
        """What light, camera colours and occluders do to a clip: a function from picture to picture."""
        c = self.config
        jitter, shade, occlude, border = rng.random(4)
        matrix = self._colour_matrix(rng) if jitter < 0.85 else None
        table = self._gamma_table(rng) if rng.random() < 0.5 else None
        light = self.light[rng.integers(len(self.light))] if shade < c.shade else None
        occluders = (
            [self._draw_occluder(rng) for _ in range(rng.integers(1, 3))] if occlude < c.occlude else ()
        )
        mode = _BORDERS[0 if border < 0.6 else 1 if border < 0.85 else 2]
        fill = tuple(rng.integers(0, 256, 3).tolist()) if rng.random() < 0.4 else (0, 0, 0)

        def apply(picture, other):
            for occluder in occluders:
                occluder(picture, other)
            if light is not None:
                picture = cv2.multiply(picture, light, scale=1 / 64)
            if matrix is not None:
                picture = cv2.transform(picture, matrix)
            if table is not None:
                picture = cv2.LUT(picture, table)
            return picture

        return apply, mode, fill

    def _colour_matrix(self, rng):
        n = rng.standard_normal(6)
        grey = np.tile([0.3, 0.59, 0.11], (3, 1))
        saturation = 0.0 if rng.random() < self.config.grey else float(np.exp(0.35 * n[0]))
        matrix = saturation * np.eye(3) + (1 - saturation) * grey
        contrast = np.exp(0.2 * n[1])
        if saturation > 0:
            matrix = np.exp(0.06 * n[2:5])[:, None] * matrix
        brightness = 18 * n[5] + 110 * (1 - contrast)
        return np.concatenate([contrast * matrix, np.full((3, 1), brightness)], 1).astype(np.float32)

    def _gamma_table(self, rng):
        gamma = np.exp(rng.normal(0, 0.35))
        return np.clip(255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)

    def _draw_occluder(self, rng):
        n = self.size
        # Most lie off the centre, as hands, hair, microphones and frames' edges do.
        center = (n / 2 + rng.normal(0, 0.35 * n, 2)).astype(int)
        axes = np.maximum(2, n * np.exp(rng.normal(-1.9, 0.5, 2))).astype(int)
        angle, colour = float(rng.uniform(0, 180)), rng.integers(0, 256, 3).tolist()
        textured, box = rng.random() < 0.6, rng.random() < 0.4
        offset = rng.integers(0, 40, 2)

        def apply(picture, other):
            mask = np.zeros((n, n), np.uint8)
            if box:
                corners = cv2.boxPoints((center.tolist(), (2 * axes).tolist(), angle))
                cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
            else:
                cv2.ellipse(mask, center.tolist(), axes.tolist(), angle, 0, 360, 255, -1)
            if textured:
                patch = other[offset[1] : offset[1] + n, offset[0] : offset[0] + n]
                cv2.copyTo(np.ascontiguousarray(patch[::-1]), mask, picture)
            else:
                picture[mask > 0] = colour

        return apply

    def draw_degradation(self, rng):
        """What a camera and a codec do to the frames of a clip: a function from picture to picture.

        Blur, noise and compression (M and P of section 2.4, and what codecs do) are as strong in every frame
        of a clip, with grain of its own; a `flawed` share of the frames has one of its own instead.
        """
        c = self.config

        def draw():
            blur, noise, compress = rng.random(3)
            return (
                self._draw_blur(rng) if blur < c.blur else None,
                float(np.exp(rng.normal(1.7, 0.7))) / 40 if noise < c.noise else 0.0,
                int(rng.integers(15, 85)) if compress < c.compress else None,
            )

        usual = draw()

        def apply(picture):
            blurred, gain, quality = draw() if rng.random() < c.flawed else usual
            if blurred is not None:
                picture = blurred(picture)
            if gain:
                i, y, x = rng.integers(len(self.grain)), *rng.integers(0, 65, 2)
                n = self.size
                grain = self.grain[i, y : y + n, x : x + n]
                picture = cv2.addWeighted(picture, 1, grain, gain, -128 * gain)
            if quality is not None:
                bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
                code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
                picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB))
            return picture

        return apply

    def _draw_blur(self, rng):
        kind = rng.integers(3)
        if kind == 0:
            width = rng.uniform(0.4, 1.8)
            return lambda picture: cv2.GaussianBlur(picture, (0, 0), width)
        if kind == 1:
            length, angle = rng.uniform(2, 8), rng.uniform(0, np.pi)
            kernel = np.zeros((9, 9), np.uint8)
            step = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
            a, b = (16 * (4 - step)).astype(int).tolist(), (16 * (4 + step)).astype(int).tolist()
            cv2.line(kernel, a, b, 255, 1, cv2.LINE_AA, 4)
            return lambda picture: cv2.filter2D(picture, -1, kernel / max(1.0, float(kernel.sum())))
        small = int(self.size / rng.uniform(1.3, 4))

        def coarsened(picture):
            down = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
            return cv2.resize(down, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

        return coarsened
