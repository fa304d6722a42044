"""Rotations: axis-angle at the API, matrices inside."""

import numpy as np


def skew(v):
    """Cross-product matrices of vectors.

    v: (*, 3). Returns (*, 3, 3) with ``skew(a) @ b == cross(a, b)``.
    """
    v = np.asarray(v)
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    o = np.zeros_like(x)
    return np.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(*v.shape[:-1], 3, 3)


def matrix_from_axis_angle(axis_angle):
    """Rotation matrices of axis-angle vectors (Rodrigues' formula).

    axis_angle: (*, 3), radians. Returns (*, 3, 3).
    """
    w = np.asarray(axis_angle, float if np.asarray(axis_angle).dtype.kind != "f" else None)
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    k = skew(w)
    small = angle < 1e-4
    safe = np.where(small, 1, angle)
    a = np.where(small, 1 - angle**2 / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    return (np.eye(3) + a * k + b * (k @ k)).astype(w.dtype)


def axis_angle_from_matrix(matrix):
    """Axis-angle vectors of rotation matrices, angle in [0, pi].

    matrix: (*, 3, 3). Returns (*, 3), radians.
    """
    m = np.asarray(matrix)
    q = _quaternion_from_matrix(m)
    q = np.where(q[..., :1] < 0, -q, q)
    sin_half = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sin_half, q[..., :1])
    # For tiny angles sin(a/2) ~ a/2, so the factor tends to 2.
    factor = np.where(sin_half < 1e-8, 2.0, angle / np.maximum(sin_half, 1e-30))
    return (q[..., 1:] * factor).astype(m.dtype)


def _quaternion_from_matrix(m):
    # Shepperd's method: build the quaternion from its largest component, which is never near zero.
    t = np.trace(m, axis1=-2, axis2=-1)
    d = np.diagonal(m, axis1=-2, axis2=-1)
    squares = np.concatenate([t[..., None], d], -1)
    c = [(m[..., j, i] - m[..., i, j]) for i, j in ((1, 2), (2, 0), (0, 1))]
    s = [(m[..., j, i] + m[..., i, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    rows = np.stack(
        [
            np.stack([1 + t, *c], -1),
            np.stack([c[0], 1 + 2 * d[..., 0] - t, s[0], s[1]], -1),
            np.stack([c[1], s[0], 1 + 2 * d[..., 1] - t, s[2]], -1),
            np.stack([c[2], s[1], s[2], 1 + 2 * d[..., 2] - t], -1),
        ],
        -2,
    )
    best = np.argmax(squares, -1)[..., None, None]
    q = np.take_along_axis(rows, best, -2)[..., 0, :]
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def euler_from_matrix(matrix):
    """Head angles of rotations in the camera frame: R = R_y(yaw) R_x(pitch) R_z(roll).

    matrix: (*, 3, 3). Returns (*, 3): pitch (positive: looks up), yaw (positive: turns to the
    subject's left, which is the image's right), roll (positive: clockwise in the image), radians.
    """
    m = np.asarray(matrix)
    # The face looks along -z, so a positive turn about +y moves the nose to the image's left.
    pitch = np.arcsin(np.clip(-m[..., 1, 2], -1, 1))
    yaw = np.arctan2(m[..., 0, 2], m[..., 2, 2])
    roll = np.arctan2(m[..., 1, 0], m[..., 1, 1])
    return np.stack([-pitch, -yaw, roll], -1)


def matrix_from_euler(angles):
    """Inverse of `euler_from_matrix`.

    angles: (*, 3) pitch, yaw, roll in radians. Returns (*, 3, 3).
    """
    angles = np.asarray(angles)
    zero = np.zeros_like(angles[..., 0])
    pitch, yaw, roll = -angles[..., 0], -angles[..., 1], angles[..., 2]
    r_x = matrix_from_axis_angle(np.stack([pitch, zero, zero], -1))
    r_y = matrix_from_axis_angle(np.stack([zero, yaw, zero], -1))
    r_z = matrix_from_axis_angle(np.stack([zero, zero, roll], -1))
    return r_y @ r_x @ r_z


def seen_rotation(rotation, point):
    """Rotations as they look along the ray to a point: what a tracker that knows no focal length can tell.

    The camera is turned, by the shortest way, until its axis meets the point: a head that faces the camera
    from the image's corner is then the identity. rotation: (T, 3) axis-angle head to camera, or (T, 3, 3);
    point: (T, 3) in the camera frame, z > 0. Returns (T, 3, 3).
    """
    rotation = np.asarray(rotation, float)
    if rotation.shape[1:] == (3,):
        rotation = matrix_from_axis_angle(rotation)
    ray = np.asarray(point, float)
    ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    axis = np.cross(ray, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, ray[:, 2:])
    turn = matrix_from_axis_angle(axis * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 0))
    return turn @ rotation
