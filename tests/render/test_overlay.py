import numpy as np
import pytest

from steadyface.render.overlay import draw_axes, draw_overlay
from steadyface.rotation import matrix_from_euler


def _draw(model, image, scale, origin, **options):
    rotation = matrix_from_euler(np.array([0.1, 0.4, 0.1]))
    zeros = np.zeros(model.identity_count), np.zeros(model.expression_count)

    def pixels(shape):
        return scale * shape(*zeros) @ rotation.T + np.array([*origin, 0])

    landmarks = pixels(model.landmarks("ibug68"))
    return draw_overlay(
        image, pixels(model.shape), model.triangles, landmarks, rotation, np.array(origin), scale, **options
    )


def test_draws_on_the_face_and_nowhere_else(tiny_model):
    image = np.full((200, 300, 3), 90, np.uint8)
    out = _draw(tiny_model, image, 0.5, (150, 90), face_id=1, confidence=0.9)
    changed = (out != 90).any(-1)
    assert out is image
    assert changed[80:110, 140:160].mean() > 0.9
    assert not changed[:, :60].any()
    assert not changed[:, -60:].any()


def test_without_mesh_most_of_the_face_is_left_alone(tiny_model):
    image = _draw(tiny_model, np.full((200, 300, 3), 90, np.uint8), 0.5, (150, 90), mesh_opacity=0)
    assert 0.001 < (image != 90).any(-1).mean() < 0.2


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (60, 40), (500, 500)])
@pytest.mark.parametrize(
    ("scale", "origin"), [(0.5, (10, 10)), (40.0, (0, 0)), (1.0, (-5000, 90)), (1e5, (3, 3))]
)
def test_clips_to_any_image(tiny_model, size, scale, origin):
    image = np.zeros((*size, 3), np.uint8)
    assert _draw(tiny_model, image, scale, origin, confidence=0.5).shape == (*size, 3)


def test_a_face_that_is_not_finite_is_not_drawn(tiny_model):
    image = np.zeros((50, 50, 3), np.uint8)
    assert not _draw(tiny_model, image, np.nan, (10, 10)).any()


def test_axes_of_a_frontal_head_are_red_right_and_green_down():
    image = draw_axes(np.zeros((101, 101, 3), np.uint8), np.eye(3), (50, 50), 0.5)
    assert image[50, 75].argmax() == 0
    assert image[75, 50].argmax() == 1
    assert not image[50, :40].any()
