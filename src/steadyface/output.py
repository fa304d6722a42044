"""Results appear whole or not at all: written under a temporary name, then moved into place."""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError


@contextmanager
def replacing(path):
    """Context that yields a temporary path beside `path` and moves it there at the end.

    The temporary name keeps the suffix, which some writers need. On any exception the temporary file is
    removed and what was at `path` before stays. Raises OutputError if the folder is missing or cannot be
    written to, or the disk is full.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as e:
        if isinstance(e, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {_reason(e)}") from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(path):
    """The folder `path`, made if it is missing. Raises OutputError if it cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"cannot make the folder {path}: {_reason(e)}") from e
    return path


def _reason(error):
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    return (error.strerror or str(error)).lower()
