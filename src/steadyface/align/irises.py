"""Where the eyes look, for the sequence fit: dense alignment sees lids alone, the live network irises too."""

import numpy as np

from ..face_model.morphable import LinearShape

#: The irises' centres in the mark-up "mediapipe478".
CENTERS = (468, 473)
#: The points around an eye that tell where it is: those within so many mm of its iris.
AROUND_MM = 22.0
#: Fewer of them that are seen tell nothing.
ENOUGH = 4
#: The mean of an eye's points errs less than one of them, though their errors go together: by this factor.
POOLED = 0.33
#: Standard deviation of an iris against its eye, mm on the head.
SIGMA_MM = 0.6


class Irises:
    """Two more points of a face: the irises as live alignment has them, where dense points have the eyes.

    The eye as a whole is where dense points say; within it the iris is where the live network, whose pose
    is less exact but which was trained on moving eyes, puts it. shape: `LinearShape` of the centres.
    """

    def __init__(self, model, vertices):
        """model: `MorphableModel` with the landmarks "mediapipe478"; vertices: (N,) of the dense points."""
        self.shape = model.landmarks("mediapipe478").points(list(CENTERS))
        away = np.asarray(model.shape.mean)[vertices][None] - np.asarray(self.shape.mean)[:, None]
        #: For each eye the places of its points among the dense ones.
        self._around = [np.flatnonzero(d <= AROUND_MM) for d in np.linalg.norm(away, axis=-1)]
        lids = model.shape.points(vertices[np.concatenate(self._around)])
        self._eyes = joined(self.shape, lids)

    def __call__(self, project, scale, points, sigma):
        """The irises, (2, 2) px, and their standard deviations, (2,) px, infinite where an eye is not seen.

        project: function of a `LinearShape` to (P, 2) px, the live alignment; scale: px/mm; points, sigma:
        (N, 2) and (N,) px, the dense points, of infinite sigma where not seen.
        """
        live = project(self._eyes)
        found, spread = np.zeros((2, 2), np.float32), np.full(2, np.inf, np.float32)
        first = len(CENTERS)
        for i, around in enumerate(self._around):
            lids = live[first : first + len(around)]
            first += len(around)
            seen = np.isfinite(sigma[around])
            # Half an eye does not say where the eye is.
            if seen.sum() >= max(ENOUGH, len(around) / 2):
                found[i] = live[i] + (points[around] - lids)[seen].mean(0)
                spread[i] = np.hypot(SIGMA_MM * scale, POOLED * np.median(sigma[around][seen]))
        return found, spread


def joined(*shapes):
    """The `LinearShape` of the points of several of one model, in order."""
    return LinearShape(
        np.concatenate([s.mean for s in shapes]),
        np.concatenate([s.identity_basis for s in shapes], 1),
        np.concatenate([s.expression_basis for s in shapes], 1),
        shapes[0].expression_bounds,
    )
