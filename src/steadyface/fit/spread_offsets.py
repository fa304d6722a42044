"""Offsets that were found for points on a region's surface, spread smoothly over its vertices."""

import numpy as np

# What a bend of a millimetre weighs against a miss of a millimetre at a point.
_BENDING = 0.1


def spread_offsets(offsets, corners, weights, triangles, inside):
    """Offsets of all vertices, zero outside the region: (V, 3) mm.

    offsets: (M, 3) mm of points on the surface; corners, weights: (M, 3) vertices and their share in each
    point; triangles: (F, 3); inside: (V,) bool, the region. Least squares: the vertices' offsets, put
    together at the points, are the points' offsets, and each is near the mean of its neighbours' (a thin
    plate held at the region's rim).
    """
    out = np.zeros((len(inside), 3))
    vertices = np.flatnonzero(inside)
    if not len(vertices):
        return out
    place = np.full(len(inside), -1)
    place[vertices] = np.arange(len(vertices))
    n = len(vertices)
    at = np.zeros((len(offsets), n))
    for corner in range(3):
        column = place[corners[:, corner]]
        row = np.flatnonzero(column >= 0)
        np.add.at(at, (row, column[row]), weights[row, corner])
    edges = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = np.unique(np.sort(edges, 1), axis=0)
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[inside[edges[:, 0]]]
    degree = np.bincount(place[edges[:, 0]], minlength=n)
    bend = np.eye(n)
    within = inside[edges[:, 1]]
    row, column = place[edges[within, 0]], place[edges[within, 1]]
    # Neighbours outside stay where they are: they count in the mean, with an offset of zero.
    bend[row, column] -= 1 / degree[row]
    hessian = at.T @ at + _BENDING**2 * bend.T @ bend
    hessian[np.diag_indices(n)] += 1e-9
    out[vertices] = np.linalg.solve(hessian, at.T @ offsets)
    return out
