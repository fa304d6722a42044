import numpy as np
import pytest

from steadyface.fit import residuals as res
from steadyface.rotation import matrix_from_axis_angle


def numeric(f, size, step=1e-6):
    """Central differences of f(increment (size,)) at zero, on a new last axis."""
    e = step * np.eye(size)
    return np.stack([(f(e[i]) - f(-e[i])) / (2 * step) for i in range(size)], -1)


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    return {
        "points": rng.normal(0, 50, (3, 7, 3)),
        "rotation": matrix_from_axis_angle(rng.normal(0, 0.6, (3, 3))),
        "scale": rng.uniform(0.5, 2, 3),
        "t2": rng.normal(0, 100, (3, 2)),
        "t3": rng.normal([0, 0, 900], 50, (3, 3)),
        "focal": rng.uniform(500, 1500, 3),
        "center": rng.normal(0, 10, (3, 2)),
        "observed": rng.normal(0, 100, (3, 7, 2)),
        "basis": rng.normal(0, 5, (4, 7, 3)),
    }


def test_weak_perspective_by_hand():
    # A quarter turn about z takes (1, 2, 3) to (-2, 1, 3); doubled and shifted: (-4 + 10, 2 + 20).
    r = matrix_from_axis_angle(np.array([0, 0, np.pi / 2]))
    e = res.reprojection_weak(np.array([[1.0, 2, 3]]), r, 2.0, np.array([10.0, 20]), np.zeros((1, 2)))
    np.testing.assert_allclose(e, [[6, 22]])


def test_pinhole_by_hand():
    point, t, c = np.array([[1.0, 2, 0]]), np.array([0, 0, 10.0]), np.array([5.0, 5])
    e = res.reprojection_pinhole(point, np.eye(3), t, 100.0, c, np.array([[1.0, 1]]))
    np.testing.assert_allclose(e, [[14, 24]])


def test_points_behind_the_camera_are_not_finite():
    points, t = np.array([[1.0, 2, 0], [0, 0, -20]]), np.array([0, 0, 10.0])
    e = res.reprojection_pinhole(points, np.eye(3), t, 9.0, np.zeros(2), np.zeros((2, 2)))
    assert np.isfinite(e[0]).all()
    assert np.isnan(e[1]).all()


def test_weak_perspective_jacobians(scene):
    s = scene

    def moved(d):
        return res.reprojection_weak(
            s["points"],
            matrix_from_axis_angle(d[:3]) @ s["rotation"],
            s["scale"] * np.exp(d[3]),
            s["t2"] + d[4:],
            s["observed"],
        )

    j = res.J_reprojection_weak_pose(s["points"], s["rotation"], s["scale"])
    np.testing.assert_allclose(j, numeric(moved, 6), rtol=1e-5, atol=1e-5)

    def shaped(a):
        points = s["points"] + np.einsum("c,cld->ld", a, s["basis"])
        return res.reprojection_weak(points, s["rotation"], s["scale"], s["t2"], s["observed"])

    to_points = res.J_reprojection_weak_points(s["rotation"], s["scale"])
    j = res.J_shape(to_points[:, None], s["basis"])
    np.testing.assert_allclose(j, numeric(shaped, 4), rtol=1e-5, atol=1e-5)


def test_pinhole_jacobians(scene):
    s = scene

    def moved(d):
        return res.reprojection_pinhole(
            s["points"],
            matrix_from_axis_angle(d[:3]) @ s["rotation"],
            s["t3"] + d[4:],
            s["focal"] * np.exp(d[3]),
            s["center"],
            s["observed"],
        )

    j = res.J_reprojection_pinhole_pose(s["points"], s["rotation"], s["t3"], s["focal"])
    np.testing.assert_allclose(j, numeric(moved, 7), rtol=1e-5, atol=1e-5)

    def shaped(a):
        points = s["points"] + np.einsum("c,cld->ld", a, s["basis"])
        pose = (s["rotation"], s["t3"], s["focal"], s["center"])
        return res.reprojection_pinhole(points, *pose, s["observed"])

    to_points = res.J_reprojection_pinhole_points(s["points"], s["rotation"], s["t3"], s["focal"])
    j = res.J_shape(to_points, s["basis"])
    np.testing.assert_allclose(j, numeric(shaped, 4), rtol=1e-5, atol=1e-5)


def test_prior_jacobians():
    x = np.random.default_rng(0).uniform(0, 1, (2, 5))
    for prior, j in (
        (lambda a: res.identity_prior(a, 3.0), res.J_identity_prior(x, 3.0)),
        (lambda a: res.expression_prior(a, 2.0, 0.5), res.J_expression_prior(x, 2.0)),
    ):
        slope = numeric(lambda d, f=prior: f(x + d), 5)
        np.testing.assert_allclose(slope, j[..., None] * np.eye(5), atol=1e-8)


def test_the_expression_prior_is_a_square_and_a_slope():
    e = np.linspace(0, 1, 11)
    half_square = 0.5 * res.expression_prior(e, 2.0, 0.3) ** 2
    np.testing.assert_allclose(half_square - half_square[0], 0.5 * 2.0 * e**2 + 0.3 * e)


@pytest.mark.parametrize("weight", [res.huber_weight, res.geman_mcclure_weight])
def test_robust_weights_are_the_slope_of_their_loss(weight):
    # The reweighted square must have the loss's derivative: w(d) d = rho'(d).
    d = np.linspace(0, 10, 200)
    t = 2.0
    loss = {
        res.huber_weight: lambda d: np.where(d <= t, d**2 / 2, t * (d - t / 2)),
        res.geman_mcclure_weight: lambda d: 0.5 * d**2 / (1 + (d / t) ** 2),
    }[weight]
    slope = (loss(d + 1e-6) - loss(d - 1e-6)) / 2e-6
    np.testing.assert_allclose(weight(d, t) * d, slope, atol=1e-5)
    assert weight(np.zeros(1), t) == 1
    assert (np.diff(weight(d, t)) <= 0).all()


def test_accelerations_of_a_parabola_are_its_own():
    time = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.1, 9))
    c = res.acceleration_coefficients(time)
    values = np.stack([3 * time**2 - time + 5, 2 * time], -1)
    np.testing.assert_allclose(res.acceleration(values, c), np.tile([6, 0], (7, 1)), atol=1e-8)


def test_a_steady_turn_has_no_acceleration():
    time = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.1, 9))
    axis = np.array([0.3, -2.0, 1.0])
    rotation = matrix_from_axis_angle(time[:, None] * axis)
    c = res.acceleration_coefficients(time)
    np.testing.assert_allclose(res.rotation_acceleration(res.turns(rotation), c), 0, atol=1e-8)
    faster = matrix_from_axis_angle((time**2)[:, None] * axis)
    np.testing.assert_allclose(
        res.rotation_acceleration(res.turns(faster), c), np.tile(2 * axis, (7, 1)), atol=1e-6
    )


def test_the_jacobian_of_rotation_acceleration_is_its_derivative():
    rng = np.random.default_rng(1)
    rotation = matrix_from_axis_angle(np.cumsum(rng.normal(0, 0.3, (3, 3)), 0))
    c = res.acceleration_coefficients(np.array([0, 0.03, 0.08]))
    jacobian = res.J_rotation_acceleration(res.turns(rotation), c)[0]
    h = 1e-6
    for i in range(3):
        for k in range(3):
            step = np.zeros((3, 3))
            step[i, k] = h
            ends = [
                res.rotation_acceleration(res.turns(matrix_from_axis_angle(d) @ rotation), c)[0]
                for d in (step, -step)
            ]
            np.testing.assert_allclose(jacobian[i, :, k], (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("loss", "weight"),
    [(res.huber_loss, res.huber_weight), (res.geman_mcclure_loss, res.geman_mcclure_weight)],
)
def test_robust_weights_are_the_losses_slope_over_the_distance(loss, weight):
    d = np.linspace(0.1, 9, 50)
    slope = (loss(d + 1e-6, 2.0) - loss(d - 1e-6, 2.0)) / 2e-6
    np.testing.assert_allclose(weight(d, 2.0), slope / d, rtol=1e-5)
    assert loss(np.zeros(1), 2.0) == 0
