"""FaceScape: 359 people, 20 expressions, some 60 calibrated views each, with scans (Yang et al. 2020)."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import require_file, require_folder
from .mesh_file import read_mesh
from .sample import Calibration, Sample

LAYOUT = "img/ID/EXPRESSION/VIEW.jpg and params.json, and mesh/ID/EXPRESSION.ply under the root"


def read_facescape(root, subjects=None, expressions=None) -> Iterator[Sample]:
    """The views of FaceScape's multi-view data with calibration and the scan as mesh.

    root: as `LAYOUT`; subjects: IDs as text; expressions: as "1_neutral"; by default all. Views that the
    dataset marks as not valid are left out. The scan is in the calibration's world; its unit is FaceScape's
    own, per recording. attributes: subject, expression, view. Raises InputError if files are missing.
    """
    images = require_folder("FaceScape", Path(root) / "img", LAYOUT)
    require_folder("FaceScape", Path(root) / "mesh", LAYOUT)
    found = []
    for subject in sorted(subjects or (d.name for d in images.iterdir() if d.is_dir())):
        folder = require_folder("FaceScape", images / subject, LAYOUT)
        for expression in sorted(expressions or (d.name for d in folder.iterdir() if d.is_dir())):
            parameters = require_file("FaceScape", folder / expression / "params.json", LAYOUT)
            scan = require_file("FaceScape", Path(root) / "mesh" / subject / f"{expression}.ply", LAYOUT)
            found.append((subject, expression, parameters, scan))
    return (sample for f in found for sample in _samples(*f))


def _samples(subject, expression, path, scan):
    try:
        parameters = json.loads(path.read_text(encoding="utf-8"))
        views = sorted(int(k.removesuffix("_valid")) for k in parameters if k.endswith("_valid"))
        for view in views:
            if not parameters[f"{view}_valid"]:
                continue
            calibration = Calibration(
                np.array(parameters[f"{view}_K"], float)[:3, :3],
                np.array(parameters[f"{view}_Rt"], float)[:3],
                np.array(parameters[f"{view}_distortion"], float).reshape(5),
            )
            yield Sample(
                dataset="FaceScape",
                name=f"{subject}/{expression}/{view}",
                image_path=path.parent / f"{view}.jpg",
                calibration=calibration,
                mesh=partial(read_mesh, scan),
                attributes={"subject": subject, "expression": expression, "view": view},
            )
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path} is not FaceScape's params.json: {e!r}") from e
