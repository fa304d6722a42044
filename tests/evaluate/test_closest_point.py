import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.closest_point import Surface, closest_on_triangles

rng = np.random.default_rng(0)


def sphere(rows=12, columns=24, radius=50.0):
    polar, around = np.meshgrid(
        np.pi * (np.arange(rows) + 0.5) / rows, 2 * np.pi * np.arange(columns) / columns, indexing="ij"
    )
    unit = [np.sin(polar) * np.sin(around), -np.cos(polar), -np.sin(polar) * np.cos(around)]
    v = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(v, -1, 1)
    triangles = np.concatenate(
        [
            np.stack([v[:-1], v[1:], right[:-1]], -1).reshape(-1, 3),
            np.stack([right[:-1], v[1:], right[1:]], -1).reshape(-1, 3),
        ]
    )
    return radius * np.stack(unit, -1).reshape(-1, 3), triangles


def brute(points, corners):
    """Distance of every point to every triangle, the least of them."""
    pairs = np.repeat(points, len(corners), 0), np.tile(corners, (len(points), 1, 1))
    d = np.linalg.norm(pairs[0] - closest_on_triangles(*pairs), axis=1)
    return d.reshape(len(points), len(corners)).min(1)


def test_the_seven_places_of_a_triangle_worked_by_hand():
    # Right triangle (0,0) (4,0) (0,3) in the plane z = 1; its long side is x/4 + y/3 = 1.
    corners = np.array([[0, 0, 1], [4, 0, 1], [0, 3, 1.0]])
    points = np.array(
        [
            [1, 1, 5],  # above the inside: straight down
            [-1, -2, 1],  # beyond the first corner
            [6, -1, 1],  # beyond the second
            [-1, 5, 1],  # beyond the third
            [2, -3, 1],  # beside the first edge
            [-2, 1, 1],  # beside the edge on the y axis
            [4, 3, 1],  # beside the long side: foot of (4,3) is (4,3) - 12/25 (3,4)
        ],
        float,
    )
    expected = [[1, 1, 1], [0, 0, 1], [4, 0, 1], [0, 3, 1], [2, 0, 1], [0, 1, 1], [2.56, 1.08, 1]]
    np.testing.assert_allclose(
        closest_on_triangles(points, np.tile(corners, (7, 1, 1))), expected, atol=1e-12
    )


def test_closest_on_a_triangle_beats_every_point_of_it():
    corners = rng.normal(size=(200, 3, 3))
    points = 2 * rng.normal(size=(200, 3))
    found = np.linalg.norm(points - closest_on_triangles(points, corners), axis=1)
    samples = np.einsum("sk,nkd->nsd", rng.dirichlet(np.full(3, 0.5), 4000), corners)
    others = np.linalg.norm(samples - points[:, None], axis=-1).min(1)
    assert (found <= others + 1e-12).all()
    assert (others - found).max() < 0.15


def test_triangles_without_area_count_as_their_edges():
    needle = np.array([[[0, 0, 0], [2, 0, 0], [1, 0, 0]], [[1, 1, 1], [1, 1, 1], [1, 1, 1.0]]])
    points = np.array([[1.5, 2, 0], [1, 1, 4.0]])
    np.testing.assert_allclose(closest_on_triangles(points, needle), [[1.5, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("count", [1, 2, 5, 63, 500])
def test_the_tree_finds_what_brute_force_finds(count):
    vertices = rng.normal(size=(60, 3))
    triangles = rng.integers(0, 60, (count, 3))
    surface = Surface(vertices, triangles)
    points = np.concatenate([rng.normal(size=(40, 3)), 30 * rng.normal(size=(5, 3)), vertices[:5]])
    near = surface.closest(points)
    np.testing.assert_allclose(near.distance, brute(points, vertices[triangles]), atol=1e-12)
    again = closest_on_triangles(points, vertices[triangles][near.triangle])
    np.testing.assert_allclose(again, near.point)


def test_points_equally_far_from_everything_are_answered_too(monkeypatch):
    vertices, triangles = sphere()
    points = np.concatenate([np.zeros((3, 3)), 1e-3 * rng.normal(size=(4, 3))])
    expected = brute(points, vertices[triangles])
    np.testing.assert_allclose(Surface(vertices, triangles).closest(points).distance, expected)
    # The same where the pairs of point and box do not fit at once.
    monkeypatch.setattr("steadyface.evaluate.closest_point._MAX_PAIRS", 200)
    np.testing.assert_allclose(Surface(vertices, triangles).closest(points).distance, expected)


def test_a_guess_changes_nothing_but_the_time():
    vertices, triangles = sphere()
    surface = Surface(vertices, triangles)
    points = 60 * rng.normal(size=(100, 3))
    plain = surface.closest(points)
    wild = surface.closest(points, rng.integers(0, len(triangles), 100))
    np.testing.assert_allclose(wild.distance, plain.distance, atol=1e-12)


def test_points_that_are_not_finite_have_no_answer():
    vertices, triangles = sphere()
    near = Surface(vertices, triangles).closest(np.array([[np.nan, 0, 0], [0, 0, -80]]))
    assert np.isnan(near.point[0]).all()
    assert np.isnan(near.distance[0])
    assert near.triangle[0] == -1
    assert 30 <= near.distance[1] < 31


@pytest.mark.parametrize(
    ("vertices", "triangles", "message"),
    [
        (np.full((3, 3), np.nan), [[0, 1, 2]], "finite"),
        (np.eye(3), [[0, 1, 3]], "below the 3 vertices"),
        (np.eye(3), np.zeros((0, 3), int), "F >= 1"),
        (np.eye(3), [[0.0, 1.0, 2.0]], "indices"),
    ],
)
def test_a_surface_that_is_none_is_refused(vertices, triangles, message):
    with pytest.raises(InputError, match=message):
        Surface(vertices, np.asarray(triangles))
