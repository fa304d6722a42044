"""Finding a dataset's files, and saying which one is missing and where it belongs."""

from pathlib import Path

from ...errors import InputError

_IMAGES = (".jpg", ".png", ".jpeg", ".bmp")


def missing(dataset, path, layout):
    """The InputError that says which file a dataset lacks and how it must be laid out."""
    return InputError(f"{dataset}: {path} is missing; expected layout: {layout}")


def require_file(dataset, path, layout):
    """The path, if it is a file. Raises InputError otherwise."""
    if not Path(path).is_file():
        raise missing(dataset, path, layout)
    return Path(path)


def require_folder(dataset, path, layout):
    """The path, if it is a folder. Raises InputError otherwise."""
    if not Path(path).is_dir():
        raise missing(dataset, path, layout)
    return Path(path)


def require_some(dataset, folder, pattern, layout):
    """The paths in a folder that match a pattern, in order. Raises InputError if there are none."""
    found = sorted(Path(folder).glob(pattern))
    if not found:
        raise missing(dataset, Path(folder) / pattern, layout)
    return found


def image_beside(dataset, path, layout):
    """The image that lies beside an annotation under its name. Raises InputError if there is none."""
    for suffix in _IMAGES:
        for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if candidate.is_file():
                return candidate
    raise missing(dataset, path.with_suffix(".jpg or .png"), layout)


def choose(dataset, subset, known):
    """The value of a table under a name. Raises InputError that lists the names."""
    if subset not in known:
        raise InputError(f"{dataset} has no subset {subset!r}: know {', '.join(known)}")
    return known[subset]
