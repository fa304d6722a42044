"""Windows of adjacent frames with the landmarks of the last: what local motion networks learn from."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..align.crop import Crop
from ..align.face_square import face_square
from ..networks.local_motion import LANDMARKS
from ..points.ibug68_mirror import IBUG68_MIRROR
from .augment import Appearance, AugmentConfig, draw_view
from .sequences import load_sequences


@dataclass(frozen=True)
class WindowConfig:
    """What windows are made of.

    folder: short videos as `load_sequences` reads them; first, last: the part of the videos that is used;
    size: windows in a batch; window: frames of one; image_size: side of the crops, px; still: share of
    windows that show one frame again and again, as a stream begins. Blur and grain are drawn in pixels, of
    which these small crops have few: less often than of larger ones.
    """

    folder: str
    first: float = 0.0
    last: float = 0.9
    size: int = 8
    window: int = 3
    image_size: int = 64
    still: float = 0.05
    seed: int = 0
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(blur=0.15, noise=0.25))

    def videos(self, count):
        """The indices of the videos used of so many: a range."""
        return range(round(self.first * count), round(self.last * count))


class WindowMaker:
    """Makes the batches of a configuration one by one.

    Call with a batch number. Returns a dict: images (B, T, S, S, 3) uint8 RGB, oldest first, all of a window
    cropped by the square of the face in the last frame but one, which strays; landmarks (B, 68, 2) float32 of
    the last frame in sides of that square. Windows run forwards or backwards, as filmed or mirrored (the
    paper's section 4.1), and each has one look (light, colours, something in front).
    """

    def __init__(self, config):
        # The workers share the cores with the trainer.
        cv2.setNumThreads(1)
        self.config = config
        self.sequences = load_sequences(config.folder)
        self.videos = config.videos(len(self.sequences))
        self.appearance = Appearance(config.augment, config.image_size, config.seed)

    def epoch(self):
        """Windows that the videos hold without overlap, forwards and backwards, as filmed and mirrored."""
        return 4 * len(self.videos) * (self.sequences.frames // self.config.window)

    def __call__(self, number):
        c = self.config
        rng = np.random.default_rng((c.seed, number))
        images = np.empty((c.size, c.window, c.image_size, c.image_size, 3), np.uint8)
        landmarks = np.empty((c.size, LANDMARKS, 2), np.float32)
        for i in range(c.size):
            view = draw_view(rng, c.augment)
            rows = self._draw_rows(rng)
            crop = strayed(self.sequences.crops[rows[-2]], view)
            pictures, landmarks[i] = window_of(self.sequences, rows, crop, c.image_size, view.mirrored)
            look, _, _ = self.appearance.draw_look(rng)
            degrade = self.appearance.draw_degradation(rng)
            other = self._other(rng)
            for t, picture in enumerate(pictures):
                images[i, t] = degrade(look(picture, other))
        return {"images": images, "landmarks": landmarks}

    def _draw_rows(self, rng):
        """Rows of the frames of one window, oldest first."""
        c, frames = self.config, self.sequences.frames
        video = self.videos[rng.integers(len(self.videos))]
        rows = video * frames + rng.integers(frames - c.window + 1) + np.arange(c.window)
        if rng.random() < 0.5:
            rows = rows[::-1]
        return np.repeat(rows[-1:], c.window) if rng.random() < c.still else rows

    def _other(self, rng):
        # What covers a face is textured by a piece of another picture, which must be larger than the crop.
        large = self.config.image_size + 40
        row = self.videos[rng.integers(len(self.videos))] * self.sequences.frames
        return cv2.resize(self.sequences.images[row], (large, large))


def strayed(crop, view):
    """A head's `Crop` that misses it so that the head is seen in it as in a `View`, not yet mirrored."""
    turned = Crop(crop.center, crop.side / view.scale, crop.roll - view.roll)
    return Crop(turned.to_image(-view.shift), turned.side, turned.roll)


def window_of(sequences, rows, crop, size, mirrored=False):
    """One window seen through the face's square of a head's crop.

    sequences: `Sequences`; rows: its frames, oldest first; crop: `Crop` of the head, px of the frame. Returns
    (T, size, size, 3) uint8 and the last frame's landmarks (68, 2) in sides of the square.
    """
    square = face_square(crop)
    seen = {row: sequences.view(row, square, size) for row in dict.fromkeys(rows)}
    pictures = np.stack([seen[row] for row in rows])
    points = square.from_image(sequences.landmarks68[rows[-1]])
    if mirrored:
        pictures = pictures[:, :, ::-1]
        points = points[IBUG68_MIRROR] * [-1, 1]
    return np.ascontiguousarray(pictures), points.astype(np.float32)
