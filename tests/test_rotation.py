import numpy as np
import pytest

from steadyface.rotation import (
    axis_angle_from_matrix,
    euler_from_matrix,
    matrix_from_axis_angle,
    matrix_from_euler,
    skew,
)


@pytest.mark.parametrize("batch", [(), (3,), (2, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_axis_angles_make_rotations_of_their_shape_and_type(batch, dtype):
    w = np.random.default_rng(0).normal(0, 1, (*batch, 3)).astype(dtype)
    r = matrix_from_axis_angle(w)
    assert r.shape == (*batch, 3, 3)
    assert r.dtype == dtype
    eye = np.broadcast_to(np.eye(3), r.shape)
    np.testing.assert_allclose(r @ np.swapaxes(r, -1, -2), eye, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-5)
    # The axis stays where it is.
    np.testing.assert_allclose((r @ w[..., None])[..., 0], w, atol=1e-5)


def test_quarter_turns_by_hand():
    x, y, z = np.eye(3)
    for axis, before, after in ((x, y, z), (y, z, x), (z, x, y)):
        np.testing.assert_allclose(matrix_from_axis_angle(np.pi / 2 * axis) @ before, after, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 0.3, 2.0, np.pi - 1e-7, np.pi])
def test_axis_angles_come_back(angle):
    axis = np.random.default_rng(1).normal(size=(20, 3))
    w = angle * axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    again = axis_angle_from_matrix(matrix_from_axis_angle(w))
    # Half a turn has two axes.
    sign = np.sign((again * w).sum(-1, keepdims=True)) if angle > 3 else 1
    np.testing.assert_allclose(sign * again, w, atol=1e-7)


def test_skew_is_the_cross_product():
    a, b = np.random.default_rng(2).normal(size=(2, 5, 3))
    np.testing.assert_allclose((skew(a) @ b[..., None])[..., 0], np.cross(a, b))


def test_a_small_turn_is_linear():
    w = 1e-6 * np.random.default_rng(3).normal(size=(4, 3))
    np.testing.assert_allclose(matrix_from_axis_angle(w), np.eye(3) + skew(w), atol=1e-11)


def test_head_angles_come_back():
    rng = np.random.default_rng(4)
    angles = rng.uniform([-1.5, -3, -3], [1.5, 3, 3], (50, 3))
    np.testing.assert_allclose(euler_from_matrix(matrix_from_euler(angles)), angles, atol=1e-9)
