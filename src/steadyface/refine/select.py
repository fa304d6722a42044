"""Which frames of a track the texture is learned from."""

import numpy as np

#: Least confidence of a well-tracked frame, over the track's median.
LEAST = 0.5


def select_frames(track, count):
    """Rows of a `Track`, (n,) rising, evenly spread in time over the well-tracked frames; n at most `count`.

    Well-tracked is what was seen, not interpolated, with at least `LEAST` times the median confidence; if
    that is nothing, every frame is.
    """
    good = np.asarray(track.confidence) >= LEAST * np.median(track.confidence)
    if track.interpolated is not None:
        good &= ~np.asarray(track.interpolated)
    rows = np.flatnonzero(good) if good.any() else np.arange(len(track))
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
