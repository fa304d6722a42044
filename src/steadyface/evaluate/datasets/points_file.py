"""Points in MeshLab's .pp files."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from ...errors import InputError


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
