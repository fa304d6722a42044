import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.rotation import matrix_from_axis_angle
from steadyface.synthesis.script import Script


def make(model, count=5, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "rotation": rng.normal(0, 0.3, (count, 3)),
        "translation": rng.normal(0, 20, (count, 3)) + np.array([0, 0, 700]),
        "focal": 600.0,
        "center": np.array([319.5, 239.5]),
        "identity": rng.normal(0, 0.5, model.identity_count),
        "expression": rng.uniform(0, 1, (count, model.expression_count)),
        "image_size": (640, 480),
        "fps": 30.0,
    }
    return Script(**{**arrays, **changes}, model=model)


def test_points_go_through_the_pose_and_the_camera(tiny_model):
    script = make(tiny_model)
    shape = tiny_model.shape(script.identity, script.expression[2])
    head = shape @ matrix_from_axis_angle(script.rotation[2]).T + script.translation[2]
    np.testing.assert_allclose(script.vertices(2), head)
    points = script.image_points(tiny_model.shape, 2)
    np.testing.assert_allclose(points[:, :2], 600 * head[:, :2] / head[:, 2:] + [319.5, 239.5])
    np.testing.assert_allclose(points[:, 2], head[:, 2])


def test_all_frames_equal_each_frame(tiny_model):
    script = make(tiny_model)
    every = script.image_points("ibug68")
    assert every.shape == (5, 68, 3)
    for i in range(len(script)):
        np.testing.assert_allclose(every[i], script.image_points("ibug68", i), atol=1e-9)


def test_between_meets_the_frames_and_halves_the_turn(tiny_model):
    script = make(tiny_model)
    for i in range(len(script)):
        np.testing.assert_allclose(script.between(i).vertices(0), script.vertices(i), atol=1e-9)
    half = script.between(1.5).matrices[0]
    np.testing.assert_allclose(half @ script.matrices[1].T, script.matrices[2] @ half.T, atol=1e-9)
    np.testing.assert_allclose(script.between(-3).rotation[0], script.between(0).rotation[0])


def test_a_single_frame_stays_itself(tiny_model):
    script = make(tiny_model, 1)
    np.testing.assert_allclose(script.between(0.4).vertices(0), script.vertices(0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expression": np.zeros((4, 4))}, "expression of shape"),
        ({"center": np.array([np.nan, 0])}, "center of shape"),
        ({"translation": np.zeros((5, 3))}, "before the camera"),
    ],
)
def test_bad_scripts_are_refused(tiny_model, change, words):
    with pytest.raises(InputError, match=words):
        make(tiny_model, **change)
