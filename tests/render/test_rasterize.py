import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.render.rasterize import depth_image, rasterize, rasterize_attributes, rasterize_colors


def _plain(points, triangles, size):
    """Every pixel against every triangle, in double precision."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    best, depth = np.full(size, -1), np.full(size, np.inf)
    bary = np.zeros((h, w, 3))
    for t, corners in enumerate(points[triangles].astype(float)):
        a, b, c = corners
        m = np.array([b - a, c - a])[:, :2].T
        if abs(np.linalg.det(m)) < 1e-9:
            continue
        uv = np.linalg.solve(m, np.stack([x - a[0], y - a[1]]).reshape(2, -1)).reshape(2, h, w)
        weights = np.stack([1 - uv.sum(0), *uv], -1)
        z = weights @ corners[:, 2]
        nearer = (weights >= 0).all(-1) & (z < depth)
        best[nearer], depth[nearer], bary[nearer] = t, z[nearer], weights[nearer]
    return best, bary, depth


@pytest.mark.parametrize("size", [(24, 24), (17, 40), (33, 20)])
def test_fast_equals_plain(size):
    rng = np.random.default_rng(0)
    points = rng.uniform([-5, -5, -20], [size[1] + 5, size[0] + 5, 20], (30, 3)).astype(np.float32)
    triangles = rng.permutation(30).reshape(-1, 3)
    triangle, bary, depth = _plain(points, triangles, size)
    raster = rasterize(points, triangles, size)
    same = raster.triangle == triangle
    assert same.mean() > 0.995  # samples exactly on an edge, and crossings of two triangles, may differ
    seen = same & (triangle >= 0)
    assert seen.sum() > 50
    np.testing.assert_allclose(raster.barycentric[seen], bary[seen], atol=1e-4)
    np.testing.assert_allclose(raster.depth[seen], depth[seen], atol=0.01)


def test_barycentrics_reproduce_the_pixel():
    points = np.array([[2.3, 1.2, 5], [20.7, 4.1, 9], [9.4, 21.8, 1]], np.float32)
    raster = rasterize(points, np.array([[0, 1, 2]]), (24, 24))
    y, x = np.nonzero(raster.mask)
    at = raster.barycentric[raster.mask] @ points
    assert len(x) > 100
    np.testing.assert_allclose(at[:, :2], np.stack([x, y], -1), atol=1e-4)
    np.testing.assert_allclose(raster.barycentric[raster.mask].sum(-1), 1, atol=1e-6)
    assert np.isinf(raster.depth[~raster.mask]).all()


def test_integer_coordinates_are_pixel_centres():
    # A square from 2.5 to 6.5 holds the centres 3, 4, 5, 6 in both directions.
    square = np.array([[2.5, 2.5, 0], [6.5, 2.5, 0], [6.5, 6.5, 0], [2.5, 6.5, 0]], np.float32) + np.array(
        [0.01, 0.01, 0]
    )
    mask = rasterize(square, np.array([[0, 1, 2], [0, 2, 3]]), (10, 12)).mask
    expected = np.zeros((10, 12), bool)
    expected[3:7, 3:7] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_shared_edge_leaves_no_gap():
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = 6
        grid = np.stack(np.meshgrid(np.linspace(-3, 34, n), np.linspace(-3, 34, n)), -1)
        grid[1:-1, 1:-1] += rng.uniform(-2, 2, (n - 2, n - 2, 2))
        points = np.concatenate([grid.reshape(-1, 2), np.zeros((n * n, 1))], -1)
        i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
        triangles = np.concatenate([np.stack([i, i + 1, i + n], -1), np.stack([i + 1, i + n + 1, i + n], -1)])
        assert rasterize(points, triangles, (32, 32)).mask.all()


def test_nearer_hides_farther_whatever_the_order():
    near = np.array([[-1, -1, -1], [30, -1, -1], [-1, 30, -1]], np.float32)
    points = np.concatenate([near + np.array([0, 0, 3]), near])
    for triangles, front in (([[0, 1, 2], [3, 4, 5]], 1), ([[3, 4, 5], [0, 1, 2]], 0)):
        raster = rasterize(points, np.array(triangles), (10, 10))
        assert (raster.triangle == front).all()
        np.testing.assert_allclose(raster.depth, -1, atol=1e-3)


def test_culling_keeps_counter_clockwise_triangles():
    points = np.array([[0, 0, 0], [0, 20, 0], [20, 0, 0]], np.float32)
    # As seen on the screen (y down), right-up-left is counter-clockwise: down, then right.
    assert rasterize(points, np.array([[0, 1, 2]]), (8, 8), cull=True).mask.any()
    assert not rasterize(points, np.array([[0, 2, 1]]), (8, 8), cull=True).mask.any()


def test_depth_unit_and_offset_do_not_matter():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 20, (12, 3)).astype(np.float32)
    triangles = np.arange(12).reshape(4, 3)
    reference = rasterize(points, triangles, (20, 20)).triangle
    for scale, offset in ((0.01, 0), (100, 0), (1, 500)):
        moved = points * [1, 1, scale] + [0, 0, offset]
        assert (rasterize(moved, triangles, (20, 20)).triangle == reference).mean() > 0.99


def test_colors_are_interpolated():
    points = np.array([[0, 0, 0], [20, 0, 4], [0, 20, -4]], np.float32)
    triangles = np.array([[0, 1, 2]])
    colors = np.eye(3, dtype=np.float32)
    image, mask = rasterize_colors(points, triangles, colors, (12, 12))
    raster = rasterize(points, triangles, (12, 12))
    np.testing.assert_array_equal(mask, raster.mask)
    np.testing.assert_allclose(image[mask], raster.barycentric[mask], atol=0.06)


def test_nothing_to_draw():
    off_screen = np.array([[50, 50, 0], [60, 50, 0], [50, 60, 0]], np.float32)
    assert not rasterize(off_screen, np.array([[0, 1, 2]]), (9, 9)).mask.any()
    assert not rasterize(off_screen, np.zeros((0, 3), int), (9, 9)).mask.any()
    assert rasterize(off_screen, np.array([[0, 1, 2]]), (0, 9)).triangle.shape == (0, 9)


def test_one_pixel_image():
    points = np.array([[-5, -5, 0], [5, -5, 0], [0, 9, 0]], np.float32)
    assert rasterize(points, np.array([[0, 1, 2]]), (1, 1)).triangle.tolist() == [[0]]


@pytest.mark.parametrize(
    ("points", "triangles", "message"),
    [
        (np.zeros((3, 2)), np.zeros((1, 3)), r"points \(V, 3\)"),
        (np.full((3, 3), np.nan), np.array([[0, 1, 2]]), "finite"),
    ],
)
def test_wrong_input_says_why(points, triangles, message):
    with pytest.raises(InputError, match=message):
        rasterize(points, triangles, (4, 4))


def test_attributes_and_depth_are_those_of_the_indices():
    rng = np.random.default_rng(4)
    points = rng.uniform(-5, 60, (30, 3))
    triangles = rng.integers(0, 30, (25, 3))
    triangles = triangles[[len(set(t)) == 3 for t in triangles.tolist()]]
    raster = rasterize(points, triangles, (50, 60))
    values = rng.normal(0, 100, (30, 6))
    image, depth = rasterize_attributes(points, triangles, values, (50, 60))
    # Where two triangles meet a pixel may belong to either.
    both = raster.mask & np.isfinite(depth)
    gap = np.subtract(depth, raster.depth, out=np.full_like(depth, np.inf), where=both)
    same = np.abs(gap) < 0.5
    assert same.sum() > 0.95 * raster.mask.sum()
    expected = (values[triangles[raster.triangle]] * raster.barycentric[..., None]).sum(-2)
    assert np.percentile(np.abs(image - expected)[same], 98) < 3
    np.testing.assert_array_equal(depth_image(points, triangles, (50, 60)), depth)
