"""SNaP-2DFe: 15 people, 6 head movements x 7 expressions, with and without movement (Allaert et al. 2018)."""

from collections.abc import Iterator

import numpy as np

from ...errors import InputError
from ...points.pts_file import read_pts
from .layout import image_beside, missing, require_folder
from .sample import Clip

LAYOUT = "SUBJECT/MOVEMENT/EXPRESSION/CAMERA/NUMBER.pts beside NUMBER.png or .jpg under the root"
MOVEMENTS = ("static", "translation_x", "pitch", "yaw", "roll", "diagonal")
EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
CAMERAS = ("head_mounted", "fixed")
#: Subjects of the local motion paper's fine-tuning, validation and test.
SPLITS = {"train": range(1, 7), "validation": range(7, 9), "test": range(9, 13), "all": range(1, 16)}


def read_snap_2dfe(root, subset="test", cameras=("fixed",)) -> Iterator[Clip]:
    """The clips of SNaP-2DFe with "ibug68" landmarks (T, 68, 2).

    subset: of `SPLITS` (local motion paper, section 4.1); cameras: of `CAMERAS`, the fixed one sees the head
    move. attributes: subject, movement, expression, camera. (check) The folders of the download are not
    described in public: what is expected here is one folder a recording, named by the tables of this file,
    with subjects as numbers; the .pts files' pixels count from 1, as in 300W, whose points they are. Raises
    InputError if no recording is found, an image is missing, or a name is unknown.
    """
    root = require_folder("SNaP-2DFe", root, LAYOUT)
    if subset not in SPLITS:
        raise InputError(f"SNaP-2DFe has no subset {subset!r}: know {', '.join(SPLITS)}")
    unknown = [c for c in cameras if c not in CAMERAS]
    if unknown:
        raise InputError(f"SNaP-2DFe has no camera {unknown[0]!r}: know {', '.join(CAMERAS)}")
    numbers = {int(d.name): d for d in root.iterdir() if d.is_dir() and d.name.isdigit()}
    found = [
        (number, movement, expression, camera, folder)
        for number in sorted(set(numbers) & set(SPLITS[subset]))
        for movement in MOVEMENTS
        for expression in EXPRESSIONS
        for camera in cameras
        if (folder := numbers[number] / movement / expression / camera).is_dir()
    ]
    if not found:
        raise missing("SNaP-2DFe", root / "1" / MOVEMENTS[0] / EXPRESSIONS[0] / cameras[0], LAYOUT)
    return (_clip(*f) for f in found)


def _clip(subject, movement, expression, camera, folder):
    files = sorted(folder.glob("*.pts"))
    if not files:
        raise missing("SNaP-2DFe", folder / "*.pts", LAYOUT)
    return Clip(
        dataset="SNaP-2DFe",
        name=f"{subject}/{movement}/{expression}/{camera}",
        source=tuple(image_beside("SNaP-2DFe", f, LAYOUT) for f in files),
        length=len(files),
        markup="ibug68",
        landmarks=np.stack([read_pts(f, 68) for f in files]),
        attributes={"subject": subject, "movement": movement, "expression": expression, "camera": camera},
    )
