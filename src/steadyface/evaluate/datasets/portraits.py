"""Our own still images: crops of portraits with MediaPipe's 478 points (`portraits`, `london_smiling`)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import require_file, require_folder
from .sample import Sample

LAYOUT = "landmarks478.npz (names, xyz) and images/NAME.jpg under the root"


def read_portraits(root, dataset="portraits") -> Iterator[Sample]:
    """The crops of a folder with "mediapipe478" landmarks (478, 3).

    root: as `LAYOUT`; dataset: the name to give. The points are MediaPipe's, not truth. attributes:
    side (px) and, where the file has them, flip_consistency and saturation. Raises InputError if files
    are missing.
    """
    file = require_file(dataset, Path(root) / "landmarks478.npz", LAYOUT)
    images = require_folder(dataset, Path(root) / "images", LAYOUT)
    with np.load(file, allow_pickle=False) as z:
        table = {k: z[k] for k in z.files}
    if "names" not in table or "xyz" not in table or table["xyz"].shape != (len(table["names"]), 478, 3):
        raise InputError(f"{file} must hold names (N,) and xyz (N, 478, 3)")
    extra = [k for k in ("side", "flip_consistency", "saturation") if k in table]

    def sample(i):
        # Stored in 1/32 pixel from the image's edge; our pixels have their centres at integers.
        landmarks = table["xyz"][i] / 32 - [0.5, 0.5, 0]
        return Sample(
            dataset=dataset,
            name=str(table["names"][i]),
            image_path=images / str(table["names"][i]),
            markup="mediapipe478",
            landmarks=landmarks,
            attributes={k: float(table[k][i]) for k in extra},
        )

    return map(sample, range(len(table["names"])))


#: The same reader for the 102 crops of the Face Research Lab London Set.
read_london_smiling = partial(read_portraits, dataset="london_smiling")
