"""The part of a frame that shows the face, in grey, with its slopes: what photometric refinement reads."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

#: Standard deviation of the smoothing before slopes are taken, pixels of the patch.
SMOOTH = 0.8
#: Kept around the points, of their span.
MARGIN = 0.15


@dataclass(frozen=True)
class Patch:
    """A piece of a frame, halved until the face is small enough.

    pixels: (h, w, 3) float32: grey 0..255 and its slope along x and y per pixel of the frame; offset: (2,)
    px, place of the piece's corner pixel in the frame; block: pixels of the frame along one of the patch.
    """

    pixels: np.ndarray
    offset: np.ndarray
    block: int

    def read(self, points):
        """points: (N, 2) px of the frame. Returns (N, 3), grey and slopes; the border is repeated outside."""
        at = ((points - self.offset - (self.block - 1) / 2) / self.block).astype(np.float32)
        return cv2.remap(
            self.pixels, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[:, 0]

    def contains(self, points):
        """(N,) bool: which points lie inside, a pixel from the border."""
        at = (points - self.offset) / self.block
        height, width = self.pixels.shape[:2]
        return ((at > 1) & (at < [width - 2, height - 2])).all(-1)

    def halved(self, times):
        """The patch at half the resolution, so many times."""
        return _patch(self.pixels[..., 0], self.offset, self.block, times) if times else self


def cut(image, points, height):
    """The `Patch` of a frame around points of the face.

    image: (H, W, 3) uint8 RGB; points: (N, 2) px; height: pixels of the patch that the points may span.
    """
    low, high = points.min(0), points.max(0)
    span = float((high - low).max())
    level = max(0, math.ceil(math.log2(max(span, 1) / height)))
    block = 2**level
    blocks = np.array(image.shape[1::-1]) // block
    first = np.clip(np.floor((low - MARGIN * span) / block).astype(int), 0, blocks - 4)
    last = np.clip(np.ceil((high + MARGIN * span) / block).astype(int), first + 4, blocks)
    (left, top), (right, bottom) = first * block, last * block
    grey = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    return _patch(grey.astype(np.float32), (first * block).astype(float), 1, level)


def _patch(grey, offset, block, halvings):
    for _ in range(halvings):
        # Whole blocks only: half an odd side would stretch the picture.
        grey = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
        block *= 2
    grey = cv2.GaussianBlur(grey, (0, 0), SMOOTH)
    slope = np.array([[-0.5, 0, 0.5]], np.float32) / block
    slopes = (cv2.filter2D(grey, -1, k, borderType=cv2.BORDER_REPLICATE) for k in (slope, slope.T))
    return Patch(np.dstack([grey, *slopes]), offset, block)
