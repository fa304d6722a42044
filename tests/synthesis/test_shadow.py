import numpy as np

from steadyface.synthesis.figure import lit_by


def test_a_plate_shades_what_is_behind_it():
    """A square before the left half of a wall, the lamp in front: the left half is dark."""
    grid = np.linspace(-50, 50, 21)
    x, y = (a.ravel() for a in np.meshgrid(grid, grid))
    wall = np.column_stack([x, y, np.full_like(x, 60.0)])
    i = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    faces = np.concatenate([np.stack([i, i + 21, i + 1], -1), np.stack([i + 1, i + 21, i + 22], -1)])
    plate = np.array([[-50, -50, 0], [0, -50, 0], [0, 50, 0], [-50, 50, 0.0]])
    points = np.concatenate([wall, plate])
    triangles = np.concatenate([faces, len(wall) + np.array([[0, 1, 2], [0, 2, 3]])])
    lit = lit_by(points, triangles, np.array([0.0, 0, -1]), 128, 5.0)
    inside = np.abs(y) < 48
    assert lit[: len(wall)][(x < -3) & inside & (x > -48)].max() < 0.1
    assert lit[: len(wall)][(x > 3) & inside & (x < 48)].min() > 0.9
    assert lit[len(wall) :].min() > 0.9
    # A lamp far to the side throws the shadow past the wall's other half.
    aside = lit_by(points, triangles, np.array([-0.7071, 0, -0.7071]), 128, 5.0)
    wall_lit = aside[: len(wall)]
    assert (
        wall_lit[(x > -45) & (x < 5) & inside].min()
        > 0.9
        > 0.1
        > wall_lit[(x > 15) & (x < 45) & inside].max()
    )
