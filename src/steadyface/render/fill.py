"""Gaps in an image filled smoothly from around them (push-pull pyramid: Gortler et al. 1996, sec. 3.4)."""

import cv2
import numpy as np


def push_pull(image, weight):
    """The image where its weight is 1, what lies around it where it is 0, and a mixture between.

    image: (h, w, C) float32; weight: (h, w) float32 in [0, 1]. Returns (h, w, C) float32; 0 if all weights
    are 0.
    """
    levels = [(image * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 4:
        c, w = levels[-1]
        half = (max(1, c.shape[1] // 2), max(1, c.shape[0] // 2))
        c, w = (cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (c, w))
        # One known pixel of four speaks for them all, so that the nearest known ones decide.
        more = np.minimum(1 / np.maximum(w, 0.25), 4)
        levels.append((c * more[..., None], w * more))
    c, w = levels[-1]
    out = (c.sum((0, 1)) / max(w.sum(), 1e-6)) * np.ones_like(c)
    for c, w in reversed(levels):
        out = cv2.resize(out, c.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        out = c + out * (1 - w)[..., None]
    return out
