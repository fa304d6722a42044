"""WFLW: 10,000 faces of WIDER with 98 points and six attributes (Wu et al. 2018)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import choose, require_file, require_folder
from .sample import Sample

LAYOUT = (
    "WFLW_images/EVENT/NAME.jpg and WFLW_annotations/list_98pt_rect_attr_train_test/"
    "list_98pt_rect_attr_{train,test}.txt under the root"
)
#: The attributes of a line, each 0 or 1.
ATTRIBUTES = ("pose", "expression", "illumination", "make_up", "occlusion", "blur")
_COLUMNS = 2 * 98 + 4 + len(ATTRIBUTES) + 1


def read_wflw(root, subset="test") -> Iterator[Sample]:
    """The faces of WFLW with "wflw98" landmarks (98, 2), as the lists give them, and box.

    root: as `LAYOUT`; subset: "train" (7,500) or "test" (2,500). attributes: `ATTRIBUTES` as bool: the
    protocol reports the test set as a whole and its part under each. An image may hold several faces. Raises
    InputError if the list or an image folder is missing, or a line has not 207 columns.
    """
    name = choose("WFLW", subset, {s: f"list_98pt_rect_attr_{s}.txt" for s in ("test", "train")})
    folder = Path(root) / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    file = require_file("WFLW", folder / name, LAYOUT)
    images = require_folder("WFLW", Path(root) / "WFLW_images", LAYOUT)

    def samples():
        with open(file, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    yield _sample(line, number)

    def _sample(line, number):
        cells = line.split()
        if len(cells) != _COLUMNS:
            raise InputError(f"{file}, line {number}: {len(cells)} columns where {_COLUMNS} are expected")
        values = np.array(cells[:-1], float)
        flags = dict(zip(ATTRIBUTES, values[200:] > 0, strict=True))
        return Sample(
            dataset="WFLW",
            name=f"{cells[-1]}#{number}",
            image_path=images / cells[-1],
            markup="wflw98",
            landmarks=values[:196].reshape(98, 2),
            box=values[196:200],
            attributes={k: bool(v) for k, v in flags.items()},
        )

    return samples()
