"""The trackers that are measured, and how each is run: a process of its own for every video."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..output import make_folder
from .peers.environment import python_of
from .prediction import Prediction

PEERS = Path(__file__).parent / "peers"
_PACKAGE = Path(__file__).parents[1]
_STEADYFACE = PEERS / "steadyface.py"
#: Files of this package whose change makes the live track out of date, and what the better ones add.
_LIVE = (
    *("camera.py", "filter.py", "image.py", "live.py", "pipeline.py", "record.py", "rotation.py", "track.py"),
    *("video.py", "detect/*.py", "face_model/morphable.py", "assets/face_model.npz"),
    *(f"align/{name}.py" for name in ("alignment", "crop", "methods", "session", "transfer")),
    "assets/detector.onnx",
)
_REGRESSOR = ("align/regressor.py", "assets/regressor.onnx")
_DISPLACEMENT = ("align/regressor.py", "assets/displacement.onnx")
_LOCAL_MOTION = (
    *(f"align/{name}.py" for name in ("face_of_landmarks", "face_square", "temporal")),
    *(f"fit/{name}.py" for name in ("gauss_newton", "image", "residuals")),
    "assets/local_motion.onnx",
)
_STANDARD = (
    "standard.py",
    "align/dense_points.py",
    "align/irises.py",
    "align/uv_flow.py",
    "fit/*.py",
    "assets/uv_flow.onnx",
)
_STUDIO = (*_STANDARD, "studio.py", "refine/*.py", "render/*.py")


@dataclass(frozen=True)
class Method:
    """A tracker that can be run.

    title: for tables; script: file that is called with VIDEO OUT.npz --threads N; options: more arguments;
    environment: name of the environment (`peers.environment`) it needs, None for this one; parts: patterns
    of the files of this package that its results depend on.
    """

    title: str
    script: Path
    options: tuple[str, ...] = ()
    environment: str | None = None
    parts: tuple[str, ...] = ()

    @property
    def ours(self):
        """Whether it is part of this package, and runs where this runs."""
        return self.environment is None and self.script.is_relative_to(_PACKAGE)

    def command(self, python=None):
        """The command line up to the video. Raises InputError if the environment is missing."""
        if python is None:
            python = python_of(self.environment) if self.environment else sys.executable
        if self.ours:
            # As a module: the folder of a script comes first where modules are looked for.
            parts = self.script.relative_to(_PACKAGE.parent).with_suffix("").parts
            return [str(python), "-m", ".".join(parts)]
        return [str(python), str(self.script)]

    def sources(self):
        """The files that a result depends on, beside the video."""
        yield from (path for pattern in self.parts for path in _PACKAGE.glob(pattern))
        yield self.script


def _ours(title, network, *options, more=()):
    return Method(f"steadyface {title}", _STEADYFACE, ("--quality", *options), parts=_LIVE + network + more)


METHODS = {
    "studio": _ours("studio", _REGRESSOR, "studio", more=_STUDIO),
    "standard": _ours("standard", _REGRESSOR, "standard", more=_STANDARD),
    "live": _ours("live", _REGRESSOR, "live"),
    "live-unfiltered": _ours("live, unfiltered", _REGRESSOR, "live", "--unfiltered"),
    "live-displacement": _ours(
        "live, displacement learning", _DISPLACEMENT, "live", "--method", "displacement"
    ),
    "live-local-motion": _ours("live, local motion", _LOCAL_MOTION, "live", "--method", "local-motion"),
    "mediapipe": Method(
        "MediaPipe Face Mesh 0.10.21", PEERS / "mediapipe_face_mesh.py", environment="mediapipe"
    ),
    "dlib": Method("dlib 68", PEERS / "dlib_68.py", environment="dlib"),
}


def run_method(
    method,
    videos,
    out,
    *,
    python=None,
    threads=1,
    progress: Callable[[int, int], None] | None = None,
    methods: Mapping[str, Method] = METHODS,
):
    """Run a tracker over videos: list of the prediction files, one a video, in their order.

    method: a key of `methods`; videos: list of paths, or name to path; out: folder, made if missing, of
    NAME.npz, NAME being the video's name without its suffix where only paths are given; python: that of the
    method's environment instead of the prepared one; threads: cores that the process is held to; progress:
    called with the videos done and their number. A file that is there, whole, and newer than the video and
    the method is kept, so an interrupted run goes on where it stopped.

    Each video has a process of its own, so that the memory measured is that of one clip. Raises
    InputError for an unknown method, videos of one name, a missing video or environment, or a tracker that
    fails; what was done before stays.
    """
    if method not in methods:
        raise InputError(f"unknown method {method!r}: known are {', '.join(methods)}")
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    named = named_videos(videos)
    chosen = methods[method]
    out = make_folder(out)
    command = None
    paths = []
    for done, (name, video) in enumerate(named.items()):
        path = out / f"{name}.npz"
        if not _is_current(path, video, chosen):
            command = command or chosen.command(python)
            make_folder(path.parent)
            whole = [*command, str(video), str(path), "--threads", str(threads), *chosen.options]
            _run(whole, chosen, method, video, threads)
            # What a tool has written is checked here, where its name is known.
            Prediction.load(path)
        paths.append(path)
        if progress:
            progress(done + 1, len(named))
    return paths


def named_videos(videos):
    """Name to path of videos given as a list or so already. Raises InputError as `run_method` does."""
    if isinstance(videos, Mapping):
        named = {str(name): Path(path) for name, path in videos.items()}
    else:
        paths = [Path(path) for path in videos]
        named = {path.stem: path for path in paths}
        if len(named) < len(paths):
            twice = next(p for p in paths if named[p.stem] != p)
            raise InputError(f"two videos are called {twice.stem!r}: give names, a mapping of name to path")
    for path in named.values():
        if not path.is_file():
            raise InputError(f"cannot read the video {path}: there is no such file")
    return named


def given_predictions(folder, names):
    """The prediction files of clips that a tool has left in a folder: list of paths, NAME.npz each.

    Raises InputError that names the first that is missing, and says how many are.
    """
    paths = [Path(folder) / f"{name}.npz" for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {len(paths)} predictions, {missing[0].name} first: a tool "
            "must write one for every clip, with found false where it sees no face"
        )
    return paths


def _is_current(path, video, method):
    if not path.is_file():
        return False
    if path.stat().st_mtime < max(p.stat().st_mtime for p in (video, *method.sources())):
        return False
    try:
        Prediction.load(path)
    except InputError:
        return False
    return True


def _run(command, method, name, video, threads):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    variables = {**os.environ, **dict.fromkeys(names, str(threads))}
    if not method.ours:
        # Another tool's python must not see this one's packages.
        variables = {k: v for k, v in variables.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        # Ctrl-C reaches this process alone, which then ends the other: nothing half done is written.
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=variables,
            start_new_session=True,
            check=False,
        )
    except OSError as e:
        raise InputError(f"cannot run {name}: {command[0]}: {(e.strerror or str(e)).lower()}") from e
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
        last = (errors or lines or [f"it ended with status {done.returncode}"])[-1]
        raise InputError(f"{name} failed on {video.name}: {last}")
