"""Our own clips: short videos of one face with MediaPipe's 478 points of every frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import require_file
from .sample import Clip

LAYOUT = "mediapipe478.npz, (T, 478, 3) under the name of each clip, and NAME.mp4 under the root"


def read_videos(root) -> Iterator[Clip]:
    """The clips of a folder with "mediapipe478" landmarks (T, 478, 3).

    root: as `LAYOUT`; the points are MediaPipe's in tracking mode, for comparison, not truth. A clip has as
    many frames as points, whatever its container promises. Raises InputError if files are missing.
    """
    root = Path(root)
    file = require_file("videos", root / "mediapipe478.npz", LAYOUT)
    with np.load(file, allow_pickle=False) as z:
        points = {name: z[name] for name in sorted(z.files)}
    for name, p in points.items():
        require_file("videos", root / f"{name}.mp4", LAYOUT)
        if p.ndim != 3 or p.shape[1:] != (478, 3):
            raise InputError(f"{file}: {name} must be (T, 478, 3), got {p.shape}")
    return (
        Clip(
            dataset="videos",
            name=name,
            source=root / f"{name}.mp4",
            length=len(p),
            markup="mediapipe478",
            # MediaPipe's image ends at the outer edges of its border pixels, ours at their centres.
            landmarks=p.astype(float) - [0.5, 0.5, 0],
        )
        for name, p in points.items()
    )
