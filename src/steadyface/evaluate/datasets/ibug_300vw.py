"""300VW: 114 videos of about a minute, 68 points in every frame (Shen et al. 2015)."""

from collections.abc import Iterator

import numpy as np

from ...points.pts_file import read_pts
from .layout import choose, require_file, require_folder, require_some
from .sample import Clip

LAYOUT = "ID/vid.avi and ID/annot/000001.pts, 000002.pts, ... under the root, ID as 001 or 401"

#: The 64 test videos in the challenge's three categories; the other 50 are for training.
TEST_VIDEOS = {
    1: (
        *("114", "124", "125", "126", "150", "158", "401", "402", "505", "506", "507", "508", "509", "510"),
        *("511", "514", "515", "518", "519", "520", "521", "522", "524", "525", "537", "538", "540", "541"),
        *("546", "547", "548"),
    ),
    2: (
        *("203", "208", "211", "212", "213", "214", "218", "224", "403", "404", "405", "406", "407", "408"),
        *("409", "412", "550", "551", "553"),
    ),
    3: (*("410", "411", "516", "517", "526", "528", "529", "530", "531", "533", "557", "558", "559", "562"),),
}


def read_300vw(root, subset="test") -> Iterator[Clip]:
    """The clips of 300VW with "ibug68" landmarks (T, 68, 2).

    root: as `LAYOUT`; subset: "test", "category1", "category2", "category3", "train" (all folders that are
    not in the test) or "all". Frames without a .pts file are NaN. attributes: category (1, 2, 3, or 0 for
    training). Raises InputError if a video of the subset or its annotation is missing.
    """
    root = require_folder("300VW", root, LAYOUT)
    category = {name: c for c, names in TEST_VIDEOS.items() for name in names}
    others = sorted(d.name for d in root.iterdir() if (d / "annot").is_dir() and d.name not in category)
    tests = sorted(category)
    names = choose(
        "300VW",
        subset,
        {
            "test": tests,
            **{f"category{c}": sorted(v) for c, v in TEST_VIDEOS.items()},
            "train": others,
            "all": sorted(tests + others),
        },
    )
    for name in names:
        require_file("300VW", root / name / "vid.avi", LAYOUT)
    return (read_video_with_pts("300VW", root / n, {"category": category.get(n, 0)}, LAYOUT) for n in names)


def read_video_with_pts(dataset, folder, attributes, layout, count=68, markup="ibug68"):
    """The `Clip` of a folder of vid.avi and annot/NUMBER.pts, numbers from 1.

    Raises InputError if there are no .pts files, or one of them has not `count` points.
    """
    files = require_some(dataset, folder / "annot", "*.pts", layout)
    points = {int(f.stem): read_pts(f, count) for f in files}
    length = max(points)
    unknown = np.full_like(next(iter(points.values())), np.nan)
    landmarks = np.stack([points.get(number, unknown) for number in range(1, length + 1)])
    return Clip(
        dataset=dataset,
        name=folder.name,
        source=folder / "vid.avi",
        length=length,
        markup=markup,
        landmarks=landmarks,
        attributes=attributes,
    )
