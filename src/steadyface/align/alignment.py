"""What an alignment network says of one face in one image, and the network's own parameters of it."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .crop import Crop


@dataclass(frozen=True)
class Alignment:
    """One face in one image: pixel = scale * (R @ S)[:2] + translation (weak perspective).

    rotation: (3,) axis-angle, radians; scale: px/mm; translation: (2,) px, the image of the model's
    origin; identity: (K,) standard-normal units; expression: (E,) in [0, 1]; landmark_sigma: (68,)
    standard deviation of each iBUG-68 point, px; confidence: probability in [0, 1] that a face is there.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    landmark_sigma: np.ndarray
    confidence: float

    @cached_property
    def rotation_matrix(self):
        """(3, 3), head to camera."""
        return cv2.Rodrigues(np.asarray(self.rotation, float))[0]

    @cached_property
    def crop(self):
        """The `Crop` of this face: where the network should look for it in the next frame."""
        return Crop.from_pose(self.rotation_matrix, self.scale, self.translation)

    @cached_property
    def vagueness(self):
        """Mean standard deviation of the landmarks over the crop's side."""
        return float(self.landmark_sigma.sum()) / len(self.landmark_sigma) / self.crop.side

    def project(self, shape):
        """Points of a `LinearShape`, (P, 3): x and y in image px, depth from the head's origin in px."""
        # In the basis' own precision: another would convert all of it, every frame.
        kind = shape.mean.dtype
        turn = (self.scale * self.rotation_matrix).astype(kind)
        # matmul by a matrix of three columns goes the slow way; as (3, 3) by (3, P) it does not.
        points = turn @ shape(self.identity, self.expression).T
        points[:2] += np.asarray(self.translation, kind)[:, None]
        return points.T


def decode_params(params, crop, identity_count):
    """Pose in the image and coefficients of the network's parameters p = [T, identity, expression].

    params: (12 + K + E,), T the 3x4 similarity f [R; t] from model mm to crop coordinates (3DDFA_V2,
    section 2.1). Returns rotation (3, 3), scale px/mm, translation (2,) px, identity (K,) and
    expression (E,) clipped to [0, 1]. T need not be an exact similarity: R is the nearest rotation and f
    the least-squares scale of the two rows that are seen.
    """
    params = np.asarray(params, float)
    t = params[:12].reshape(3, 4)
    _, u, vt = cv2.SVDecomp(np.ascontiguousarray(t[:, :3]))
    if cv2.determinant(u) * cv2.determinant(vt) < 0:
        u[:, 2] *= -1
    rotation = u @ vt
    f = float((t[:2, :3] * rotation[:2]).sum()) / 2
    turned = rotation.copy()
    turned[:2] = crop.rotation @ rotation[:2]
    identity = params[12 : 12 + identity_count]
    expression = params[12 + identity_count :].clip(0, 1)
    return turned, f * crop.side, crop.to_image(t[:2, 3]), identity, expression


def encode_params(rotation, scale, translation, identity, expression, crop):
    """Inverse of `decode_params`: (12 + K + E,) parameters of a pose in the image, seen in a crop.

    rotation: (3, 3); scale: px/mm; translation: (2,) px; identity: (K,); expression: (E,).
    """
    turn = np.eye(3)
    turn[:2, :2] = crop.rotation.T
    t = np.zeros((3, 4))
    t[:, :3] = scale / crop.side * (turn @ rotation)
    t[:2, 3] = crop.from_image(translation)
    return np.concatenate([t.ravel(), identity, expression])


def alignment_from_output(params, log_sigma, confidence, crop, identity_count):
    """The `Alignment` of one row of the regressor's outputs.

    params: (12 + K + E,); log_sigma: (68,) natural log of the landmarks' standard deviation in crop units;
    confidence: in [0, 1]; crop: the `Crop` that the network saw.
    """
    rotation, scale, translation, identity, expression = decode_params(params, crop, identity_count)
    return Alignment(
        cv2.Rodrigues(rotation)[0][:, 0],
        scale,
        translation,
        identity,
        expression,
        np.exp(np.asarray(log_sigma, float)) * crop.side,
        float(confidence),
    )
