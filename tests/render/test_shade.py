import numpy as np
import pytest

from steadyface.render.rasterize import Raster, rasterize
from steadyface.render.shade import (
    Lighting,
    interpolate,
    sample_texture,
    shade,
    spherical_harmonics,
    vertex_normals,
)

SQUARE = np.array([[-0.5, -0.5, 0], [7.5, -0.5, 0], [7.5, 7.5, 0], [-0.5, 7.5, 0]], np.float32)
HALVES = np.array([[0, 2, 1], [0, 3, 2]])


def test_normals_point_out_of_the_model(tiny_model):
    v = tiny_model.shape.mean
    n = vertex_normals(v, tiny_model.triangles)
    np.testing.assert_allclose(np.linalg.norm(n, axis=-1), 1, atol=1e-5)
    assert ((v - v.mean(0)) * n).sum(-1).min() > 0


def test_normal_of_a_front_facing_triangle_looks_at_the_viewer():
    np.testing.assert_allclose(vertex_normals(SQUARE, HALVES), np.tile([0, 0, -1.0], (4, 1)), atol=1e-6)


def test_a_texture_laid_flat_is_reproduced():
    rng = np.random.default_rng(0)
    texture = rng.random((8, 8, 3), np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    raster = rasterize(SQUARE, HALVES, (8, 8))
    np.testing.assert_allclose(sample_texture(raster, uv, HALVES, texture), texture, atol=1e-3)


def test_interpolation_is_linear_and_empty_outside():
    raster = rasterize(SQUARE, HALVES[:1], (8, 10))
    at = interpolate(raster, HALVES[:1], SQUARE)
    y, x = np.nonzero(raster.mask)
    np.testing.assert_allclose(at[raster.mask][:, :2], np.stack([x, y], -1), atol=1e-4)
    assert (at[~raster.mask] == 0).all()
    nothing = Raster(np.full((2, 2), -1, np.int32), np.zeros((2, 2, 3)), np.zeros((2, 2)))
    assert (interpolate(nothing, HALVES, SQUARE) == 0).all()


def test_lambert_follows_the_cosine():
    dark = Lighting(ambient=np.zeros((9, 3)), direction=np.array([[0, 0, -1.0]]), color=np.ones((1, 3)))
    angle = np.linspace(0, np.pi, 9)
    n = np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1)
    lit = shade(np.ones((9, 3)), n, dark)
    np.testing.assert_allclose(lit, np.maximum(np.cos(angle), 0)[:, None] * np.ones(3), atol=1e-6)


def test_a_highlight_is_brightest_towards_the_lamp():
    lamp = Lighting(np.zeros((9, 3)), np.array([[0, 0, -1.0]]), np.ones((1, 3)), specular=0.5, shininess=10)
    n = np.array([[0, 0, -1.0], [0.6, 0, -0.8]])
    lit = shade(np.zeros((2, 3)), n, lamp)
    np.testing.assert_allclose(lit[0], 0.5, atol=1e-6)
    np.testing.assert_allclose(lit[1], 0.5 * 0.8**10, atol=1e-6)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_harmonics_are_orthogonal_on_the_sphere(batch):
    rng = np.random.default_rng(1)
    n = rng.normal(size=(40000, 3))
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    n = np.concatenate([n, -n, n[:, [1, 2, 0]], n[:, [2, 0, 1]]])
    y = spherical_harmonics(n)
    gram = y.T @ y / len(n)
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 0.02
    assert spherical_harmonics(np.ones((*batch, 3))).shape == (*batch, 9)
