"""Menpo-3D: videos of 300VW with 84 points that move with the 3D face (Zafeiriou et al. 2017)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...errors import InputError
from .ibug_300vw import read_video_with_pts
from .layout import require_file, require_folder
from .sample import Clip

LAYOUT = "ID/vid.avi and ID/annot/000001.pts, ... of 84 (or of 68) points under the root, as in 300VW"


def read_menpo_3d(root, points=84, ibug68=None) -> Iterator[Clip]:
    """The clips of Menpo-3D with "menpo84" landmarks (T, 84, 2), or "ibug68" where a subset is chosen.

    points: how many the files hold, 84, or 68 for files cut to iBUG's points; ibug68: (68,) places of
    iBUG's points among the 84. (check) Neither the folders of the challenge's download nor the table from
    84 to 68 points is described in public: the layout is taken to be that of 300VW, whose videos these are,
    and the table is the caller's. Raises InputError if files are missing or hold another number of points.
    """
    root = require_folder("Menpo-3D", root, LAYOUT)
    if points not in (68, 84):
        raise InputError(f"Menpo-3D has 84 points, or 68 of them; got points={points}")
    if ibug68 is not None:
        ibug68 = np.asarray(ibug68)
        if points != 84 or ibug68.shape != (68,) or ibug68.min() < 0 or ibug68.max() > 83:
            raise InputError("ibug68 must be 68 indices below 84, for files of 84 points")
    folders = sorted(d for d in root.iterdir() if (d / "annot").is_dir())
    if not folders:
        raise InputError(f"Menpo-3D: {root} holds no video; expected layout: {LAYOUT}")
    for folder in folders:
        require_file("Menpo-3D", folder / "vid.avi", LAYOUT)
    return (_clip(folder, points, ibug68) for folder in folders)


def _clip(folder, points, ibug68):
    markup = "menpo84" if points == 84 else "ibug68"
    clip = read_video_with_pts("Menpo-3D", folder, {}, LAYOUT, points, markup)
    if ibug68 is None or clip.landmarks is None:
        return clip
    return replace(clip, landmarks=clip.landmarks[:, ibug68], markup="ibug68")
