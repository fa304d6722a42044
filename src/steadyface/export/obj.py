"""A mesh as a Wavefront OBJ file, with its texture."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..output import replacing
from .png import write_png


def write_obj(vertices, triangles, path, *, uv=None, uv_triangles=None, texture=None):
    """Write a mesh, whole or not at all, in millimetres and OBJ's usual axes: y up, z to the viewer.

    vertices: (V, 3) mm in the model frame; triangles: (F, 3). uv: (U, 2) texture coordinates in [0, 1], v
    down, and uv_triangles: (F, 3) into them, both or neither; texture: (h, w, 3) uint8 RGB, written beside
    the file as .png with a material as .mtl, both of the file's name, all three or none of them. Raises
    InputError for shapes that do not fit, OutputError if it cannot be written.
    """
    path = Path(path)
    if texture is not None and path.suffix.lower() in (".mtl", ".png"):
        raise InputError(f"{path} is the name of the material or the texture: give a name that ends in .obj")
    vertices, triangles, uv, uv_triangles = _checked(vertices, triangles, uv, uv_triangles, texture)
    with ExitStack() as files:
        # Moved into place last, when what it names is there.
        mesh = files.enter_context(replacing(path))
        material, picture = path.with_suffix(".mtl"), path.with_suffix(".png")
        if texture is not None:
            write_png(texture, files.enter_context(replacing(picture)))
            text = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n"
            files.enter_context(replacing(material)).write_text(text, encoding="utf-8")
        with open(mesh, "w", encoding="utf-8") as file:
            if texture is not None:
                file.write(f"mtllib {material.name}\nusemtl face\n")
            file.writelines(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in vertices * [1, -1, -1])
            if uv is None or uv_triangles is None:
                file.writelines(f"f {a} {b} {c}\n" for a, b, c in triangles + 1)
                return
            file.writelines(f"vt {u:.6f} {1 - v:.6f}\n" for u, v in uv)
            both = np.stack([triangles, uv_triangles], -1).reshape(-1, 6) + 1
            file.writelines(f"f {a}/{ta} {b}/{tb} {c}/{tc}\n" for a, ta, b, tb, c, tc in both)


def _checked(vertices, triangles, uv, uv_triangles, texture):
    vertices, triangles = np.asarray(vertices, float), np.asarray(triangles)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise InputError(
            f"a mesh has vertices (V, 3) and triangles (F, 3): got {vertices.shape} and {triangles.shape}"
        )
    if (uv is None) != (uv_triangles is None):
        raise InputError("uv and uv_triangles go together: give both or neither")
    if uv is None:
        if texture is not None:
            raise InputError("a texture needs texture coordinates: give uv and uv_triangles too")
        return vertices, triangles, None, None
    uv, uv_triangles = np.asarray(uv, float), np.asarray(uv_triangles)
    if uv.ndim != 2 or uv.shape[1] != 2 or uv_triangles.shape != triangles.shape:
        raise InputError(
            f"texture coordinates are uv (U, 2) and uv_triangles {triangles.shape} as the triangles: got "
            f"{uv.shape} and {uv_triangles.shape}"
        )
    return vertices, triangles, uv, uv_triangles
