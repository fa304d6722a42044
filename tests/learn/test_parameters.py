import numpy as np
import torch

from steadyface.learn.parameters import (
    join,
    mirror,
    pose_from_similarity,
    similarity_from_pose,
    split,
    statistics,
)
from steadyface.rotation import matrix_from_axis_angle

RNG = np.random.default_rng(0)


def poses(count=5):
    rotation = matrix_from_axis_angle(RNG.normal(0, 1, (count, 3)))
    return rotation, RNG.uniform(0.002, 0.01, count), RNG.normal(0, 0.1, (count, 2))


def test_pose_round_trip():
    rotation, scale, translation = poses()
    similarity = similarity_from_pose(rotation, scale, translation)
    assert (similarity[:, 2, 3] == 0).all()
    for found, given in zip(pose_from_similarity(similarity), (rotation, scale, translation), strict=True):
        np.testing.assert_allclose(found, given, atol=1e-12)


def test_nearest_pose_is_a_rotation():
    noisy = similarity_from_pose(*poses()) + RNG.normal(0, 1e-3, (5, 3, 4))
    rotation, scale, _ = pose_from_similarity(noisy)
    np.testing.assert_allclose(rotation @ rotation.swapaxes(1, 2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-9)
    assert (np.linalg.det(rotation) > 0).all()
    assert (scale > 0).all()


def test_split_undoes_join_in_numpy_and_torch():
    parts = similarity_from_pose(*poses()), RNG.normal(size=(5, 6)), RNG.random((5, 4))
    p = join(*parts)
    for found, given in zip(split(p, 6), parts, strict=True):
        np.testing.assert_array_equal(found, given)
    for found, given in zip(split(torch.from_numpy(p), 6), parts, strict=True):
        np.testing.assert_array_equal(found.numpy(), given)


def test_mirrored_parameters_give_the_mirrored_face(tiny_model):
    p = join(similarity_from_pose(*poses()), RNG.normal(size=(5, 6)), RNG.random((5, 4)))

    def points(params):
        similarity, identity, expression = split(params, 6)
        shape = tiny_model.shape(identity, expression)
        return shape @ similarity[..., :3].swapaxes(1, 2) + similarity[:, None, :, 3]

    flipped = points(p)[:, tiny_model.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(points(mirror(p, tiny_model)), flipped, atol=1e-9)
    np.testing.assert_array_equal(mirror(mirror(p, tiny_model), tiny_model), p)


def test_statistics_keep_constant_entries_finite():
    p = join(similarity_from_pose(*poses(50)), RNG.normal(size=(50, 6)), RNG.random((50, 4)))
    s = statistics(p)
    z = (p - s.mean) / s.std
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.delete(z.std(0), 11), 1, atol=1e-3)
    assert 0 < s.std[11] < 1e-4
