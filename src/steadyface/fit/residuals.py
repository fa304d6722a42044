"""Residuals of the face fit and their Jacobians: short pure functions, one pair each.

A rotation's Jacobian is with respect to a left-multiplied increment w, R <- exp(w) R; scale and focal
length are positive, so theirs is with respect to the logarithm. Shapes: points (*, L, 3) mm in the model
frame, observed (*, L, 2) px, rotation (*, 3, 3), Jacobians end in (2, parameters).
"""

import numpy as np

from ..camera import Pinhole
from ..rotation import axis_angle_from_matrix, skew

# Jacobians do not depend on the image's centre.
_ANYWHERE = np.zeros(2)


def reprojection_weak(points, rotation, scale, translation, observed):
    """Weak-perspective reprojection error: scale * (R S)_xy + translation - observed.

    scale: (*,) px per mm; translation: (*, 2) px. Returns (*, L, 2) px. (3DDFA_V2, eq. 2.)
    """
    turned = points @ np.swapaxes(rotation, -1, -2)[..., :2]
    return np.asarray(scale)[..., None, None] * turned + translation[..., None, :] - observed


def J_reprojection_weak_pose(points, rotation, scale):
    """Jacobian of `reprojection_weak` to (rotation increment 3, log scale 1, translation 2).

    Returns (*, L, 2, 6) px.
    """
    s = np.asarray(scale)[..., None, None, None]
    turned = points @ np.swapaxes(rotation, -1, -2)
    j = np.zeros((*turned.shape[:-1], 2, 6), turned.dtype)
    j[..., :3] = -s * skew(turned)[..., :2, :]
    j[..., 3] = s[..., 0] * turned[..., :2]
    j[..., 0, 4] = j[..., 1, 5] = 1
    return j


def J_reprojection_weak_points(rotation, scale):
    """Jacobian of `reprojection_weak` to the model points, the same for all of them: (*, 2, 3) px per mm."""
    return np.asarray(scale)[..., None, None] * rotation[..., :2, :]


def reprojection_pinhole(points, rotation, translation, focal, center, observed):
    """Pinhole reprojection error: focal * (x, y) / z + center - observed, with (x, y, z) = R S + translation.

    translation: (*, 3) mm; focal: (*,) px; center: (*, 2) px. Points at or behind the camera give
    non-finite errors, which the solver rejects. Returns (*, L, 2) px.
    """
    x = points @ np.swapaxes(rotation, -1, -2) + translation[..., None, :]
    seen = np.where(x[..., 2:] > 0, x, np.nan)
    return Pinhole(focal, center).project(seen) - observed


def J_reprojection_pinhole_pose(points, rotation, translation, focal):
    """Jacobian of `reprojection_pinhole` to (rotation increment 3, log focal 1, translation 3).

    Returns (*, L, 2, 7) px.
    """
    turned = points @ np.swapaxes(rotation, -1, -2)
    x = turned + translation[..., None, :]
    d = Pinhole(focal, _ANYWHERE).J_project(x)
    j = np.empty((*x.shape[:-1], 2, 7), x.dtype)
    j[..., :3] = -d @ skew(turned)
    j[..., 3] = np.asarray(focal)[..., None, None] * x[..., :2] / x[..., 2:]
    j[..., 4:] = d
    return j


def J_reprojection_pinhole_points(points, rotation, translation, focal):
    """Jacobian of `reprojection_pinhole` to the model points: (*, L, 2, 3) px per mm."""
    x = points @ np.swapaxes(rotation, -1, -2) + translation[..., None, :]
    return Pinhole(focal, _ANYWHERE).J_project(x) @ rotation[..., None, :, :]


def J_shape(J_points, basis):
    """Chain rule through a linear shape: Jacobian of a reprojection to the shape's coefficients.

    J_points: (*, L, 2, 3), or (*, 1, 2, 3) if all points share it; basis: (C, L, 3) mm per coefficient.
    Returns (*, L, 2, C).
    """
    b = np.ascontiguousarray(basis.transpose(2, 1, 0))[:, :, None, :]
    # Three multiply-adds of whole arrays: a stack of 2x3 matrix products would take many times as long.
    j = J_points[..., 0, None] * b[0]
    j += J_points[..., 1, None] * b[1]
    j += J_points[..., 2, None] * b[2]
    return j


def identity_prior(identity, strength):
    """Standard-normal prior on identity: strength * a. identity: (*, K). Returns (*, K)."""
    return strength * identity


def J_identity_prior(identity, strength):
    """Jacobian of `identity_prior`, diagonal: (*, K)."""
    return np.full_like(identity, strength)


def expression_prior(expression, l2, l1):
    """Prior on expression in [0, 1]: half its square is l2/2 e^2 + l1 e plus a constant.

    On e >= 0 the linear term is the absolute value, so small activations go to exactly 0 (as in the
    lasso) while the residual stays smooth. expression: (*, E); l2 > 0, l1 >= 0. Returns (*, E).
    """
    return np.sqrt(l2) * (expression + l1 / l2)


def J_expression_prior(expression, l2):
    """Jacobian of `expression_prior`, diagonal: (*, E)."""
    return np.full_like(expression, np.sqrt(l2))


def huber_weight(distance, threshold):
    """Iteratively-reweighted weight of Huber's loss: 1 within the threshold, threshold / distance beyond.

    distance: (*, L) >= 0, in the threshold's unit. Returns (*, L) in (0, 1].
    """
    return threshold / np.maximum(distance, threshold)


def geman_mcclure_weight(distance, threshold):
    """Iteratively-reweighted weight of Geman and McClure's loss: 1 / (1 + (d / threshold)^2)^2.

    distance: (*, L) >= 0, in the threshold's unit. Returns (*, L) in (0, 1].
    """
    return 1 / (1 + (distance / threshold) ** 2) ** 2


def huber_loss(distance, threshold):
    """Huber's loss, d^2 / 2 within the threshold and a line beyond: (*, L) from distances (*, L) >= 0."""
    inside = np.minimum(distance, threshold)
    return inside * (distance - inside / 2)


def geman_mcclure_loss(distance, threshold):
    """Geman and McClure's loss, d^2 / 2 / (1 + (d / threshold)^2): (*, L) from distances (*, L) >= 0."""
    return distance**2 / 2 / (1 + (distance / threshold) ** 2)


def acceleration_coefficients(time_s):
    """Factors of three neighbouring values in the second derivative of the parabola through them.

    time_s: (T,) seconds, increasing, T >= 3. Returns (T - 2, 3), 1/s^2; each row adds up to 0.
    """
    before, after = np.diff(time_s)[:-1], np.diff(time_s)[1:]
    first, last = 2 / (before * (before + after)), 2 / (after * (before + after))
    return np.stack([first, -first - last, last], -1)


def acceleration(values, coefficients):
    """Second difference in time of plain channels (FlowFace, E_temp).

    values: (T, D); coefficients: (T - 2, 3) of `acceleration_coefficients`, which are its Jacobian to the
    three values. Returns (T - 2, D), the values' unit per s^2.
    """
    c = coefficients[:, :, None]
    return c[:, 0] * values[:-2] + c[:, 1] * values[1:-1] + c[:, 2] * values[2:]


def turns(rotation):
    """Rotation vectors between neighbours, R_(t+1) = exp(turn) R_t: (T, 3, 3) to (T - 1, 3) radians."""
    return axis_angle_from_matrix(rotation[1:] @ np.swapaxes(rotation[:-1], -1, -2))


def rotation_acceleration(turn, coefficients):
    """Second difference in time of rotations: zero for a head that turns steadily about one axis.

    turn: (T - 1, 3) of `turns`; coefficients: (T - 2, 3). Returns (T - 2, 3) rad/s^2.
    """
    return coefficients[:, 2:] * turn[1:] - coefficients[:, :1] * turn[:-1]


def J_rotation_acceleration(turn, coefficients):
    """Jacobian of `rotation_acceleration` to the increments of the three rotations: (T - 2, 3, 3, 3).

    Axis 1 counts the rotations.
    """
    left = inverse_left_jacobian(turn)
    right = np.swapaxes(left, -1, -2)
    first, last = coefficients[:, 0, None, None], coefficients[:, 2, None, None]
    return np.stack([first * right[:-1], -last * right[1:] - first * left[:-1], last * left[1:]], 1)


def inverse_left_jacobian(axis_angle):
    """Derivative of log(exp(w) exp(v)) to w at w = 0; transposed, that of log(exp(v) exp(w)).

    axis_angle: v, (*, 3) radians, shorter than pi. Returns (*, 3, 3).
    """
    angle = np.linalg.norm(axis_angle, axis=-1)[..., None, None]
    small = angle < 1e-3
    half = np.where(small, 0.5, angle / 2)
    factor = np.where(
        small, 1 / 12 + angle**2 / 720, (1 - half / np.tan(half)) / np.where(small, 1, angle) ** 2
    )
    k = skew(axis_angle)
    return np.eye(3) - k / 2 + factor * (k @ k)
