"""One thread for BLAS while the many small products of a fit are formed: sharing those out only costs."""

import ctypes
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

_PREFIXES, _SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")


@contextmanager
def one_blas_thread():
    """Within it, numpy's OpenBLAS uses one thread in all of the process. Another BLAS stays as it is."""
    found = openblas()
    if found is None:
        yield
        return
    get, limit = found
    before = get()
    limit(1)
    try:
        yield
    finally:
        limit(before)


@cache
def openblas():
    """The functions of the OpenBLAS that came with numpy that tell and set its threads, None without one."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            # Loaded already, by numpy: this is the same library.
            library = ctypes.CDLL(str(path))
            for prefix in _PREFIXES:
                for suffix in _SUFFIXES:
                    get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                    limit = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                    if get is not None and limit is not None:
                        return get, limit
    return None
