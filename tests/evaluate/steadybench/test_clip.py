from dataclasses import replace

import numpy as np
import pytest

from steadyface.evaluate.steadybench.clip import (
    LEAST_WIDTH,
    MOST_WIDTH,
    draw_script,
    face_width_mm,
    face_widths,
    keep_in_frame,
)
from steadyface.evaluate.steadybench.motion import MOTIONS
from steadyface.evaluate.steadybench.plan import make_plan
from steadyface.face_model.morphable import load_face_model


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("width", [160, 640])
def test_faces_stay_in_the_picture_and_large_enough(model, name, width):
    plan = replace(make_plan()[0], motion=name, size=(width, width * 3 // 4), frames=60)
    for seed in range(4):
        script = draw_script(plan, model, np.random.default_rng(seed))
        points = script.image_points("ibug68")[..., :2]
        assert (points >= 0).all()
        assert (points < plan.size).all()
        widths = face_widths(script)
        assert (widths >= LEAST_WIDTH * width * 0.999).all()
        assert (widths <= MOST_WIDTH * width * 1.001).all()


def test_a_head_that_leaves_the_frame_is_brought_back_by_one_shift(model):
    plan = replace(make_plan()[0], frames=20)
    script = draw_script(plan, model, np.random.default_rng(0))
    moved = replace(script, translation=script.translation + np.array([400.0, 0, 0]))
    back = keep_in_frame(moved)
    points = back.image_points("ibug68")[..., :2]
    assert (points >= 0).all()
    assert (points < plan.size).all()
    shift = back.translation - moved.translation
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-9)
    # One that is in the frame stays where it is.
    np.testing.assert_allclose(keep_in_frame(back).translation, back.translation, atol=1e-9)


def test_the_width_of_a_frontal_face_is_what_the_camera_sees(model):
    plan = replace(make_plan()[0], frames=2)
    script = draw_script(plan, model, np.random.default_rng(0))
    frontal = replace(
        script,
        rotation=np.zeros((2, 3)),
        identity=np.zeros(model.identity_count),
        expression=np.zeros((2, model.expression_count)),
    )
    contour = frontal.camera_points(model.landmarks("ibug68"))[:, [0, 16]]
    # The width is taken at the depth of the eyes, before the ears.
    contour[..., 2] = np.asarray(frontal.translation)[:, None, 2]
    pixels = frontal.camera.project(contour)
    np.testing.assert_allclose(pixels[:, 1, 0] - pixels[:, 0, 0], face_widths(frontal), rtol=1e-3)
    assert 120 < face_width_mm(model) < 160


def test_a_seed_is_one_person_and_one_motion(model):
    plan = make_plan()[3]
    a, b = (draw_script(plan, model, np.random.default_rng(plan.seed)) for _ in range(2))
    np.testing.assert_array_equal(a.translation, b.translation)
    np.testing.assert_array_equal(a.identity, b.identity)
    other = draw_script(plan, model, np.random.default_rng(plan.seed + 1))
    assert np.abs(a.identity - other.identity).max() > 0.5
