"""300W: faces in the wild with 68 points (Sagonas et al. 2013)."""

from collections.abc import Iterator

from ...points.pts_file import read_pts
from .layout import choose, image_beside, require_folder, require_some
from .sample import Sample

LAYOUT = (
    "afw, ibug, helen/trainset, helen/testset, lfpw/trainset, lfpw/testset, 300W/01_Indoor, 300W/02_Outdoor "
    "under the root, each with NAME.pts beside NAME.jpg or NAME.png"
)

#: Folders of each subset, as the field uses them: 3,148 / 554 / 135 / 689 / 600 images.
SUBSETS = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
    "test": ("300W/01_Indoor", "300W/02_Outdoor"),
}


def read_300w(root, subset="full") -> Iterator[Sample]:
    """The images of 300W with "ibug68" landmarks (68, 2).

    root: as `LAYOUT`; subset: of `SUBSETS`. attributes: folder. Raises InputError if a folder, or an
    image of an annotation, is missing.
    """
    folders = choose("300W", subset, SUBSETS)
    files = []
    for folder in folders:
        place = require_folder("300W", f"{root}/{folder}", LAYOUT)
        files += [(folder, f) for f in require_some("300W", place, "*.pts", LAYOUT)]
    return (
        Sample(
            dataset="300W",
            name=f"{folder}/{file.stem}",
            image_path=image_beside("300W", file, LAYOUT),
            markup="ibug68",
            landmarks=read_pts(file, 68),
            attributes={"folder": folder},
        )
        for folder, file in files
    )
