"""The square that the alignment network sees: its geometry, and its pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import InputError

#: Model point (mm) whose projection is the centre of the crop: between the nose and the ears, so that
#: the head stays inside the square at every yaw.
ANCHOR_MM = (0.0, 22.0, 15.0)
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
        rotation = np.asarray(rotation, float)
        center = np.asarray(translation, float) + scale * (rotation @ np.array(ANCHOR_MM))[:2]
        # The head's own vertical is upright in the crop; unlike an Euler angle this turns with the image,
        # so that a picture turned in its plane gives the same pixels at every yaw.
        return cls(center, float(SIDE_MM * scale), float(np.arctan2(-rotation[0, 1], rotation[1, 1])))

    @property
    def rotation(self):
        """(2, 2) Rot2(roll): turns crop directions into image directions."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.array([[c, -s], [s, c]])

    @property
    def corners(self):
        """(4, 2) px, clockwise from the top left."""
        return self.to_image(np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]))

    def to_image(self, points):
        """points: (*, 2) crop coordinates. Returns (*, 2) px."""
        return np.asarray(self.center) + self.side * (np.asarray(points) @ self.rotation.T)

    def from_image(self, points):
        """points: (*, 2) px. Returns (*, 2) crop coordinates."""
        return (np.asarray(points) - np.asarray(self.center)) @ self.rotation / self.side

    def extract(self, image, n=INPUT_SIZE):
        """The crop's pixels, (n, n, 3) uint8, sampled between pixels; the border is repeated outside.

        image: (H, W, 3) uint8. Larger crops are read from area-averaged halvings of the image, blended
        between the two nearest (trilinear mip mapping; Williams 1983), so that the picture changes
        continuously with the crop and never jumps from one halving to the next. Raises InputError
        unless the crop is finite with a positive side.
        """
        values = (*np.asarray(self.center), self.side, self.roll)
        if not (np.all(np.isfinite(values)) and self.side > 0):
            raise InputError(f"a crop must be finite with a positive side, got {self}")
        height, width = image.shape[:2]
        ratio = self.side / n
        octave = max(0.0, float(np.log2(ratio)))
        # Beyond the image's own size further halvings have nothing left to average.
        octave = min(octave, float(np.log2(max(height, width))))
        level = int(octave)
        weight = octave - level

        # The halvings keep to one grid fixed to the image: a moved crop averages the same pixels.
        block = 2 ** (level + 1 if weight > 0 else level)
        low = self.corners.min(0) - 2 * block
        high = self.corners.max(0) + 2 * block
        limit = np.array([width, height])
        first = np.clip(np.floor(low), 0, limit - 1).astype(int) // block * block
        last = np.clip(np.ceil(high), first + 1, limit).astype(int)
        patch = image[first[1] : last[1], first[0] : last[0]]
        missing = -(last - first) % block
        if missing.any():
            patch = cv2.copyMakeBorder(patch, 0, int(missing[1]), 0, int(missing[0]), cv2.BORDER_REPLICATE)
        patch = _halved(patch, 2**level)
        picture = self._sample(patch, first, 2**level, n)
        if weight > 0:
            picture = cv2.addWeighted(
                picture, 1 - weight, self._sample(_halved(patch, 2), first, 2 ** (level + 1), n), weight, 0
            )
        return picture

    def _sample(self, patch, first, block, n):
        # Patch pixel X holds image pixels first + block * X ... + block - 1, so its centre lies at
        # first + block * X + (block - 1) / 2.
        a = np.empty((2, 3))
        a[:, :2] = self.side / n * self.rotation
        a[:, 2] = self.to_image(np.full(2, 0.5 / n - 0.5))
        a[:, 2] -= first + (block - 1) / 2
        a /= block
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(patch, a, (n, n), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _halved(patch, factor):
    if factor == 1:
        return patch
    height, width = patch.shape[:2]
    return cv2.resize(patch, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
