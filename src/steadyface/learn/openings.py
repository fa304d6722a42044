"""How far eyes and mouth are open, from MediaPipe's points."""

import numpy as np

from ..face_model.mediapipe import LEFT_LID_PAIRS, LIP_PAIRS, RIGHT_LID_PAIRS


def openings(points, unit):
    """Openings of the eyes (*, 2), subject's right then left, and of the mouth (*,), over a unit (*,).

    points: (*, 478, 2) or (*, 478, 3) in the unit's unit. An opening is the mean of three distances between
    upper and lower lid or lip.
    """

    def gap(pairs):
        upper, lower = np.array(pairs).T
        return np.linalg.norm(points[..., upper, :] - points[..., lower, :], axis=-1).mean(-1) / unit

    return np.stack([gap(RIGHT_LID_PAIRS), gap(LEFT_LID_PAIRS)], -1), gap(LIP_PAIRS)
