"""How fast the live tracker and the fit are on one core, stage by stage; needs no data."""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from ..align.regressor import Regressor
from ..detect.detector import Detector
from ..face_model.morphable import load_face_model
from ..live import LiveTracker
from ..rotation import matrix_from_euler
from .report import Section, Table, Target

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
STAGES = ("crop", "network", "filter", "points and vertices", "following")
#: Frames in which the detector runs and caches fill; not counted.
WARM_UP = 10
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Cores:
    """A process that is bound to some cores and uses as many threads at most; a context manager.

    Libraries choose their number of threads when they are loaded, so this process cannot do it itself.
    which: of the cores, counted from the last; processes of different ones run at the same time.
    """

    def __init__(self, which):
        self._which = tuple(which)
        self._pool = None

    def __enter__(self):
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, str(len(self._which))))
        try:
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), _bind, (self._which,))
            # The process starts, and reads the variables, with its first task.
            self._pool.submit(os.getpid).result()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        return self

    def submit(self, function, *args):
        """Start a function of this package there: a `concurrent.futures.Future`."""
        assert self._pool is not None
        return self._pool.submit(function, *args)

    def __call__(self, function, *args):
        """What a function of this package gives there. Raises what it raises."""
        return self.submit(function, *args).result()

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown()


class OneCore(Cores):
    """A process that is bound to one core and uses one thread; which: as of `Cores`."""

    def __init__(self, which=0):
        super().__init__((which,))


def cores():
    """The numbers of the cores that this process may use, the last first."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


def _bind(which):
    cv2.setNumThreads(len(which))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores()[k] for k in which})


class _TimedSession:
    """An onnxruntime session that adds up the time of its runs."""

    def __init__(self, session):
        self._session = session
        self.seconds = 0.0

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, *args):
        start = time.perf_counter()
        try:
            return self._session.run(*args)
        finally:
            self.seconds += time.perf_counter() - start


class _TimedRegressor(Regressor):
    """A `Regressor` that adds up the time of its calls, and of the network in them."""

    def __init__(self, **options):
        super().__init__(**options)
        self._session = _TimedSession(self._session)
        self.seconds = 0.0

    @property
    def network_seconds(self):
        return self._session.seconds

    def __call__(self, image, crops):
        start = time.perf_counter()
        try:
            return super().__call__(image, crops)
        finally:
            self.seconds += time.perf_counter() - start


class _TimedTracker(LiveTracker):
    """A `LiveTracker` that adds up the time of its filter."""

    filter_seconds = 0.0

    def _filtered(self, *args):
        start = time.perf_counter()
        try:
            return super()._filtered(*args)
        finally:
            self.filter_seconds += time.perf_counter() - start


def stage_times(frames, fps=30.0, regressor=None, detector=None):
    """Milliseconds of every stage of the live tracker in each frame after the first `WARM_UP`.

    frames: (N, H, W, 3) uint8 RGB of one face; regressor, detector: by default the embedded ones, timed.
    Returns name of `STAGES` to (N - WARM_UP,), and the number of those frames with a face.
    """
    regressor = regressor or _TimedRegressor()
    tracker = _TimedTracker(max_faces=1, regressor=regressor, detector=detector, model=regressor.model)
    rows, found = [], 0
    for i, frame in enumerate(frames):
        before = regressor.seconds, regressor.network_seconds, tracker.filter_seconds
        start = time.perf_counter()
        faces = tracker(frame, i / fps)
        tracked = time.perf_counter()
        for face in faces:
            face.landmarks("ibug68")
            face.vertices()
        end = time.perf_counter()
        aligning = regressor.seconds - before[0]
        network = regressor.network_seconds - before[1]
        filtering = tracker.filter_seconds - before[2]
        following = tracked - start - aligning - filtering
        if i >= WARM_UP:
            rows.append((aligning - network, network, filtering, end - tracked, following))
            found += bool(faces)
    return dict(zip(STAGES, 1e3 * np.array(rows).T, strict=True)), found


def detector_times(frames, detector):
    """Milliseconds of the detector on each frame, (N,), after one that does not count."""
    detector(frames[0])
    spent = []
    for frame in frames:
        start = time.perf_counter()
        detector(frame)
        spent.append(1e3 * (time.perf_counter() - start))
    return np.array(spent)


def _read(path):
    from ..video import read_video

    with read_video(path) as reader:
        return [frame.image for frame in reader]


def live_row(path, size):
    """The row of `live_section` of a video brought to a size (width, height)."""
    frames = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in _read(path)]
    stages, found = stage_times(frames)
    total = np.sum(list(stages.values()), axis=0)
    detection = float(np.median(detector_times(frames[:: max(1, len(frames) // 15)], Detector())))
    median = float(np.median(total))
    parts = (float(np.median(stages[s])) for s in STAGES)
    return f"{size[0]} x {size[1]}", detection, *parts, median, 1e3 / median, 100 * found / len(total)


def measure_live(seconds=5.0, sizes=SIZES, progress=None):
    """The `Section` "live": milliseconds a frame by stage and frames a second at several sizes of image.

    seconds: length of the clip; progress: called with the sizes done and their number.
    """
    from ..demo import film, script

    rows = []
    with tempfile.TemporaryDirectory() as folder, OneCore() as alone:
        path = Path(folder) / "demo.mp4"
        film(script(load_face_model(), seconds), path)
        for done, size in enumerate(sizes):
            rows.append(alone(live_row, path, size))
            if progress:
                progress(done + 1, len(sizes))
    return live_section(rows)


def live_section(rows):
    """The `Section` "live" of rows: size, milliseconds of the detector, of `STAGES` and of all, and so on."""
    slowest = min(row[-2] for row in rows)
    return Section(
        name="live",
        title="Speed of the live tracker, one face, one core",
        command="steadyface benchmark live",
        targets=(Target("frames a second on one core, slowest size of image", slowest, ">=", 100.0),),
        tables=(
            Table(
                "Median milliseconds a frame by stage. The detector runs only while no face is followed, so "
                "its time, of one call, is no part of the sum.",
                ("image", "(detector)", *STAGES, "all", "frames/s", "found %"),
                tuple(rows),
            ),
        ),
        notes=(
            "The clip is the demo's, a head that talks and turns, brought to each size; decoding is left "
            "out. Points and vertices are the 68 landmarks and all 4,538 vertices in the image.",
        ),
    )


def random_faces(model, count, seed=0):
    """Points (count, 478, 2) px of random faces before a weak-perspective camera, with a little noise."""
    rng = np.random.default_rng(seed)
    identity = rng.normal(0, 0.7, (count, model.identity_count))
    expression = rng.uniform(0, 1, (count, model.expression_count)) * (
        rng.random((count, model.expression_count)) < 0.15
    )
    rotation = matrix_from_euler(rng.normal(0, 1, (count, 3)) * [0.2, 0.4, 0.1])
    points = model.landmarks("mediapipe478")(identity, expression) @ np.swapaxes(rotation, -1, -2)
    return 1.5 * points[..., :2] + [320, 240] + rng.normal(0, 0.5, (count, 478, 2))


def fit_row(name, count, at_once):
    """A row of the table of `measure_fit`: `count` random faces fitted in groups of `at_once`."""
    from ..fit.image import fit_image

    model = load_face_model()
    points, shape = random_faces(model, count), model.landmarks("mediapipe478")
    fit_image(points[:2], shape)
    start = time.perf_counter()
    fits = [fit_image(points[i : i + at_once], shape) for i in range(0, count, at_once)]
    spent = time.perf_counter() - start
    residual = float(np.concatenate([f.residual for f in fits]).mean())
    converged = 100 * float(np.concatenate([f.converged for f in fits]).mean())
    return name, count, count / spent, 1e3 * spent / count, residual, converged


def sequence_row(frames):
    """The row of a head of SteadyBench with noise of 0.5 pixels, its frames fitted together."""
    from ..fit.rig import Rig
    from ..fit.sequence import fit_sequence
    from .steadybench.clip import draw_script
    from .steadybench.plan import SIZE, make_plan

    model = load_face_model()
    shape = model.landmarks("mediapipe478")
    rng = np.random.default_rng(0)
    script = draw_script(replace(make_plan()[0], frames=frames), model, rng)
    points = script.image_points(shape)[..., :2]
    points = points + rng.normal(0, 0.5, points.shape)
    sigma = np.full(points.shape[:2], 0.5)
    fit_sequence(points[:8], sigma[:8], shape, rig=Rig.single(SIZE))
    start = time.perf_counter()
    fit = fit_sequence(points, sigma, shape, rig=Rig.single(SIZE))
    spent = time.perf_counter() - start
    away = ((fit.project(shape) - points) ** 2).sum(-1).mean()
    rate = len(points) / spent
    return "a sequence", len(points), rate, 1e3 / rate, float(np.sqrt(away)), 100.0 * bool(fit.converged)


def measure_fit(count=128, progress=None):
    """The `Section` "fit": faces a second fitted to 478 points, alone, many at once, and as a sequence.

    count: faces; progress: called with the parts done and their number.
    """
    rows = []
    with OneCore() as alone:
        parts = (
            (fit_row, "one at a time", count, 1),
            (fit_row, f"{count} at once", count, count),
            (sequence_row, max(count, 30)),
        )
        for done, part in enumerate(parts):
            rows.append(alone(*part))
            if progress:
                progress(done + 1, len(parts))
    return Section(
        name="fit",
        title="Speed of the fits, one core",
        command="steadyface benchmark fit",
        tables=(
            Table(
                "Pose, identity and expression of 478 points: `fit_image`, weak perspective; the last row is "
                "`fit_sequence`, one identity and a pinhole camera for all frames.",
                ("faces", "number", "fits/s", "ms a fit", "residual, px", "converged %"),
                tuple(rows),
            ),
        ),
        notes=(
            "Random faces of the model, and a head that moves and talks as in SteadyBench, with noise of 0.5 "
            "pixels a coordinate, which is 0.71 pixels of the residual. `benchmarks/sequence_fit.py` "
            "measures the sequence fit in full.",
        ),
    )
