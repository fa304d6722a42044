"""Meshes of datasets in Wavefront OBJ and Stanford PLY files."""

from pathlib import Path

import numpy as np

from ...errors import InputError
from .sample import Mesh

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}


def read_mesh(path):
    """The `Mesh` of an .obj or .ply file, in the file's unit.

    Polygons are cut into fans of triangles. Raises InputError if the file is missing or of another kind.
    """
    path = Path(path)
    readers = {".obj": _read_obj, ".ply": _read_ply}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} is no mesh: know {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"the mesh {path} is missing")
    try:
        mesh = readers[path.suffix.lower()](path)
    except (ValueError, IndexError, KeyError) as e:
        raise InputError(f"cannot read the mesh {path}: {e}") from e
    if len(mesh.triangles) and (mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices)):
        raise InputError(f"cannot read the mesh {path}: a face names a vertex that it does not have")
    return mesh


def _fan(polygon):
    return [[polygon[0], polygon[i], polygon[i + 1]] for i in range(1, len(polygon) - 1)]


def _read_obj(path):
    vertices, triangles = [], []
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("v "):
                vertices.append([float(v) for v in line.split()[1:4]])
            elif line.startswith("f "):
                index = [int(c.split("/")[0]) for c in line.split()[1:]]
                # Negative indices count back from the vertices read so far.
                triangles += _fan([i - 1 if i > 0 else len(vertices) + i for i in index])
    return Mesh(np.array(vertices, float).reshape(-1, 3), np.array(triangles, int).reshape(-1, 3))


def _read_ply(path):
    content = path.read_bytes()
    end = content.find(b"end_header")
    if not content.startswith(b"ply") or end < 0:
        raise ValueError("it has no PLY header")
    lines = content[:end].decode("ascii", "replace").splitlines()
    body = content[content.index(b"\n", end) + 1 :]
    elements = []
    order = ""
    for line in map(str.split, lines):
        if line[:1] == ["format"]:
            order = {"ascii": "ascii", "binary_little_endian": "<", "binary_big_endian": ">"}[line[1]]
        elif line[:1] == ["element"]:
            elements.append((line[1], int(line[2]), []))
        elif line[:1] == ["property"]:
            elements[-1][2].append(line[1:])
    tables = _ascii_tables(body, elements) if order == "ascii" else _binary_tables(body, elements, order)
    vertices = np.stack([tables["vertex"][k] for k in "xyz"], -1).astype(float)
    return Mesh(vertices, np.array(tables.get("face", []), int).reshape(-1, 3))


def _ascii_tables(body, elements):
    lines = iter(body.decode("ascii", "replace").splitlines())
    tables = {}
    for name, count, properties in elements:
        rows = [next(lines).split() for _ in range(count)]
        if name == "face":
            tables[name] = [t for r in rows for t in _fan([int(v) for v in r[1 : 1 + int(r[0])]])]
        else:
            columns = [p[-1] for p in properties]
            tables[name] = {c: np.array([float(r[i]) for r in rows]) for i, c in enumerate(columns)}
    return tables


def _binary_tables(body, elements, order):
    tables, place = {}, 0
    for name, count, properties in elements:
        if any(p[0] == "list" for p in properties):
            if len(properties) != 1:
                raise ValueError(f"its {name} elements hold more than one list")
            _, counter, index, _ = properties[0]
            # Faces of one size are read at once; scans and registrations hold triangles alone.
            dtype = np.dtype([("n", order + _TYPES[counter]), ("i", order + _TYPES[index], 3)])
            table = np.frombuffer(body, dtype, count, place)
            if (table["n"] != 3).any():
                raise ValueError("its faces are not all triangles")
            tables[name] = table["i"]
        else:
            dtype = np.dtype([(p[1], order + _TYPES[p[0]]) for p in properties])
            table = np.frombuffer(body, dtype, count, place)
            tables[name] = {p[1]: table[p[1]] for p in properties}
        place += dtype.itemsize * count
    return tables
