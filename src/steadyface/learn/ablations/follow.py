"""Faces followed through several videos at once by a network under study, without any filter."""

from collections import deque
from itertools import count

import numpy as np

from ...align.crop import Crop
from ...detect.detector import Detector

#: A crop is absurd if its side is below so many pixels, or above so many times the frame's longer side.
SMALLEST_PX, LARGEST_FRAMES = 20.0, 2.0


def follow(videos, aligner, window=1, detector=None, lost=None):
    """Landmarks of one face in each of several videos: a list of (T, 68, 2) px, NaN before it is found.

    The videos go in step, so that the network sees them as a batch. videos: iterables of images (H, W, 3)
    uint8 RGB; aligner: (frames, crops) -> (points (B, 68, 2) px, next crops), where frames[b] is the list of
    the last `window` images of a video, oldest first, the first repeated at the start, and crops[b] the
    `Crop` estimated in the frame before; detector: image -> list of `Detection`, the embedded one if None;
    lost: called with the indices of a video and a frame where the detector is asked again. A face starts in
    the detector's crop, aligned twice. A crop that is not finite or absurd makes the detector look in the
    next frame; where that finds nothing, the last sane crop serves.
    """
    detector = detector or Detector()
    streams = [_Stream(iter(video), window) for video in videos]
    frame = 0
    while True:
        live = [s for s in streams if s.advance()]
        if not live:
            break
        fresh = []
        for s in live:
            if s.next_crop is None:
                found = detector(s.frames[-1])
                if s.points and s.crop is not None and lost is not None:
                    lost(streams.index(s), frame)
                if found:
                    s.crop = found[0].crop
                    fresh.append(s)
            else:
                s.crop = s.next_crop
        # The detector's crop is rough: what is seen in it only says where to look.
        for s, _, crop in _aligned(aligner, fresh):
            s.crop = crop if is_sane(crop, s.frames[-1]) else s.crop
        done = {id(s): (points, crop) for s, points, crop in _aligned(aligner, live)}
        for s in live:
            points, crop = done.get(id(s), (np.full((68, 2), np.nan), None))
            s.points.append(points)
            s.next_crop = crop if crop is not None and is_sane(crop, s.frames[-1]) else None
        frame += 1
    return [np.array(s.points, float).reshape(-1, 68, 2) for s in streams]


class Leader:
    """An aligner that crops for others, which need not be able to follow a face: all see the same crops.

    guide: aligner, as `follow` takes it. It is asked once for a set of videos: one leader serves one set.
    """

    def __init__(self, guide):
        self.guide, self.crops = guide, []

    def led(self, aligner):
        """An aligner with another one's points and the guide's next crops, for one call of `follow`."""
        calls = count()

        def align(frames, crops):
            call = next(calls)
            if call == len(self.crops):
                self.crops.append(self.guide(frames, crops)[1])
            return aligner(frames, crops)[0], self.crops[call]

        return align


def is_sane(crop, image):
    """Whether a `Crop` can show a face of an image: finite, neither tiny nor huge, its centre inside."""
    height, width = image.shape[:2]
    x, y = crop.center
    if not np.isfinite([x, y, crop.side, crop.roll]).all():
        return False
    fits = SMALLEST_PX <= crop.side <= LARGEST_FRAMES * max(width, height)
    return bool(fits and 0 <= x <= width - 1 and 0 <= y <= height - 1)


def _aligned(aligner, streams):
    """(stream, points, next crop) of every stream that has a crop."""
    ready = [s for s in streams if s.crop is not None]
    if not ready:
        return []
    points, crops = aligner([list(s.frames) for s in ready], [s.crop for s in ready])
    return list(zip(ready, np.asarray(points, float), crops, strict=True))


class _Stream:
    """One video on its way: the last frames, the crop in use, the one estimated for the next frame."""

    def __init__(self, video, window):
        self.video = video
        self.window = window
        self.frames = deque(maxlen=window)
        self.crop: Crop | None = None
        self.next_crop: Crop | None = None
        self.points = []

    def advance(self):
        """Take the next frame; False at the end."""
        image = next(self.video, None)
        if image is None:
            return False
        self.frames.extend([image] * (1 if self.frames else self.window))
        return True
