"""Environments of the other tools: where they lie, and how they are made.

`python -m steadyface.evaluate.peers.environment NAME` makes one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...output import make_folder

#: Name of the variable that holds the folder of the environments.
VARIABLE = "STEADYFACE_PEERS"


@dataclass(frozen=True)
class Environment:
    """What a tool needs. packages: for pip; debian: name of a Debian package, and the file in it that goes
    to the folder `target` of the environment."""

    packages: tuple[str, ...]
    debian: str | None = None
    file: str = ""
    target: str = ""


ENVIRONMENTS = {
    "mediapipe": Environment(("mediapipe==0.10.21",)),
    "dlib": Environment(
        ("dlib-bin==20.0.1.post1", "numpy", "opencv-python-headless"),
        "libdlib-data",
        "usr/share/dlib/shape_predictor_68_face_landmarks.dat",
        "share/dlib",
    ),
}


def folder():
    """Folder of the environments: of the variable STEADYFACE_PEERS, else in the user's cache folder."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "steadyface" / "peers"


def python_of(name):
    """The python of a tool's environment. Raises InputError, which says how to make it, if there is none."""
    python = _python(folder() / name)
    if not python.is_file():
        raise InputError(
            f"{name} has no environment in {folder()}: make it with `python -m "
            f"steadyface.evaluate.peers.environment {name}`, or give the python of one that has it"
        )
    return python


def prepare(name, *, python=sys.executable, note=print):
    """Make the environment of a tool, or complete it. Returns its python.

    name: a key of `ENVIRONMENTS`; python: what the environment is made with (mediapipe 0.10.21 needs 3.9 to
    3.12); note: called with what is being done. Raises InputError if the name is unknown or a step fails.
    """
    if name not in ENVIRONMENTS:
        raise InputError(f"unknown environment {name!r}: known are {', '.join(ENVIRONMENTS)}")
    environment = ENVIRONMENTS[name]
    root = make_folder(folder()) / name
    if not _python(root).is_file():
        note(f"making {root}")
        _do([python, "-m", "venv", root], name)
    note(f"installing {', '.join(environment.packages)}")
    _do([_python(root), "-m", "pip", "install", "--quiet", *environment.packages], name)
    if environment.debian and not (root / environment.target / Path(environment.file).name).is_file():
        note(f"unpacking {environment.debian}")
        _unpack(environment, root)
    return _python(root)


def _unpack(environment, root):
    """Bring a file of a Debian package into the environment, without installing the package."""
    wanted = root / environment.target / Path(environment.file).name
    installed = Path("/") / environment.file
    if not installed.is_file() and not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise InputError(
            f"{wanted.name} is part of Debian's package {environment.debian}, and this is no Debian: put it "
            f"at {wanted}"
        )
    make_folder(wanted.parent)
    with tempfile.TemporaryDirectory() as temporary:
        if not installed.is_file():
            _do(["apt-get", "download", environment.debian], environment.debian, cwd=temporary)
            (package,) = Path(temporary).glob("*.deb")
            _do(["dpkg-deb", "-x", package, temporary], environment.debian)
            installed = Path(temporary) / environment.file
        shutil.copy(installed, wanted)


def _python(root):
    return root / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _do(command, what, **options):
    command = [str(c) for c in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    except OSError as e:
        raise InputError(f"cannot make the environment of {what}: {command[0]}: {e.strerror}") from e
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(
            f"cannot make the environment of {what}: `{' '.join(command)}` says: {(lines or ['nothing'])[-1]}"
        )


def main():
    if len(sys.argv) != 2:
        raise SystemExit(f"give the name of an environment: {', '.join(ENVIRONMENTS)}")
    try:
        print(prepare(sys.argv[1]))
    except InputError as e:
        raise SystemExit(str(e)) from e


if __name__ == "__main__":
    main()
