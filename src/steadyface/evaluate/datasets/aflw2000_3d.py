"""AFLW2000-3D: the first 2,000 faces of AFLW with fitted 3D faces and 68 points (Zhu et al. 2016)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError
from .ddfa_labels import read_parameters
from .layout import choose, image_beside, require_file, require_folder, require_some
from .sample import Sample

LAYOUT = (
    "image00002.jpg beside image00002.mat under the root; for the re-annotated labels also "
    "AFLW2000-3D-Reannotated.pts68.npy, (2000, 2 or 3, 68) in the order of the images' names"
)


def read_aflw2000_3d(root, labels="original") -> Iterator[Sample]:
    """The images of AFLW2000-3D with "ibug68" landmarks and the head's rotation.

    labels: "original", pt3d_68 of the .mat files, (68, 3), whose jaw and far side follow the fitted 3D
    face; "reannotated", (68, 2), of Bulat and Tzimiropoulos 2017 in the array that 3DDFA's program carries
    (check: its order is taken to be that of the images' names, for the array holds none). Errors of the
    two differ by half a percent and more: say which. attributes: labels, yaw (radians, 3DDFA's own sign),
    parameters (`FaceParameters`). Points are taken as published programs take them, without a shift; the
    dataset's MATLAB demo plots them as 1-based pixels, so that all may be off by one pixel (check). Raises
    InputError if files or SciPy are missing.
    """
    root = require_folder("AFLW2000-3D", root, LAYOUT)
    files = require_some("AFLW2000-3D", root, "*.mat", LAYOUT)
    again = choose("AFLW2000-3D labels", labels, {"original": False, "reannotated": True})
    points = None
    if again:
        table = root / "AFLW2000-3D-Reannotated.pts68.npy"
        points = np.load(require_file("AFLW2000-3D", table, LAYOUT), allow_pickle=False)
        if points.shape[0] != len(files) or points.shape[1] not in (2, 3) or points.shape[2:] != (68,):
            raise InputError(
                f"{table} must be ({len(files)}, 2 or 3, 68), one entry an image; got {points.shape}"
            )
    return (_sample(f, labels, None if points is None else points[i]) for i, f in enumerate(files))


def _sample(file: Path, labels, points):
    parameters, content = read_parameters(file, ("pt3d_68",))
    # Depth grows to the viewer there, away from the camera here.
    fitted = content["pt3d_68"].T * [1, 1, -1]
    landmarks = fitted if points is None else points[:2].T.astype(float)
    return Sample(
        dataset="AFLW2000-3D",
        name=file.stem,
        image_path=image_beside("AFLW2000-3D", file, LAYOUT),
        markup="ibug68",
        landmarks=landmarks,
        rotation=parameters.rotation,
        attributes={"labels": labels, "yaw": float(parameters.angles[1]), "parameters": parameters},
    )


def yaw_binned(errors, yaw):
    """Mean error in the bins of |yaw| [0, 30], (30, 60] and above 60 degrees, and the mean of these means.

    errors: (N,); yaw: (N,) radians. The published "mean" is that of the three bins, not of the images.
    Returns (bins (3,), mean); a bin without images is NaN and makes the mean NaN. Source: 3DDFA_V2,
    table 1, and the program of 3DDFA, whose last bin has no upper end.
    """
    errors, degrees = np.asarray(errors, float), np.abs(np.rad2deg(np.asarray(yaw, float)))
    # Labels of 30 degrees exactly are stored in radians.
    which = np.searchsorted([30, 60], degrees - 1e-9)
    bins = np.array([errors[which == i].mean() if (which == i).any() else np.nan for i in range(3)])
    return bins, float(bins.mean())
