"""A mesh as a Wavefront OBJ file."""

import numpy as np

from ..output import replacing


def write_obj(vertices, triangles, path):
    """Write a mesh, whole or not at all, in millimetres and OBJ's usual axes: y up, z to the viewer.

    vertices: (V, 3) mm in the model frame; triangles: (F, 3). Raises OutputError if it cannot be written.
    """
    turned = np.asarray(vertices, float) * [1, -1, -1]
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.writelines(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in turned)
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in np.asarray(triangles) + 1)
