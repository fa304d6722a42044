"""The result of a long run in its folder: made once, read afterwards, never mixed up with another run's."""

import json

from ..errors import InputError
from ..output import make_folder, replacing

_RESULT, _SETTINGS = "result.json", "settings.json"


def kept_result(out, settings, make):
    """What `make` returned: called now, or read from the folder if it was before.

    out: folder of the run, made if missing; settings: what the result depends on, as plain values; make:
    called without arguments, returns what JSON can hold, or something empty if it was interrupted. Raises
    InputError if the folder holds a run with other settings, KeyboardInterrupt if it was interrupted.
    """
    out = make_folder(out)
    settings = json.loads(json.dumps(settings))
    if (out / _SETTINGS).is_file():
        present = json.loads((out / _SETTINGS).read_text())
        differing = [k for k in settings if present.get(k) != settings[k]]
        if differing:
            raise InputError(
                f"{out} holds a run with another {', '.join(differing)}: give another --runs or delete it"
            )
    else:
        _write(settings, out / _SETTINGS)
    if not has_result(out):
        result = make()
        if not result:
            raise KeyboardInterrupt
        _write(result, out / _RESULT)
    return json.loads((out / _RESULT).read_text())


def has_result(out):
    """Whether a run's folder holds its result."""
    return (out / _RESULT).is_file()


def _write(content, path):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
