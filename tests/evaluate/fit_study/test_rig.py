import numpy as np
import pytest
from filmed_clip import script_of

from steadyface.evaluate.fit_study.rig import PLACES, Place, placed_before, scripts_of, true_rig, turned_light
from steadyface.synthesis.lighting import Light, vertex_light


@pytest.fixture(scope="module")
def scripts(tiny_model):
    return scripts_of(script_of(tiny_model))


def test_all_cameras_see_the_same_points_of_the_world(scripts, tiny_model):
    rig = true_rig(scripts)
    assert len(rig) == 1 + len(PLACES)
    world = scripts[0].vertices()
    for c, script in enumerate(scripts):
        expected = script.image_points(tiny_model.shape)[..., :2]
        np.testing.assert_allclose(rig.project(world, c), expected, atol=1e-6)
    assert len({s.focal for s in scripts}) == len(scripts)


def test_every_camera_sees_the_whole_face(scripts):
    for script in scripts[1:]:
        points = script.image_points("ibug68")[..., :2]
        assert (points >= 0).all()
        assert (points < script.image_size).all()
    # A camera that would stand too near steps back.
    near, nearer = (placed_before(scripts[0], Place(35, 0, 1.2, w)) for w in (0.9, 1.8))
    for script in (near, nearer):
        points = script.image_points("ibug68")[..., :2]
        assert (points > 0).all()
        assert (points < script.image_size).all()
    np.testing.assert_allclose(near.translation[:, 2], nearer.translation[:, 2], rtol=0.1)


@pytest.mark.parametrize(
    ("place", "axis", "sign"), [(Place(35, 0, 1, 0.3), 0, -1), (Place(0, 25, 1, 0.3), 1, -1)]
)
def test_a_camera_at_the_right_sees_a_face_look_left_and_one_below_sees_it_look_up(place, axis, sign):
    nose = place.turn @ np.array([0, 0, -1.0])
    expected = np.radians(place.right_deg or place.below_deg)
    assert np.arcsin(sign * nose[axis]) == pytest.approx(expected)


def test_light_stays_in_the_room():
    rng = np.random.default_rng(0)
    light, turn = Light.random(rng), PLACES[0].turn
    normals = rng.normal(size=(50, 3))
    normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    ones = np.ones(50, np.float32)
    here = vertex_light(light, normals, ones, ones, 10)
    there = vertex_light(turned_light(light, turn), (normals @ turn.T).astype(np.float32), ones, ones, 10)
    # Highlights depend on who looks.
    np.testing.assert_allclose(there[:, :2], here[:, :2], atol=1e-5)
