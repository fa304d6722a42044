"""The same face under another identity: pose and expression take up what the identity leaves."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ..face_model.morphable import LinearShape

#: How closely the landmarks are kept, mm on the head.
KEPT_MM = 2.0
#: Weight of the depth, which a picture hardly shows, relative to the two other directions.
DEPTH = 0.3
#: Standard deviations of what may change: rotation rad, translation mm, log scale, expression.
ROTATION, TRANSLATION_MM, LOG_SCALE, EXPRESSION = 0.05, 20.0, 0.1, 0.15


@dataclass(frozen=True)
class IdentityExchange:
    """Puts another identity in an alignment, and keeps its landmarks where they were, as nearly as can be.

    A network's errors in identity, pose and expression cancel in the image; so a mean identity put in the
    place of a frame's own moves the points, unless pose and expression follow: one regularised linear
    least-squares step. In the head's own frame that step is the same at every pose, so it is one matrix,
    made once. shape: the `LinearShape` of the iBUG-68 landmarks.
    """

    shape: LinearShape
    _centroid: np.ndarray = field(init=False, repr=False)
    _operator: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        centroid = self.shape.mean.mean(0).astype(float)
        object.__setattr__(self, "_centroid", centroid)
        object.__setattr__(self, "_operator", _operator(self.shape, centroid))

    def __call__(self, alignment, identity):
        """alignment: `Alignment`; identity: (K,). Returns an `Alignment` of that identity."""
        step = self._operator @ (np.asarray(identity, float) - alignment.identity)
        rotation = alignment.rotation_matrix
        turned = rotation @ cv2.Rodrigues(step[:3])[0]
        scale = float(alignment.scale * np.exp(step[6]))
        # The centroid, which the step turns and scales the head about, moves by the shift alone.
        moved = alignment.translation + alignment.scale * (rotation @ (self._centroid + step[3:6]))[:2]
        return replace(
            alignment,
            rotation=cv2.Rodrigues(turned)[0][:, 0],
            scale=scale,
            translation=moved - scale * (turned @ self._centroid)[:2],
            identity=np.asarray(identity, float),
            expression=np.clip(alignment.expression + step[7:], 0, 1),
        )


def _operator(shape, centroid):
    """(7 + E, K): the step that best undoes a change of identity at the landmarks.

    Rows: rotation and shift (mm) in the head's frame, log scale, expression.
    """
    x = shape.mean.astype(float) - centroid
    zero, one = np.zeros(len(x)), np.ones(len(x))
    motions = np.stack(
        [
            np.stack([zero, -x[:, 2], x[:, 1]], -1),
            np.stack([x[:, 2], zero, -x[:, 0]], -1),
            np.stack([-x[:, 1], x[:, 0], zero], -1),
            np.stack([one, zero, zero], -1),
            np.stack([zero, one, zero], -1),
            np.stack([zero, zero, one], -1),
            x,
            *shape.expression_basis,
        ]
    )
    weight = np.array([1, 1, DEPTH]) / KEPT_MM
    a = (motions * weight).reshape(len(motions), -1)
    b = (shape.identity_basis * weight).reshape(len(shape.identity_basis), -1)
    spread = [ROTATION] * 3 + [TRANSLATION_MM] * 3 + [LOG_SCALE] + [EXPRESSION] * len(shape.expression_basis)
    prior = np.array(spread)
    return np.linalg.solve(a @ a.T + np.diag(prior**-2.0), -a @ b.T)
