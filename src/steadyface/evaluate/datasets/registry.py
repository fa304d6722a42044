"""The readers by the names of their datasets."""

import inspect
from collections.abc import Callable, Iterator

from ...errors import InputError
from .aflw import read_aflw
from .aflw2000_3d import read_aflw2000_3d
from .facescape import read_facescape
from .florence import read_florence
from .ibug_300vw import read_300vw
from .ibug_300w import read_300w
from .large_pose_300w import read_300w_lp
from .menpo_3d import read_menpo_3d
from .multiface import read_multiface
from .now import read_now
from .portraits import read_london_smiling, read_portraits
from .sample import Clip, Sample
from .snap_2dfe import read_snap_2dfe
from .steadybench import read_steadybench
from .videos import read_videos
from .wflw import read_wflw

#: Name to the function of a root folder that gives `Sample` or `Clip` values one at a time.
READERS: dict[str, Callable[..., Iterator[Sample] | Iterator[Clip]]] = {
    "300vw": read_300vw,
    "300w": read_300w,
    "300w-lp": read_300w_lp,
    "aflw": read_aflw,
    "aflw2000-3d": read_aflw2000_3d,
    "facescape": read_facescape,
    "florence": read_florence,
    "london_smiling": read_london_smiling,
    "menpo-3d": read_menpo_3d,
    "multiface": read_multiface,
    "now": read_now,
    "portraits": read_portraits,
    "snap-2dfe": read_snap_2dfe,
    "steadybench": read_steadybench,
    "videos": read_videos,
    "wflw": read_wflw,
}


def read_dataset(name, root, **options):
    """The samples or clips of a dataset, one at a time.

    name: of `READERS`, in any case; root: its folder; options: of its reader. Raises InputError for an
    unknown name or option with the known ones, and if the folder lacks a file.
    """
    reader = READERS.get(name.lower())
    if reader is None:
        raise InputError(f"unknown dataset {name!r}: know {', '.join(READERS)}")
    known = [p for p in inspect.signature(reader).parameters if p not in ("root", "dataset")]
    unknown = [o for o in options if o not in known]
    if unknown:
        raise InputError(f"{name} has no option {unknown[0]!r}: know {', '.join(known) or 'none'}")
    return reader(root, **options)
