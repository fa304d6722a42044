"""MATLAB's .mat files, read by SciPy where it is installed."""

import importlib
from pathlib import Path

import numpy as np

from ...errors import InputError


def read_mat(path, names):
    """Arrays of a .mat file by their names. Raises InputError if SciPy, the file or an array is missing."""
    try:
        # By name: SciPy is no dependency of the runtime, and only these files need it.
        io = importlib.import_module("scipy.io")
    except ImportError as e:
        raise InputError(f"reading {Path(path).name} needs SciPy: pip install 'steadyface[evaluate]'") from e
    try:
        content = io.loadmat(str(path))
    except (OSError, ValueError, TypeError, NotImplementedError, io.matlab.MatReadError) as e:
        raise InputError(f"{path} is not a .mat file that SciPy reads: {e}") from e
    for name in names:
        if name not in content:
            known = ", ".join(k for k in content if not k.startswith("__"))
            raise InputError(f"{path} has no array {name}: it holds {known}")
    return {name: np.asarray(content[name], float) for name in names}
