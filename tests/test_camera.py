import numpy as np
import pytest

from steadyface.camera import Pinhole, WeakPerspective


def test_projections_by_hand():
    points = np.array([[0.0, 0, 500], [10, -20, 500], [10, -20, 1000]])
    weak = WeakPerspective(np.array(2.0), np.array([100.0, 50.0]))
    np.testing.assert_allclose(weak.project(points), [[100, 50], [120, 10], [120, 10]])
    pinhole = Pinhole(np.array(1000.0), np.array([100.0, 50.0]))
    np.testing.assert_allclose(pinhole.project(points), [[100, 50], [120, 10], [110, 30]])


@pytest.mark.parametrize("camera", [WeakPerspective, Pinhole])
def test_a_batch_gives_what_a_loop_does(camera):
    rng = np.random.default_rng(0)
    points = rng.normal(0, 30, (2, 3, 7, 3)) + np.array([0, 0, 400])
    size, center = rng.uniform(1, 3, (2, 3)), rng.normal(0, 50, (2, 3, 2))
    whole = camera(size, center).project(points)
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(camera(size[i], center[i]).project(points[i]), whole[i])


def test_far_faces_are_seen_in_weak_perspective():
    points = np.random.default_rng(1).normal(0, 60, (20, 3))
    distance, center = 1e6, np.array([3.0, 4.0])
    pinhole = Pinhole(np.array(2 * distance), center).project(points + np.array([0, 0, distance]))
    np.testing.assert_allclose(pinhole, WeakPerspective(np.array(2.0), center).project(points), atol=0.1)


def test_the_jacobian_of_the_pinhole_is_that_of_differences():
    rng = np.random.default_rng(2)
    camera = Pinhole(np.array([800.0, 900.0]), rng.normal(0, 10, (2, 2)))
    points = rng.normal(0, 40, (2, 5, 3)) + np.array([0, 0, 500])
    step = 1e-3 * np.eye(3)
    columns = [(camera.project(points + d) - camera.project(points - d)) / 2e-3 for d in step]
    np.testing.assert_allclose(camera.J_project(points), np.stack(columns, -1), rtol=1e-6, atol=1e-7)
