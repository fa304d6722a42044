"""The same face under another identity: pose and expression take up what the identity leaves."""

from dataclasses import replace

import cv2
import numpy as np

#: How closely the landmarks are kept, mm on the head, for a landmark of mean uncertainty.
KEPT_MM = 2.0
#: Standard deviations of what may change: rotation rad, translation mm, log scale, expression.
ROTATION, TRANSLATION_MM, LOG_SCALE, EXPRESSION = 0.05, 20.0, 0.1, 0.15


def with_identity(alignment, identity, shape):
    """The alignment with another identity, and its landmarks where they were, as nearly as can be.

    A network's errors in identity, pose and expression cancel in the image; so a mean identity put in the
    place of a frame's own moves the points, unless pose and expression follow: one regularised linear
    least-squares step, each landmark weighed by its certainty. alignment: `Alignment`; identity: (K,);
    shape: the `LinearShape` of the iBUG-68 landmarks. Returns an `Alignment`.
    """
    difference = np.asarray(identity, float) - alignment.identity
    k, e = len(difference), len(alignment.expression)
    rotation = alignment.rotation_matrix
    before = shape(alignment.identity, alignment.expression) @ rotation.T
    center = before.mean(0)
    x = before - center
    leftover = (difference @ shape.identity_basis.reshape(k, -1)).reshape(-1, 3) @ rotation.T

    # Rows of the Jacobian, mm in the image per unit: rotation about the centroid, shift, log scale.
    jacobian = np.zeros((6 + e, len(x), 2))
    jacobian[0, :, 1] = -x[:, 2]
    jacobian[1, :, 0] = x[:, 2]
    jacobian[2] = np.stack([-x[:, 1], x[:, 0]], -1)
    jacobian[3, :, 0] = jacobian[4, :, 1] = 1
    jacobian[5] = x[:, :2]
    jacobian[6:] = (shape.expression_basis.reshape(-1, 3) @ rotation[:2].T).reshape(e, -1, 2)
    certainty = 1 / np.maximum(alignment.landmark_sigma, 1e-6)
    certainty = certainty / np.sqrt(np.mean(certainty**2)) / KEPT_MM
    weighted = (jacobian * certainty[:, None]).reshape(6 + e, -1)
    prior = np.concatenate([[ROTATION] * 3, [TRANSLATION_MM] * 2, [LOG_SCALE], np.full(e, EXPRESSION)])
    step = np.linalg.solve(
        weighted @ weighted.T + np.diag(prior**-2.0),
        -weighted @ (leftover[:, :2] * certainty[:, None]).ravel(),
    )

    turned = cv2.Rodrigues(step[:3])[0] @ rotation
    scale = float(alignment.scale * np.exp(step[5]))
    # The centroid of the old face, which the Jacobian turns and scales about, moves by the shift alone.
    image_center = alignment.translation + alignment.scale * (center[:2] + step[3:5])
    return replace(
        alignment,
        rotation=cv2.Rodrigues(turned)[0][:, 0],
        scale=scale,
        translation=image_center - scale * (turned @ (rotation.T @ center))[:2],
        identity=np.asarray(identity, float),
        expression=np.clip(alignment.expression + step[6:], 0, 1),
    )
