"""Triangles of a mesh of which only the edges are given, as MediaPipe does. Needs numpy alone."""

import numpy as np


def triangles_of_edges(directed):
    """Triangles (F, 3) of a mesh of which the directed edges are known, in the direction of its border's.

    directed: pairs of vertices: an edge of two triangles in both directions, one on the border in its
    triangle's.
    """
    directed = {(int(a), int(b)) for a, b in directed}
    joined = {}
    for a, b in directed:
        joined.setdefault(a, set()).add(b)
        joined.setdefault(b, set()).add(a)
    cycles = {frozenset((a, b, c)) for a, b in directed for c in joined[a] & joined[b]}
    # The three neighbours of a vertex inside the mesh may be joined too: a cycle, but no triangle of it.
    cycles -= {frozenset(near) for near in joined.values() if len(near) == 3}
    of_edge = {}
    for cycle in cycles:
        for corner in cycle:
            of_edge.setdefault(cycle - {corner}, set()).add(cycle)
    # From the border inwards, each triangle tells its neighbours how they turn.
    triangles = {}
    waiting = [(a, b) for a, b in sorted(directed) if (b, a) not in directed]
    while waiting:
        a, b = waiting.pop()
        for cycle in of_edge[frozenset((a, b))] - triangles.keys():
            (c,) = cycle - {a, b}
            triangles[cycle] = min((a, b, c), (b, c, a), (c, a, b))
            waiting += [(c, b), (a, c)]
    return np.array(sorted(triangles.values()))
