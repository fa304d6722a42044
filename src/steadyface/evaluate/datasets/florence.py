"""MICC Florence: scans of 53 people, evaluated on renders of them in many poses (Bagdanov et al. 2011)."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from ...errors import InputError
from .layout import require_file, require_folder, require_some
from .mesh_file import read_mesh
from .sample import Mesh, Sample

LAYOUT = (
    "subject_01/Model/frontal1/obj/NAME.obj under the root, and renders/subject_01/VIEW.png with VIEW.txt, "
    "the 3 x 4 matrix that brings the scan's points to pixels (x, y down, depth away)"
)


def read_florence(root) -> Iterator[Sample]:
    """The renders of the scans, each with its scan in the render's pixels as mesh (V, 3).

    root: as `LAYOUT`. The dataset holds scans only; each comparison rendered its own (VRN and PRNet: pitch
    -15, 20, 25 and yaw -80 to 80 degrees, orthographic), so the renders and their 3 x 4 matrices are the
    caller's, in a layout of our own. The error is the mean distance of vertices over the outer inter-ocular
    distance (3DDFA_V2, section 4, table 2). attributes: subject, matrix (3, 4), scan (gives the `Mesh` as
    scanned, mm). (check) The scans' folders are those of the download as others describe it. Raises
    InputError if a scan or matrix is missing.
    """
    root = require_folder("Florence", root, LAYOUT)
    renders = require_some("Florence", root / "renders", "subject_*/*.png", LAYOUT)
    scans = {
        name: require_some("Florence", root / name / "Model", "frontal1/obj/*.obj", LAYOUT)[0]
        for name in sorted({r.parent.name for r in renders})
    }
    return (_sample(r, scans[r.parent.name]) for r in renders)


def _sample(render, scan):
    path = require_file("Florence", render.with_suffix(".txt"), LAYOUT)
    try:
        matrix = np.loadtxt(path)
    except ValueError as e:
        raise InputError(f"{path} is no matrix: {e}") from e
    if matrix.shape != (3, 4):
        raise InputError(f"{path} must hold 3 lines of 4 numbers, got {matrix.shape}")
    return Sample(
        dataset="Florence",
        name=f"{render.parent.name}/{render.stem}",
        image_path=render,
        mesh=partial(_in_image, scan, matrix),
        attributes={"subject": render.parent.name, "matrix": matrix, "scan": partial(read_mesh, scan)},
    )


def _in_image(scan, matrix):
    mesh = read_mesh(scan)
    return Mesh(mesh.vertices @ matrix[:, :3].T + matrix[:, 3], mesh.triangles)
