"""Pictures for the detector's training, drawn ahead by a process of its own into shared memory."""

import os
import time
from multiprocessing import get_context

import cv2
import numpy as np

from .detector_data import Composer, read_portraits, reference_shape

#: Pixels of a drawn picture, and how many faces it has at most.
SIDE, MAX_FACES = 256, 4
#: Shapes a batch is cut to: square, and the wide and tall frames of video.
SHAPES = ((256, 256), (256, 256), (160, 256), (160, 256), (256, 160))


class PictureRing:
    """The last `slots` pictures drawn by a `Composer` in another process; a context manager.

    folders: portrait folders as `read_portraits` takes them; drawn: pictures drawn before, of a run that
    is resumed. The process draws until it is `drawn` to what was asked for by `want`.
    """

    def __init__(self, folders, slots, seed=0, backgrounds=500, drawn=0):
        context = get_context("spawn")
        self.slots, self._before = slots, drawn
        images = context.RawArray("B", slots * SIDE * SIDE * 3)
        labels = context.RawArray("f", slots * MAX_FACES * 6)
        self._pictures, self._faces = _arrays(images, labels)
        self._drawn, self._stop = context.Value("q", drawn, lock=False), context.Event()
        self._wanted = context.Value("d", drawn, lock=False)
        shared = images, labels, self._drawn, self._wanted, self._stop
        arguments = (shared, [str(f) for f in folders], seed, backgrounds)
        self._painter = context.Process(target=_paint, args=arguments, daemon=True)
        self._painter.start()

    @property
    def drawn(self):
        """Pictures drawn so far."""
        return int(self._drawn.value)

    def want(self, more):
        """Ask for so many more pictures; fractions add up."""
        self._wanted.value += more

    def wait(self):
        """Wait for what was asked for. Raises RuntimeError if the process has ended."""
        while self.drawn < self._wanted.value:
            if not self._painter.is_alive():
                raise RuntimeError("the process that draws the pictures ended; its message is above")
            time.sleep(0.2)

    def batch(self, rng, size):
        """Random windows of one random shape, mirrored half the time.

        Returns (size, h, w, 3) uint8 and a list of as many faces (M, 6), see `Composer`.
        """
        filled = min(self.drawn - self._before, self.slots)
        chosen = (rng.integers(filled, size=size) + self._before) % self.slots
        height, width = SHAPES[rng.integers(len(SHAPES))]
        images, faces = np.empty((size, height, width, 3), np.uint8), []
        for k, slot in enumerate(chosen):
            top, left = rng.integers(SIDE - height + 1), rng.integers(SIDE - width + 1)
            picture, found = cut_window(
                self._pictures[slot], self._faces[slot].copy(), top, left, height, width
            )
            if rng.random() < 0.5:
                picture = picture[:, ::-1]
                found = found * (-1, 1, 1, -1, 1, 1) + (width - 1, 0, 0, 0, 0, 0)
            images[k] = picture
            faces.append(found)
        return images, faces

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._painter.join(10)
        if self._painter.is_alive():
            self._painter.terminate()


def _arrays(images, labels):
    pictures = np.frombuffer(images, np.uint8).reshape(-1, SIDE, SIDE, 3)
    return pictures, np.frombuffer(labels, np.float32).reshape(-1, MAX_FACES, 6)


def _paint(shared, folders, seed, backgrounds):
    images, labels, drawn, wanted, stop = shared
    cv2.setNumThreads(0)
    # Training comes first.
    os.nice(2)
    composer = Composer(read_portraits(folders, reference_shape()), None, seed, backgrounds)
    rng = np.random.default_rng([seed, drawn.value])
    pictures, faces = _arrays(images, labels)
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        if drawn.value >= wanted.value:
            time.sleep(0.02)
            continue
        picture, found = composer.draw(rng, SIDE, SIDE)
        slot = drawn.value % len(pictures)
        pictures[slot] = picture
        faces[slot] = 0
        faces[slot, : len(found)] = found
        drawn.value += 1


def cut_window(image, faces, top, left, height, width):
    """A window of a picture and its faces, those cut off too far no longer counting.

    image: (H, W, 3); faces: (M, 6) as `Composer.draw` returns. Returns the same of the window.
    """
    faces = faces[faces[:, 2] > 0] - np.array([left, top, 0, 0, 0, 0], np.float32)
    half = 0.4 * faces[:, 2]
    overlap = 1.0
    for axis, size in ((0, width), (1, height)):
        low, high = faces[:, axis] - half, faces[:, axis] + half
        overlap = overlap * (np.minimum(high, size) - np.maximum(low, 0)).clip(0) / (2 * half + 1e-9)
    inside = ((faces[:, :2] > -2) & (faces[:, :2] < (width + 1, height + 1))).all(1)
    # A face much larger than the window still shows enough of itself when its centre is inside.
    seen = (overlap > 0.5) | ((overlap > 0.25) & (faces[:, 2] > 0.9 * min(height, width)))
    faces[:, 5] *= inside & seen
    return image[top : top + height, left : left + width], faces
