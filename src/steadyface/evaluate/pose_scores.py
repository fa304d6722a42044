"""Errors of the head's rotation, between trackers that know the camera and such that do not."""

import numpy as np

from ..rotation import axis_angle_from_matrix


def steady_points(shape):
    """Mask (P,) of the third of a `LinearShape`'s points that expressions move least."""
    moved = np.linalg.norm(shape.expression_basis, axis=-1).max(0)
    return moved <= np.quantile(moved, 1 / 3)


def rotations_of_points(points, reference):
    """The rotations that bring reference points closest to each frame's points, sizes aside: (T, 3, 3).

    points: (T, P, 3), NaN frames give NaN; reference: (P, 3). Source: Umeyama 1991, equations 39 to 41.
    """
    points, reference = np.asarray(points, float), np.asarray(reference, float)
    out = np.full((len(points), 3, 3), np.nan)
    known = np.isfinite(points).all((1, 2))
    centered = points[known] - points[known].mean(1, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(centered, -1, -2) @ (reference - reference.mean(0)))
    sign = np.ones((len(u), 3))
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    out[known] = (u * sign[:, None]) @ vt
    return out


def zero_pose(pred, true):
    """The constant rotation C, (3, 3), for which pred @ C is closest to true over all frames.

    What one tracker calls a head that looks straight ahead, another calls slightly raised: C is that
    difference. pred, true: (T, 3, 3), frames with NaN are left out; the identity if none remains.
    """
    known = np.isfinite(pred).all((1, 2)) & np.isfinite(true).all((1, 2))
    if not known.any():
        return np.eye(3)
    u, _, vt = np.linalg.svd((np.swapaxes(pred[known], -1, -2) @ true[known]).sum(0))
    return (u * [1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))]) @ vt


def rotation_error(pred, true):
    """Angles between rotations (T, 3, 3), degrees, (T,); NaN where one is not known."""
    turn = np.asarray(pred, float) @ np.swapaxes(np.asarray(true, float), -1, -2)
    known = np.isfinite(turn).all((1, 2))
    out = np.full(len(turn), np.nan)
    out[known] = np.rad2deg(np.linalg.norm(axis_angle_from_matrix(turn[known]), axis=-1))
    return out
