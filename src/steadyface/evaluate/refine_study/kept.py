"""What was measured of a video, kept in a file: measured anew when the video or the code has changed."""

import hashlib
import json
from functools import cache
from pathlib import Path

from ...output import make_folder, replacing
from ..methods import METHODS

_HERE = Path(__file__).parent


def kept(path, files, settings, measure):
    """The dict of plain values that `measure()` returned, now or before under the same circumstances.

    path: JSON file that it is kept in, its folder made if missing; files: paths of what is measured;
    settings: what else the result depends on, shown by `repr`. The code of the studio quality and of this
    study counts too. Raises OutputError if the file cannot be written.
    """
    key = _key(files, settings)
    try:
        content = json.loads(path.read_text())
        if content["key"] == key:
            return content["found"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    make_folder(path.parent)
    # As it will be read, so that the first answer is no other than the next.
    text = json.dumps({"key": key, "found": measure()}, indent=1)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n")
    return json.loads(text)["found"]


def _key(files, settings):
    digest = hashlib.sha256(f"{_code()} {settings!r}".encode())
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


@cache
def _code():
    """A digest of all that the studio quality and its measures are made of."""
    measures = (*_HERE.glob("*.py"), _HERE.parent / "metrics.py", _HERE.parent / "reference.py")
    digest = hashlib.sha256()
    for source in sorted({*METHODS["studio"].sources(), *measures}):
        digest.update(source.read_bytes())
    return digest.hexdigest()
