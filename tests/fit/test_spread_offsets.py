import numpy as np
import pytest

from steadyface.fit.spread_offsets import spread_offsets


@pytest.fixture
def region(tiny_model):
    """A region around the nose, and points on the triangles inside it: corners and weights (M, 3)."""
    mean = tiny_model.shape.mean
    inside = np.linalg.norm(mean - mean[mean[:, 2].argmin()], axis=-1) < 60
    triangle = np.flatnonzero(inside[tiny_model.triangles].all(1))
    weights = np.random.default_rng(0).dirichlet(np.ones(3), len(triangle))
    return inside, tiny_model.triangles[triangle], weights


def test_points_keep_their_offsets_and_nothing_moves_outside(tiny_model, region):
    inside, corners, weights = region
    # Smooth, and zero at the rim: what the thin plate need not bend.
    mean = tiny_model.shape.mean
    away = np.linalg.norm(mean - mean[mean[:, 2].argmin()], axis=-1)
    bump = np.where(inside, np.cos(np.pi / 2 * np.minimum(away / 60, 1)) ** 2, 0)[:, None] * [1.0, -2.0, 3.0]
    offsets = (bump[corners] * weights[..., None]).sum(1)
    out = spread_offsets(offsets, corners, weights, tiny_model.triangles, inside)
    assert not out[~inside].any()
    got = (out[corners] * weights[..., None]).sum(1)
    np.testing.assert_allclose(got, offsets, atol=0.1)
    np.testing.assert_allclose(out, bump, atol=0.4)


def test_a_single_point_raises_a_smooth_bump(tiny_model, region):
    inside, corners, weights = region
    row = len(corners) // 2
    offset = np.array([[0.0, 0.0, -4.0]])
    at = corners[[row]], weights[[row]]
    out = spread_offsets(offset, *at, tiny_model.triangles, inside)
    np.testing.assert_allclose((out[at[0]] * at[1][..., None]).sum(1), offset, atol=0.2)
    # Vertices between the point and the rim move too, and less.
    depth = -out[inside, 2]
    assert (depth > 0.2).sum() > 3
    assert depth.max() < 6


def test_no_region_and_no_offsets_move_nothing(tiny_model, region):
    inside, corners, weights = region
    nothing = np.zeros((len(corners), 3))
    assert not spread_offsets(nothing, corners, weights, tiny_model.triangles, inside).any()
    nowhere = np.zeros_like(inside)
    assert not spread_offsets(nothing + 1, corners, weights, tiny_model.triangles, nowhere).any()
