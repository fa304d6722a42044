from dataclasses import replace

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.face_model import mediapipe
from steadyface.face_model.morphable import Embedding, LinearShape, load_face_model, save_face_model


@pytest.fixture(scope="module")
def embedded():
    return load_face_model()


def random_face(model, shape=(), seed=0):
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=(*shape, model.identity_count))
    return identity, rng.random((*shape, model.expression_count))


def test_a_shape_is_its_mean_and_its_bases_weighted(tiny_model):
    identity, expression = random_face(tiny_model)
    s = tiny_model.shape
    expected = s.mean + np.tensordot(identity, s.identity_basis, 1)
    expected = expected + np.tensordot(expression, s.expression_basis, 1)
    np.testing.assert_allclose(s(identity, expression), expected, atol=1e-9)
    np.testing.assert_allclose(s(identity, 0 * expression), s.neutral(identity))


@pytest.mark.parametrize("batch", [(3,), (2, 3)])
def test_a_batch_gives_what_a_loop_does(tiny_model, batch):
    identity, expression = random_face(tiny_model, batch)
    whole = tiny_model.shape(identity, expression)
    for i in np.ndindex(*batch):
        np.testing.assert_allclose(tiny_model.shape(identity[i], expression[i]), whole[i], atol=1e-9)


def test_landmarks_lie_on_the_surface(tiny_model):
    identity, expression = random_face(tiny_model)
    vertices = tiny_model.shape(identity, expression)
    for name, e in tiny_model.embeddings.items():
        corners = vertices[tiny_model.triangles[e.triangle]]
        expected = (corners * e.barycentric[..., None]).sum(1)
        np.testing.assert_allclose(tiny_model.landmarks(name)(identity, expression), expected, atol=1e-3)


def test_a_saved_model_is_the_model(tiny_model, tmp_path):
    path = tmp_path / "model.npz"
    save_face_model(tiny_model, path)
    again = load_face_model(path)
    assert (again.name, again.expression_names) == (tiny_model.name, tiny_model.expression_names)
    identity, expression = random_face(tiny_model)
    # The bases are kept in half precision.
    np.testing.assert_allclose(
        again.shape(identity, expression), tiny_model.shape(identity, expression), atol=0.05
    )
    for name, mask in tiny_model.regions.items():
        np.testing.assert_array_equal(again.region(name), mask)
    for name, e in tiny_model.embeddings.items():
        np.testing.assert_array_equal(again.embeddings[name].triangle, e.triangle)


def test_what_is_no_model_and_unknown_names_are_answered(tiny_model, tmp_path):
    (tmp_path / "noise.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a steadyface face model"):
        load_face_model(tmp_path / "noise.npz")
    with pytest.raises(InputError, match="unknown face model 'bfm': give 'anny' or the path"):
        load_face_model("bfm")
    with pytest.raises(
        InputError, match="unknown landmark set 'ibug86': this model has ibug68, mediapipe478"
    ):
        tiny_model.landmarks("ibug86")
    with pytest.raises(InputError, match="unknown region 'hat': this model has face, neck"):
        tiny_model.region("hat")


def test_the_embedded_model_has_the_frame_that_the_conventions_promise(embedded):
    mean = embedded.shape.mean
    balls = [mean[embedded.region(f"eyeball_{side}")].mean(0) for side in ("left", "right")]
    np.testing.assert_allclose(np.mean(balls, 0)[[0, 1]], 0, atol=0.5)
    # The subject's left has positive x, the nose is towards the camera, the chin down.
    assert balls[0][0] > 25 > -25 > balls[1][0]
    ibug = embedded.landmarks("ibug68").mean
    assert ibug[30, 2] < ibug[[36, 45], 2].min()
    assert ibug[8, 1] > ibug[57, 1] > ibug[33, 1] > 0
    # Heads are of human size: the outer eye corners are some 9 cm apart.
    assert 80 < ibug[45, 0] - ibug[36, 0] < 100
    # Outward triangles turn counter-clockwise as seen: their normals point to the viewer in front.
    corners = mean[embedded.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    nose = embedded.region("nose")[embedded.triangles].all(1)
    # All but the nostrils.
    assert (normal[nose, 2] < 0).mean() > 0.8


def test_the_embedded_model_has_the_arkit_expressions(embedded):
    assert len(set(embedded.expression_names)) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp", "tongueOut"} <= set(
        embedded.expression_names
    )
    opened = np.eye(52)[embedded.expression_names.index("jawOpen")]
    rest = np.zeros(embedded.identity_count)
    lips = embedded.landmarks("ibug68")
    gap = [points[66, 1] - points[62, 1] for points in (lips(rest, 0 * opened), lips(rest, opened))]
    assert gap[0] < 3 < 15 < gap[1]


def test_a_mirrored_face_has_mirrored_coefficients(embedded):
    identity, expression = random_face(embedded)
    mirrored = embedded.shape(identity * embedded.identity_mirror, expression[embedded.expression_mirror])
    expected = embedded.shape(identity, expression)[embedded.mirror] * [-1, 1, 1]
    # The two eyeballs are not exact mirror images at the back.
    skin = embedded.region("skin")
    np.testing.assert_allclose(mirrored[skin], expected[skin], atol=0.2)


def test_parts_of_mediapipe_pair_up_left_and_right(embedded):
    mean = embedded.landmarks("mediapipe478").mean
    for right, left in (
        (mediapipe.RIGHT_EYE, mediapipe.LEFT_EYE),
        (mediapipe.RIGHT_OVAL, mediapipe.LEFT_OVAL),
        (mediapipe.OUTER_EYE_CORNERS[:1], mediapipe.OUTER_EYE_CORNERS[1:]),
    ):
        assert (mean[list(right), 0] < 0).all()
        np.testing.assert_allclose(mean[list(right)] * [-1, 1, 1], mean[list(left)], atol=0.5)
    for pairs in (mediapipe.RIGHT_LID_PAIRS, mediapipe.LEFT_LID_PAIRS, mediapipe.LIP_PAIRS):
        upper, lower = np.array(pairs).T
        assert (mean[upper, 1] <= mean[lower, 1] + 0.01).all()
    inner = mean[list(mediapipe.INNER_51)]
    np.testing.assert_allclose(inner, embedded.landmarks("ibug68").mean[17:], atol=1e-4)


def test_a_model_of_more_triangles_than_two_bytes_number_is_kept(tiny_model, tmp_path):
    many = np.tile(tiny_model.triangles, (70_000 // len(tiny_model.triangles) + 1, 1))
    last = Embedding(np.full(68, len(many) - 1), np.full((68, 3), 1 / 3, np.float32))
    bounds = np.array([[-4, 4], [0, 1], [0, 1], [-1, 2]], np.float32)
    shape = replace(tiny_model.shape, expression_bounds=bounds)
    model = replace(tiny_model, triangles=many, embeddings={"ibug68": last}, shape=shape)
    save_face_model(model, tmp_path / "model.npz")
    again = load_face_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.embeddings["ibug68"].triangle, last.triangle)
    np.testing.assert_array_equal(again.landmarks("ibug68").bounds, bounds)


def test_a_shape_may_be_without_expression():
    points = LinearShape(np.ones((5, 3)), np.ones((2, 5, 3)), np.zeros((0, 5, 3)))
    np.testing.assert_array_equal(points([1, 2], []), np.full((5, 3), 4.0))
    assert points(np.zeros((7, 2)), np.zeros((7, 0))).shape == (7, 5, 3)
    assert points.bounds.shape == (0, 2)


def test_activations_are_bounded_by_0_and_1(tiny_model):
    np.testing.assert_array_equal(tiny_model.shape.bounds, [[0, 1]] * 4)
