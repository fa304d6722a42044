import numpy as np

from steadyface.evaluate.peers.mesh_edges import triangles_of_edges


def edges(triangles):
    return {(t[i], t[(i + 1) % 3]) for t in triangles for i in range(3)}


def in_order(triangles):
    return sorted(min((a, b, c), (b, c, a), (c, a, b)) for a, b, c in np.asarray(triangles).tolist())


def test_the_triangles_of_a_mesh_come_back_in_their_direction(tiny_model):
    # The tiny model is a tube, open at both ends.
    expected = in_order(tiny_model.triangles)
    assert in_order(triangles_of_edges(edges(expected))) == expected


def test_a_cycle_round_a_vertex_is_no_triangle():
    # A vertex of three neighbours inside a triangle that is itself part of a larger one.
    inner = [(0, 1, 3), (1, 2, 3), (2, 0, 3)]
    outer = [(0, 4, 1), (1, 5, 2), (2, 6, 0)]
    assert in_order(triangles_of_edges(edges(inner + outer))) == in_order(inner + outer)


def test_the_other_direction_comes_back_too():
    mesh = [(0, 1, 2), (2, 1, 3)]
    flipped = [t[::-1] for t in mesh]
    assert in_order(triangles_of_edges(edges(mesh))) == in_order(mesh)
    assert in_order(triangles_of_edges(edges(flipped))) == in_order(flipped)
