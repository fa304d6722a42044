"""Things that move before a face: where a sprite is through time, and how it is laid over a picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from .sprites import DENSITY, Sprite, cup, hand, microphone

_MAKERS = {"hand": hand, "microphone": microphone, "cup": cup}


@dataclass(frozen=True)
class Prop:
    """A sprite through time.

    name: "hand", "microphone" or "cup"; sprite; style: of the motion; phase: (4,) radians; side: +1 or -1,
    which arm; period: seconds; anchors: (T, 3) mm, camera frame, what it follows; fps.
    """

    name: str
    sprite: Sprite
    style: int
    phase: np.ndarray
    side: float
    period: float
    anchors: np.ndarray
    fps: float

    def place(self, seconds):
        """Where its origin is in the camera frame, mm, and how far it is turned, radians."""
        t = seconds / self.period
        wave = np.sin(2 * np.pi * np.array([1.0, 0.73, 0.41, 1.9]) * t + self.phase)
        i = np.clip(seconds * self.fps, 0, len(self.anchors) - 1)
        low = int(i)
        high = min(low + 1, len(self.anchors) - 1)
        anchor = self.anchors[low] + (i - low) * (self.anchors[high] - self.anchors[low])
        s = self.side
        if self.name == "microphone":
            offset = np.array([s * 8 + 5 * wave[1], 22 + 9 * wave[0] + 5 * wave[3], -75.0])
            return anchor + offset, s * (0.35 + 0.08 * wave[2])
        # Up to the face and down again, some of the time at rest there.
        up = np.clip(0.5 + 1.4 * np.sin(2 * np.pi * t + self.phase[0]), 0, 1)
        up = up * up * (3 - 2 * up)
        if self.name == "cup":
            offset = np.array([s * (10 + 60 * (1 - up)), -6 + 230 * (1 - up) + 3 * wave[1], -70.0])
            return anchor + offset, s * (0.12 - 0.35 * up)
        if self.style == 0:
            # To and fro across the face.
            offset = np.array([s * 170 * wave[0], -20 + 45 * wave[1], -70.0])
            return anchor + offset, s * (0.35 * wave[0] + 0.3 * wave[2])
        touch = ((40, 25), (0, 30), (-5, -40), (48, -25))[self.style % 4]
        offset = np.array([s * (touch[0] + 90 * (1 - up)), touch[1] + 260 * (1 - up) + 6 * wave[3], -60.0])
        return anchor + offset, s * (-0.35 + 0.5 * (1 - up) + 0.08 * wave[2])


def make_prop(name, script, look, rng):
    """The `Prop` of a name before the face of a script: it follows the mouth, or the head."""
    sprite = _MAKERS[name](look.skin.tone, look.outfit.color, rng)
    lips = script.model.landmarks("ibug68").mean[[51, 57]].mean(0)
    point = np.zeros(3) if name == "hand" else lips
    path = script.translation + script.matrices @ point
    # Hands follow with some delay, and not the quickest motion.
    n = max(1, round(0.35 * script.fps))
    kernel = np.exp(-np.arange(2 * n) / n)
    kernel /= kernel.sum()
    padded = np.pad(path, ((2 * n - 1, 0), (0, 0)), mode="edge")
    anchors = np.stack([np.convolve(c, kernel, "valid") for c in padded.T], -1)
    return Prop(
        name,
        sprite,
        int(rng.integers(6)) % 5,
        rng.uniform(0, 2 * np.pi, 4),
        float(rng.choice([-1.0, 1.0])),
        float(rng.uniform(2.4, 3.8)),
        anchors,
        script.fps,
    )


def lay(image, prop, seconds, camera, light, exposure):
    """Lay a prop and its shadow over a picture, in place; returns its opacity (h, w) uint8.

    image: (h, w, 3) uint8; camera: `Pinhole` of the image.
    """
    h, w = image.shape[:2]
    cover = np.zeros((h, w), np.uint8)
    at, turn = prop.place(seconds)
    if at[2] < 50:
        return cover
    scale = float(camera.focal) / at[2] / DENSITY
    xy = camera.project(at[None])[0]
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[c * prop.side, -s, 0], [s * prop.side, c, 0]])
    matrix[:, 2] = xy - matrix[:, :2] @ prop.sprite.origin
    sh, sw = prop.sprite.alpha.shape
    corners = np.array([[0, 0], [sw, 0], [0, sh], [sw, sh]]) @ matrix[:, :2].T + matrix[:, 2]
    reach = 30 * scale * DENSITY
    x0, y0 = np.maximum(np.floor(corners.min(0) - reach).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0) + reach).astype(int), (w, h))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return cover
    matrix[:, 2] -= (x0, y0)
    size = (int(x1 - x0), int(y1 - y0))
    alpha = cv2.warpAffine(prop.sprite.alpha, matrix, size, flags=cv2.INTER_LINEAR)
    color = cv2.warpAffine(prop.sprite.color, matrix, size, flags=cv2.INTER_LINEAR)
    part = image[y0:y1, x0:x1]
    # A soft shadow on what is behind, away from the lamp.
    shift = -light.toward[:2] * 0.8 * reach
    shadow = cv2.warpAffine(alpha, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), size)
    shadow = cv2.blur(shadow, (int(0.4 * reach) | 1,) * 2)
    depth = 0.45 * light.key / (light.key + light.sky) / 255
    shade = cv2.cvtColor(255 - cv2.convertScaleAbs(shadow, alpha=depth * 255), cv2.COLOR_GRAY2RGB)
    dark = cv2.multiply(part, shade, scale=1 / 255)
    level = min((light.key * 0.5 + light.sky) * exposure, 1.6)
    color = cv2.convertScaleAbs(color, alpha=level)
    a = alpha.astype(np.float32)[..., None] / 255
    part[:] = cv2.convertScaleAbs(dark + (color - dark.astype(np.float32)) * a)
    cover[y0:y1, x0:x1] = alpha
    return cover
