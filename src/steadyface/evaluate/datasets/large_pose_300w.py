"""300W-LP: 300W turned to large poses by face profiling, 122,450 images with mirrored twins (Zhu 2016)."""

from collections.abc import Iterator

from ...errors import InputError
from .ddfa_labels import read_parameters
from .layout import image_beside, require_file, require_folder, require_some
from .mat_file import read_mat
from .sample import Sample

LAYOUT = (
    "AFW, HELEN, IBUG, LFPW and their AFW_Flip, ... under the root, each with NAME.jpg beside NAME.mat; for "
    "3D-consistent points also landmarks/AFW/NAME_pts.mat, ..."
)
FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")


def read_300w_lp(root, folders=FOLDERS, flipped=False, points="2d") -> Iterator[Sample]:
    """The images of 300W-LP with "ibug68" landmarks (68, 2) and the head's rotation.

    folders: of `FOLDERS`; flipped: also the mirrored twins, which are no new faces; points: "2d", pt2d of
    the .mat beside the image; "3d", pts_3d of landmarks/, whose jaw follows the 3D face. Points are taken
    as stored, without a shift. attributes: folder, flipped, yaw (radians, 3DDFA's sign), parameters
    (`FaceParameters`). Raises InputError if files or SciPy are missing, or for an unknown folder.
    """
    root = require_folder("300W-LP", root, LAYOUT)
    if points not in ("2d", "3d"):
        raise InputError(f"300W-LP has no points {points!r}: know 2d, 3d")
    unknown = [f for f in folders if f not in FOLDERS]
    if unknown:
        raise InputError(f"300W-LP has no folder {unknown[0]!r}: know {', '.join(FOLDERS)}")
    names = [name for f in folders for name in ((f, f"{f}_Flip") if flipped else (f,))]
    files = []
    for name in names:
        place = require_folder("300W-LP", root / name, LAYOUT)
        files += [(name, f) for f in require_some("300W-LP", place, "*.mat", LAYOUT)]
    return (_sample(root, folder, file, points) for folder, file in files)


def _sample(root, folder, file, points):
    if points == "2d":
        parameters, content = read_parameters(file, ("pt2d",))
        landmarks = content["pt2d"].T
    else:
        parameters, _ = read_parameters(file)
        table = require_file("300W-LP", root / "landmarks" / folder / f"{file.stem}_pts.mat", LAYOUT)
        landmarks = read_mat(table, ("pts_3d",))["pts_3d"]
    return Sample(
        dataset="300W-LP",
        name=f"{folder}/{file.stem}",
        image_path=image_beside("300W-LP", file, LAYOUT),
        markup="ibug68",
        landmarks=landmarks,
        rotation=parameters.rotation,
        attributes={
            "folder": folder.removesuffix("_Flip"),
            "flipped": folder.endswith("_Flip"),
            "yaw": float(parameters.angles[1]),
            "parameters": parameters,
        },
    )
