"""What a camera makes of light: its curve, coarser pixels, noise."""

import cv2
import numpy as np

#: Light times colour is kept in bytes at this share, so that highlights survive until the camera's curve.
HEADROOM = 0.55
_SPARE = 96


def camera_curve(gain=(1.0, 1.0, 1.0)):
    """From bytes with headroom to shown bytes, highlights rounded off: (256, 1, 3) uint8 for `cv2.LUT`."""
    x = np.arange(256)[:, None] / HEADROOM / 255 * np.asarray(gain)
    return np.clip(255 * _rounded(x) + 0.5, 0, 255).astype(np.uint8)[:, None]


def gain_curve(gain):
    """A gain (3,) RGB of shown bytes, highlights rounded off: (256, 1, 3) uint8 for `cv2.LUT`."""
    x = np.arange(256)[:, None] / 255 * np.asarray(gain)
    return np.clip(255 * _rounded(x) + 0.5, 0, 255).astype(np.uint8)[:, None]


def _rounded(x, shoulder=0.7):
    return np.where(x > shoulder, shoulder + (1 - shoulder) * np.tanh((x - shoulder) / (1 - shoulder)), x)


class Sensor:
    """The camera's pixels: coarser ones and noise that is new in every frame.

    size: (w, h); resolution, noise: see `Conditions`.
    """

    def __init__(self, size, resolution, noise, rng):
        self.size, self.noise = size, noise
        self.small = None
        if resolution < 1:
            self.small = tuple(max(round(n * resolution), 8) for n in size)
        w, h = self.small or size
        # Drawn once and cut out anew at random in every frame: noise drawn anew would take longer than faces.
        self.bank = np.empty((h + _SPARE, w + _SPARE, 3), np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
        cv2.randn(self.bank, (0, 0, 0), (16 * noise,) * 3)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.bank = (self.bank // 16).astype(np.int16)
        self.seed = int(rng.integers(2**31))

    def __call__(self, image, i):
        """Frame i as the camera stores it: (h, w, 3) uint8 to the same."""
        if self.small:
            image = cv2.resize(image, self.small, interpolation=cv2.INTER_AREA)
        if self.noise > 0:
            rng = np.random.default_rng([self.seed, i])
            h, w = image.shape[:2]
            y, x = rng.integers(_SPARE, size=2)
            noise = self.bank[y : y + h, x : x + w]
            turn = rng.integers(4)
            noise = cv2.flip(noise, int(turn) - 1) if turn < 3 else np.ascontiguousarray(noise)
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
        if self.small:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)
        return image
