"""Multiface: multi-view video of 13 people with tracked meshes of 7,306 vertices (Wuu et al. 2022)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import require_file, require_folder, require_some
from .mesh_file import read_mesh
from .sample import Calibration, Clip, Mesh

LAYOUT = (
    "m--DATE--TIME--ID--GHS under the root, each with KRT, frame_list.txt, "
    "images/EXPRESSION/CAMERA/FRAME.png and in tracked_mesh/EXPRESSION FRAME.obj, FRAME.bin (or .obj alone) "
    "and FRAME_transform.txt"
)
FPS = 30.0


def read_multiface(root, subjects=None, expressions=None, cameras=None) -> Iterator[Clip]:
    """The clips of Multiface, one per subject, expression and camera, with calibration and true meshes.

    root: as `LAYOUT`; subjects: IDs, expressions, cameras: folder names, by default all that are there.
    clip.mesh(t) is the tracked mesh of frame t in world mm: the stored vertices moved by the frame's head
    pose; clip.calibration.project gives its pixels. attributes: subject, expression, camera, frames (names),
    stored_distortion (5,): KRT has lens coefficients, but the dataset's own program projects without them,
    and so does the calibration. Frames are those of frame_list.txt that have an image. FlowFace evaluates
    86 of the sequences, listed in its appendix alone. Raises InputError if a file is missing.
    """
    root = require_folder("Multiface", root, LAYOUT)
    folders = require_some("Multiface", root, "m--*--GHS", LAYOUT)
    known = {f.name.split("--")[3]: f for f in folders if len(f.name.split("--")) == 5}
    chosen = _chosen("subject", subjects, known)
    clips = []
    for subject in chosen:
        folder = known[subject]
        krt = read_krt(require_file("Multiface", folder / "KRT", LAYOUT))
        listed = _frame_list(require_file("Multiface", folder / "frame_list.txt", LAYOUT))
        require_folder("Multiface", folder / "tracked_mesh", LAYOUT)
        images = require_folder("Multiface", folder / "images", LAYOUT)
        there = {d.name: d for d in images.iterdir() if d.is_dir()}
        for expression in _chosen("expression", expressions, there):
            views = {d.name: d for d in there[expression].iterdir() if d.is_dir()}
            for camera in _chosen("camera", cameras, views):
                if camera not in krt:
                    raise InputError(f"Multiface: {folder / 'KRT'} has no camera {camera}")
                clips.append((folder, subject, expression, camera, krt[camera], listed.get(expression, [])))
    return (_clip(*c) for c in clips)


def _chosen(what, wanted, known):
    unknown = [w for w in wanted or () if w not in known]
    if unknown:
        raise InputError(f"Multiface has no {what} {unknown[0]!r} there: know {', '.join(sorted(known))}")
    return sorted(known) if wanted is None else list(wanted)


def read_krt(path):
    """Cameras of a KRT file: name to (intrinsics (3, 3), distortion (5,), extrinsics (3, 4)).

    A camera is its name, three lines of intrinsics, one of distortion, three of extrinsics, and an empty
    line. Raises InputError for any other content.
    """
    lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    cameras = {}
    try:
        for i in range(0, len(lines), 8):
            name, *rows = lines[i : i + 8]
            values = np.array([float(v) for row in rows for v in row])
            if [len(row) for row in rows] != [3, 3, 3, 5, 4, 4, 4]:
                raise ValueError(f"the camera {' '.join(name)} has other lines")
            cameras[name[0]] = values[:9].reshape(3, 3), values[9:14], values[14:].reshape(3, 4)
    except ValueError as e:
        raise InputError(
            f"{path} is not a KRT file, for each camera a name, three lines of 3 numbers, one of 5 and three "
            f"of 4: {e}"
        ) from e
    return cameras


def _frame_list(path):
    frames: dict[str, list[str]] = {}
    for line in Path(path).read_text().splitlines():
        if line.strip():
            expression, frame = line.split()[:2]
            frames.setdefault(expression, []).append(frame)
    return frames


def _clip(folder, subject, expression, camera, krt, listed):
    images = folder / "images" / expression / camera
    frames = [f for f in listed if (images / f"{f}.png").is_file()]
    if not frames:
        raise InputError(f"Multiface: {images} holds no frame of frame_list.txt; expected layout: {LAYOUT}")
    intrinsics, distortion, extrinsics = krt
    return Clip(
        dataset="Multiface",
        name=f"{subject}/{expression}/{camera}",
        source=tuple(images / f"{f}.png" for f in frames),
        length=len(frames),
        fps=FPS,
        calibration=Calibration(intrinsics, extrinsics),
        mesh=partial(_mesh, folder / "tracked_mesh" / expression, tuple(frames)),
        attributes={
            "subject": subject,
            "expression": expression,
            "camera": camera,
            "frames": tuple(frames),
            "stored_distortion": distortion,
        },
    )


def _mesh(folder, frames, t):
    frame = frames[t]
    # All meshes share one topology, so that one .obj serves frames that have vertices alone.
    own = folder / f"{frame}.obj"
    mesh = read_mesh(own if own.is_file() else require_some("Multiface", folder, "*.obj", LAYOUT)[0])
    vertices, binary = mesh.vertices, folder / f"{frame}.bin"
    if binary.is_file():
        vertices = np.fromfile(binary, "<f4").astype(float)
        if len(vertices) != mesh.vertices.size:
            raise InputError(
                f"{binary} holds {len(vertices)} numbers where {mesh.vertices.size} are expected"
            )
        vertices = vertices.reshape(-1, 3)
    elif not own.is_file():
        raise InputError(f"Multiface: {binary} is missing; expected layout: {LAYOUT}")
    pose = np.loadtxt(require_file("Multiface", folder / f"{frame}_transform.txt", LAYOUT))
    if pose.shape != (3, 4):
        raise InputError(
            f"{folder / f'{frame}_transform.txt'} must hold 3 lines of 4 numbers, got {pose.shape}"
        )
    return Mesh(vertices @ pose[:, :3].T + pose[:, 3], mesh.triangles)
