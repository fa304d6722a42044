"""Tell another model's files apart and read them."""

import zipfile

import numpy as np

from ..errors import InputError
from .bfm import read_3ddfa_pickle, read_bfm_h5, read_bfm_mat
from .flame import read_flame
from .ict import read_ict
from .imported import import_model
from .pickle_reader import read_npz, read_pickle


def read_other_model(path, landmarks=None):
    """FLAME, BFM, 3DDFA or ICT-FaceKit as a `MorphableModel`; None for this package's own files.

    path: an existing file or folder; landmarks: as in `import_model`. Raises InputError as the readers do.
    """
    foreign = _read(path)
    return None if foreign is None else import_model(foreign, landmarks)


def _read(path):
    if path.is_dir():
        return read_ict(path)
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return read_bfm_mat(path)
    if suffix in (".h5", ".hdf5"):
        return read_bfm_h5(path)
    if suffix in (".pkl", ".pickle"):
        values = read_pickle(path)
        if "w_shp" in values:
            return read_3ddfa_pickle(path, values)
        if "v_template" in values or "shapedirs" in values:
            return read_flame(path, values)
        raise InputError(f"{path} is neither FLAME's pickle nor 3DDFA's: it lacks 'v_template' and 'w_shp'")
    return read_flame(path, read_npz(path)) if _has(path, "v_template") else None


def _has(path, key):
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as z:
            return key in z.files
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
        return False
