import numpy as np
import pytest

from steadyface.align.alignment import Alignment, alignment_from_output, decode_params, encode_params
from steadyface.align.crop import Crop
from steadyface.face_model.morphable import LinearShape
from steadyface.rotation import matrix_from_axis_angle

CROP = Crop(np.array([320.0, 200.0]), 180.0, 0.7)


def random_face(rng, k=5, e=3):
    rotation = matrix_from_axis_angle(rng.normal(0, 0.6, 3))
    return rotation, 1.7, rng.uniform(100, 300, 2), rng.normal(size=k), rng.uniform(0, 1, e)


def test_parameters_there_and_back():
    face = random_face(np.random.default_rng(0))
    for a, b in zip(decode_params(encode_params(*face, CROP), CROP, 5), face, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_parameters_map_model_points_to_the_crop():
    """u = T [S; 1] in the crop is the same image point as the pose gives directly."""
    rng = np.random.default_rng(1)
    rotation, scale, translation, identity, expression = random_face(rng)
    points = rng.normal(0, 60, (9, 3))
    t = encode_params(rotation, scale, translation, identity, expression, CROP)[:12].reshape(3, 4)
    u = (points @ t[:, :3].T + t[:, 3])[:, :2]
    np.testing.assert_allclose(CROP.to_image(u), scale * (points @ rotation.T)[:, :2] + translation)


def test_a_noisy_similarity_still_gives_a_rotation():
    params = encode_params(*random_face(np.random.default_rng(2)), CROP)
    params[:12] += np.random.default_rng(3).normal(0, 1e-4, 12)
    rotation, scale, *_ = decode_params(params, CROP, 5)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert scale == pytest.approx(1.7, rel=0.05)


def test_expression_is_clipped_and_sigma_is_in_pixels():
    params = encode_params(
        *random_face(np.random.default_rng(0))[:3], np.zeros(5), np.array([-1, 0.5, 2]), CROP
    )
    alignment = alignment_from_output(params, np.full(68, np.log(0.01)), 0.9, CROP, 5)
    np.testing.assert_allclose(alignment.expression, [0, 0.5, 1])
    np.testing.assert_allclose(alignment.landmark_sigma, 1.8)
    assert alignment.confidence == 0.9


def test_projection_is_weak_perspective():
    shape = LinearShape(np.array([[1.0, 2, 3]]), np.zeros((1, 1, 3)), np.zeros((1, 1, 3)))
    quarter_turn = np.array([0, 0, np.pi / 2])
    face = Alignment(quarter_turn, 2.0, np.array([10.0, 20]), np.zeros(1), np.zeros(1), np.ones(68), 1.0)
    np.testing.assert_allclose(face.project(shape), [[10 - 4, 20 + 2, 6]], atol=1e-12)
