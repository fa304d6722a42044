"""NoW: neutral face shapes of 100 people from single images, against scans (Sanyal et al. 2019)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...output import make_folder, replacing
from .layout import choose, require_file, require_folder, require_some
from .mesh_file import read_mesh
from .points_file import read_picked_points
from .sample import Mesh, Sample

LAYOUT = (
    "imagepathsvalidation.txt or imagepathstest.txt, iphone_pictures/SUBJECT/CHALLENGE/NAME.jpg, and for the "
    "validation set scans/SUBJECT/NAME.obj and scans_lmks_onlypp/SUBJECT/NAME.pp under the root"
)
CHALLENGES = ("multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie")


def read_now(root, subset="validation") -> Iterator[Sample]:
    """The images of NoW; in the validation set with the scan as mesh (mm) and its seven points.

    root: as `LAYOUT`; subset: "validation" (20 subjects) or "test" (80, whose scans are not given out).
    attributes: subject, challenge (of `CHALLENGES`), scan_keypoints (7, 3) mm as
    `surface_metrics.KEYPOINTS_7`, None in the test set. The detected faces of the download are pickles and
    are not read. Raises InputError if a list, folder or scan is missing.
    """
    root = Path(root)
    name = choose("NoW", subset, {s: f"imagepaths{s}.txt" for s in ("validation", "test")})
    lines = require_file("NoW", root / name, LAYOUT).read_text(encoding="utf-8").split()
    images = require_folder("NoW", root / "iphone_pictures", LAYOUT)
    parts = [line.split("/")[-3:] for line in lines]
    if any(len(p) != 3 or p[1] not in CHALLENGES for p in parts):
        raise InputError(f"{root / name} must list SUBJECT/CHALLENGE/NAME.jpg, of {', '.join(CHALLENGES)}")
    scans = {}
    if subset == "validation":
        for subject in sorted({p[0] for p in parts}):
            scan = require_some("NoW", root / "scans" / subject, "*.obj", LAYOUT)[0]
            picked = require_some("NoW", root / "scans_lmks_onlypp" / subject, "*.pp", LAYOUT)[0]
            points = read_picked_points(picked)
            if points.shape != (7, 3):
                raise InputError(f"{picked} must hold 7 points, got {len(points)}")
            scans[subject] = partial(read_mesh, scan), points
    return (_sample(images, scans, *p) for p in parts)


def _sample(images, scans, subject, challenge, name):
    mesh, points = scans.get(subject, (None, None))
    return Sample(
        dataset="NoW",
        name=f"{subject}/{challenge}/{Path(name).stem}",
        image_path=images / subject / challenge / name,
        mesh=mesh,
        attributes={"subject": subject, "challenge": challenge, "scan_keypoints": points},
    )


def write_prediction(folder, sample, mesh, keypoints):
    """Write one submission: SUBJECT/CHALLENGE/NAME.obj and .npy, the form in which NoW takes them.

    sample: of `read_now`; mesh: the neutral prediction; keypoints: (7, 3) on it, as `KEYPOINTS_7`. Returns
    the path of the .obj. Raises InputError for other points, OutputError if it cannot be written.
    """
    keypoints = np.asarray(keypoints, float)
    if keypoints.shape != (7, 3) or not np.isfinite(keypoints).all():
        raise InputError(f"NoW needs 7 finite points (7, 3), got {keypoints.shape}")
    path = Path(folder) / f"{sample.name}.obj"
    make_folder(path.parent)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as f:
        f.writelines(f"v {x:.7g} {y:.7g} {z:.7g}\n" for x, y, z in mesh.vertices)
        f.writelines(f"f {a} {b} {c}\n" for a, b, c in np.asarray(mesh.triangles) + 1)
    with replacing(path.with_suffix(".npy")) as temporary, open(temporary, "wb") as f:
        np.save(f, keypoints)
    return path


def read_prediction(folder, sample):
    """The `Mesh` and seven points (7, 3) of a submission, .obj or .ply with .npy or .txt.

    Raises InputError if a file is missing or holds other points.
    """
    base = Path(folder) / sample.name
    layout = "SUBJECT/CHALLENGE/NAME.obj or .ply with NAME.npy or .txt under the root of the predictions"
    mesh = next((p for s in (".obj", ".ply") if (p := Path(f"{base}{s}")).is_file()), Path(f"{base}.obj"))
    points = next((p for s in (".npy", ".txt") if (p := Path(f"{base}{s}")).is_file()), Path(f"{base}.npy"))
    require_file("NoW", mesh, layout)
    require_file("NoW", points, layout)
    try:
        keypoints = np.load(points, allow_pickle=False) if points.suffix == ".npy" else np.loadtxt(points)
    except ValueError as e:
        raise InputError(f"cannot read {points}: {e}") from e
    if keypoints.shape != (7, 3):
        raise InputError(f"{points} must be (7, 3), got {keypoints.shape}")
    prediction: Mesh = read_mesh(mesh)
    return prediction, np.asarray(keypoints, float)
