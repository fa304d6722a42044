import numpy as np
import pytest

from steadyface.align.irises import CENTERS, ENOUGH, POOLED, SIGMA_MM, Irises, joined
from steadyface.face_model.morphable import load_face_model


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def eyes(model):
    """The irises, and the model's vertices of the outer skin near its eyes and elsewhere."""
    vertices = np.flatnonzero(model.regions["outer"])[::3]
    return Irises(model, vertices), vertices


def image(model, shift=(0.0, 0.0), expression=None):
    """Projects a shape of the model: a frontal head of 2 px/mm, moved by `shift` px."""
    still = np.zeros(model.expression_count) if expression is None else expression
    return lambda shape: 2 * shape(np.zeros(model.identity_count), still)[:, :2] + np.array(shift) + 300


def test_the_eye_is_where_dense_points_say_and_looks_where_live_does(model, eyes):
    irises, vertices = eyes
    looking = np.zeros(model.expression_count)
    looking[[model.expression_names.index(n) for n in ("eyeLookOutLeft", "eyeLookInRight")]] = 0.8
    # The live network is 4 px off and sees the eyes look to the left; dense points know nothing of that.
    live = image(model, (4.0, -2.5), looking)
    points = image(model)(model.shape.points(vertices))
    found, sigma = irises(live, 2.0, points, np.full(len(vertices), 0.9))
    moved = found - image(model)(irises.shape)
    expected = live(irises.shape) - image(model, (4.0, -2.5))(irises.shape)
    assert expected[:, 0].min() > 3
    # Lids follow the eyes a little, and here only the live network's do.
    np.testing.assert_allclose(moved, expected, atol=1.3)
    np.testing.assert_allclose(sigma, np.hypot(SIGMA_MM * 2, POOLED * 0.9), rtol=1e-5)


def test_the_centres_are_those_of_the_embedded_model(model, eyes):
    x = eyes[0].shape.mean
    np.testing.assert_allclose(x[0] * [-1, 1, 1], x[1], atol=1.5)
    np.testing.assert_allclose(np.abs(x[:, 0]), 31, atol=4)
    np.testing.assert_array_equal(x, model.landmarks("mediapipe478").mean[list(CENTERS)])


def test_an_eye_of_which_less_than_half_is_seen_is_not(model, eyes):
    irises, vertices = eyes
    points = image(model)(model.shape.points(vertices))
    for hidden, seen in ((-100, [True, True]), (-20, [False, True]), (200, [False, False])):
        sigma = np.where(model.shape.mean[vertices, 0] < hidden, np.inf, 0.5)
        assert np.isfinite(irises(image(model), 2.0, points, sigma)[1]).tolist() == seen


def test_too_few_points_tell_nothing(model):
    x = model.shape.mean
    one = model.landmarks("mediapipe478").mean[CENTERS[0]]
    few = np.linalg.norm(x - one, axis=-1).argsort()[: ENOUGH - 1]
    irises = Irises(model, few)
    _, sigma = irises(image(model), 2.0, image(model)(model.shape.points(few)), np.full(len(few), 0.5))
    assert np.isinf(sigma).all()


def test_joined_shapes_are_their_points_in_order(tiny_model):
    parts = tiny_model.shape.points(slice(0, 3)), tiny_model.landmarks("ibug68")
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 1, tiny_model.identity_count), rng.uniform(0, 1, tiny_model.expression_count)
    np.testing.assert_allclose(joined(*parts)(*numbers), np.concatenate([p(*numbers) for p in parts]))
