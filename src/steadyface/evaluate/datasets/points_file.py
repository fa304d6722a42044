"""Points in text: iBUG's .pts files and MeshLab's .pp files."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from ...errors import InputError


def read_pts(path, count=None):
    """Points of a .pts file, moved from its 1-based pixels to ours: (L, 2), or (L, 3) with depth.

    The file: `version: 1`, `n_points: 68`, then a line `x y` per point in braces; only x and y are moved by
    one. count: how many points there must be. Raises InputError for any other content.
    """
    text = Path(path).read_text(encoding="ascii", errors="replace")
    head, opened, rest = text.partition("{")
    body, closed, _ = rest.partition("}")
    try:
        rows = [[float(v) for v in line.split()] for line in body.splitlines() if line.strip()]
        widths = {len(row) for row in rows}
    except ValueError:
        rows, widths = [], set()
    promised = [
        line.split(":")[1].strip() for line in head.splitlines() if line.strip().startswith("n_points")
    ]
    fits = widths in ({2}, {3}) and promised in ([], [str(len(rows))])
    if not (opened and closed and fits):
        raise InputError(f"{path} is not a .pts file: it needs n_points lines `x y` between braces")
    if count is not None and len(rows) != count:
        raise InputError(f"{path} has {len(rows)} points where {count} are expected")
    points = np.array(rows)
    points[:, :2] -= 1
    return points


def read_picked_points(path):
    """Points (N, 3) of MeshLab's .pp file (XML), in the file's order, inactive ones as NaN.

    Raises InputError if it is none.
    """
    try:
        root = ElementTree.parse(path).getroot()
        points = [
            [float(p.attrib[k]) if p.attrib.get("active", "1") == "1" else np.nan for k in "xyz"]
            for p in root.iter("point")
        ]
    except (ElementTree.ParseError, KeyError, ValueError) as e:
        raise InputError(f"{path} is not a file of picked points: {e}") from e
    return np.array(points).reshape(-1, 3)
