from dataclasses import replace

import numpy as np
import pytest

from steadyface.refine.samples import PATCHES, far_apart, spread_samples
from steadyface.render.shade import triangle_normals
from steadyface.rotation import matrix_from_axis_angle


@pytest.fixture(scope="module")
def samples(tiny_model):
    return spread_samples(tiny_model, 500)


def test_samples_stay_on_their_triangles(samples, tiny_model):
    where = samples.embedding
    assert len(samples) == len(where.triangle) == 500
    assert where.barycentric.min() >= 0
    np.testing.assert_allclose(where.barycentric.sum(1), 1, atol=1e-6)
    rng = np.random.default_rng(0)
    identity, expression = rng.normal(size=tiny_model.identity_count), rng.uniform(size=4)
    corners = tiny_model.shape(identity, expression)[tiny_model.triangles[where.triangle]]
    on_surface = np.einsum("nkd,nk->nd", corners, where.barycentric)
    np.testing.assert_allclose(samples.shape(identity, expression), on_surface, atol=1e-4)


def test_a_region_has_samples_by_its_area_and_density(tiny_model):
    mouth = tiny_model.regions["face"] & (tiny_model.shape.mean[:, 1] > 40)
    model = replace(tiny_model, regions={**tiny_model.regions, "mouth": mouth})
    count = 4000
    found = np.bincount(spread_samples(model, count).embedding.triangle, minlength=len(model.triangles))
    area = np.linalg.norm(triangle_normals(model.shape.mean, model.triangles), axis=-1)
    whole = model.regions["face"][model.triangles].all(1)
    lips = mouth[model.triangles].all(1)
    assert found[~whole].sum() == 0
    assert found.sum() == count
    rest = whole & ~lips
    density = [found[part].sum() / area[part].sum() for part in (lips, rest)]
    assert density[0] == pytest.approx(2 * density[1], rel=0.02)
    # No triangle is off its share by more than one sample.
    share = area * np.where(lips, 2.0, whole)
    assert np.abs(found - count * share / share.sum()).max() <= 1


def test_a_model_without_regions_is_sampled_all_over(tiny_model):
    bare = replace(tiny_model, regions={})
    found = np.bincount(spread_samples(bare, 20000).embedding.triangle, minlength=len(bare.triangles))
    assert (found > 0).all()


def test_samples_are_the_same_every_time(samples, tiny_model):
    again = spread_samples(tiny_model, 500)
    np.testing.assert_array_equal(again.embedding.triangle, samples.embedding.triangle)
    np.testing.assert_array_equal(again.embedding.barycentric, samples.embedding.barycentric)
    np.testing.assert_array_equal(again.patch, samples.patch)


def test_normals_point_outward_and_turn_with_the_head(samples, tiny_model):
    vertices = np.asarray(tiny_model.shape.mean)
    normals = samples.normals(tiny_model, vertices)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    outward = samples.shape.mean - vertices.mean(0)
    assert ((normals * outward).sum(-1) > 0).mean() > 0.98
    turn = matrix_from_axis_angle(np.array([0.3, -0.5, 0.2]))
    turned = samples.normals(tiny_model, vertices @ turn.T + [10, 20, 700])
    np.testing.assert_allclose(turned, normals @ turn.T, atol=1e-5)


def test_a_patch_is_a_piece_of_the_surface(samples, tiny_model):
    assert samples.patches == PATCHES
    assert set(samples.patch) == set(range(PATCHES))
    place = samples.shape.mean
    spread = [
        np.linalg.norm(place[samples.patch == k] - place[samples.patch == k].mean(0), axis=-1).max()
        for k in range(PATCHES)
    ]
    assert max(spread) < 0.2 * np.ptp(place, axis=0).max()
    assert spread_samples(tiny_model, 5).patches == 5


def test_means_of_patches_are_weighted(samples):
    rng = np.random.default_rng(1)
    values, weight = rng.normal(size=(2, len(samples)))
    weight = np.abs(weight)
    weight[samples.patch == 3] = 0
    means = samples.patch_means(values, weight)
    assert means.shape == (samples.patches,)
    assert means[3] == 0
    for k in (0, 7, 95):
        own = samples.patch == k
        assert means[k] == pytest.approx(np.average(values[own], weights=weight[own]))


def test_points_far_apart_begin_in_the_middle_and_go_to_the_ends():
    line = np.column_stack([np.arange(11.0), np.zeros((11, 2))])
    assert far_apart(line, 1).tolist() == [5]
    assert far_apart(line, 3).tolist() == [5, 0, 10]
    assert sorted(far_apart(line, 99).tolist()) == list(range(11))
