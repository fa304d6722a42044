"""The published methods that can align a face from frame to frame: a network's file and what runs it."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..errors import InputError

ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class AlignmentMethod:
    """A method of alignment.

    title: for tables; asset: name of the network's file in the folder of assets; module, runs: the class that
    runs it, made from a face model, `path` and `threads`, and called with an image and the crops of its
    faces.
    """

    title: str
    asset: str
    module: str
    runs: str


#: The first is what `LiveTracker` uses unless told otherwise.
ALIGNMENT_METHODS = {
    "3ddfa_v2": AlignmentMethod("3DDFA_V2", "regressor.onnx", "regressor", "Regressor"),
    "displacement": AlignmentMethod("displacement learning", "displacement.onnx", "regressor", "Regressor"),
    "local-motion": AlignmentMethod("local motion", "local_motion.onnx", "temporal", "LocalMotionAligner"),
}
DEFAULT = next(iter(ALIGNMENT_METHODS))


def check_method(name):
    """The `AlignmentMethod` of a name. Raises InputError for unknown ones."""
    if name not in ALIGNMENT_METHODS:
        raise InputError(f"unknown method {name!r}: known are {', '.join(ALIGNMENT_METHODS)}")
    return ALIGNMENT_METHODS[name]


def make_aligner(name=DEFAULT, model=None, *, threads=1, assets=ASSETS):
    """What aligns the faces of a frame by a method: call it with an image and the crops of its faces.

    name: a key of `ALIGNMENT_METHODS`; model: `MorphableModel`, the embedded one by default; threads: of
    the network; assets: folder of the networks' files. Raises InputError for an unknown method, and a network
    that is missing or does not fit.
    """
    method = check_method(name)
    path = Path(assets) / method.asset
    if not path.is_file():
        raise InputError(f"the network of the method {name!r} is missing, {path}: install steadyface again")
    kind = getattr(import_module(f".{method.module}", __package__), method.runs)
    return kind(model, path=path, threads=threads)
