"""The square that the alignment network sees: its geometry, and its pixels."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import InputError

#: Model point (mm) whose projection is the centre of the crop: between the nose and the ears, so that
#: the head stays inside the square at every yaw.
ANCHOR_MM = (0.0, 22.0, 15.0)
#: Octaves around the middle between two halvings in which they are blended.
BLEND = 0.3
_ANCHOR = np.array(ANCHOR_MM)
#: Side of the square, mm at the head.
SIDE_MM = 220.0
#: Side of the network's input, pixels.
INPUT_SIZE = 120


@dataclass(frozen=True)
class Crop:
    """A square of the image turned by `roll`; u in [-1/2, 1/2]^2 are its own coordinates.

    image point = center + side * Rot2(roll) @ u. center: (2,) px; side: px; roll: radians, positive
    clockwise in the image. Pixel (row i, column j) of an n x n picture of it is the point
    u = ((j + 1/2) / n - 1/2, (i + 1/2) / n - 1/2).
    """

    center: np.ndarray
    side: float
    roll: float = 0.0

    @classmethod
    def from_pose(cls, rotation, scale, translation):
        """The crop of a head: depends on its similarity pose alone, never on single points.

        rotation: (3, 3); scale: px/mm; translation: (2,) px, the image of the model's origin.
        """
        center = np.asarray(translation, float) + scale * (rotation[:2] @ _ANCHOR)
        # The head's own vertical is upright in the crop; unlike an Euler angle this turns with the image,
        # so that a picture turned in its plane gives the same pixels at every yaw.
        return cls(center, float(SIDE_MM * scale), math.atan2(-rotation[0, 1], rotation[1, 1]))

    @property
    def rotation(self):
        """(2, 2) Rot2(roll): turns crop directions into image directions."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.array([[c, -s], [s, c]])

    def to_image(self, points):
        """points: (*, 2) crop coordinates. Returns (*, 2) px."""
        return np.asarray(self.center) + self.side * (np.asarray(points) @ self.rotation.T)

    def from_image(self, points):
        """points: (*, 2) px. Returns (*, 2) crop coordinates."""
        return (np.asarray(points) - np.asarray(self.center)) @ self.rotation / self.side

    def extract(self, image, n=INPUT_SIZE):
        """The crop's pixels, (n, n, 3) uint8, sampled between pixels; the border is repeated outside.

        image: (H, W, 3) uint8. Larger crops are read from the nearest area-averaged halving of the image,
        halfway between two from a blend of both (mip mapping; Williams 1983), so that the picture changes
        continuously with the crop and never jumps from one halving to the next. Raises InputError
        unless the crop is finite with a positive side.
        """
        x, y = float(self.center[0]), float(self.center[1])
        if not (math.isfinite(x + y + self.side + self.roll) and self.side > 0):
            raise InputError(f"a crop must be finite with a positive side, got {self}")
        height, width = image.shape[:2]
        # Beyond the image's own size further halvings have nothing left to average.
        octave = min(max(0.0, math.log2(self.side / n)), math.log2(max(height, width)))
        level = int(octave)
        weight = min(max((octave - level - 0.5) / BLEND + 0.5, 0.0), 1.0)
        if weight == 1:
            level, weight = level + 1, 0.0

        # The halvings keep to one grid fixed to the image: a moved crop averages the same pixels.
        block = 2 ** (level + 1 if weight > 0 else level)
        c, s = math.cos(self.roll), math.sin(self.roll)
        reach = self.side / 2 * (abs(c) + abs(s)) + 2 * block
        left, right = _blocks(x, reach, width, block)
        top, bottom = _blocks(y, reach, height, block)
        patch = image[top:bottom, left:right]
        missing_x, missing_y = -(right - left) % block, -(bottom - top) % block
        if missing_x or missing_y:
            patch = cv2.copyMakeBorder(patch, 0, missing_y, 0, missing_x, cv2.BORDER_REPLICATE)

        # Pixel 0 of the picture, from the patch's corner.
        first = self.side * (0.5 / n - 0.5)
        start = (x + first * (c - s) - left, y + first * (s + c) - top)

        def sample(patch, block):
            # Patch pixel X averages image pixels block * X ... block * X + block - 1.
            a, b = self.side / n / block * c, self.side / n / block * s
            at = [(v - (block - 1) / 2) / block for v in start]
            matrix = np.array([[a, -b, at[0]], [b, a, at[1]]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return cv2.warpAffine(patch, matrix, (n, n), flags=flags, borderMode=cv2.BORDER_REPLICATE)

        # OpenCV warps four channels in half the time that it takes for three.
        patch = cv2.cvtColor(_halved(patch, level), cv2.COLOR_RGB2RGBA)
        picture = sample(patch, 2**level)
        if weight > 0:
            coarse = sample(_halved(patch, 1), 2 ** (level + 1))
            picture = cv2.addWeighted(picture, 1 - weight, coarse, weight, 0)
        return cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB)


def _blocks(center, reach, limit, block):
    """Whole blocks of a row of `limit` pixels that cover center +- reach; at its end a broken one."""
    first = min(max(math.floor(center - reach), 0), limit - 1) // block * block
    last = min(max(math.ceil(center + reach), first + 1), limit)
    return first, min(first - (first - last) // block * block, limit)


def _halved(patch, times):
    # One halving after the other: OpenCV is three times as fast at that as at a quartering.
    for _ in range(times):
        height, width = patch.shape[:2]
        patch = cv2.resize(patch, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return patch
