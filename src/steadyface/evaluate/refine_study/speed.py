"""How fast self-refinement is: the texture phase, then frames a second, by cores and by parts of the work."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...face_model.morphable import load_face_model
from ...pipeline import refine, track
from ...refine.samples import spread_samples
from ...video import read_video
from ..report import Section, Table, Target
from ..speed import Cores, cores

#: Height of the filmed face where it is largest, px, and frames of the film beyond the texture phase's.
HEIGHT, LEARNED, MORE = 256, 128, 128
#: Frames a second after the texture phase, and seconds of it, on two cores. The paper's, on an RTX 3090, are
#: 3 and 60.
RATE, TEXTURE_S = 10.0, 30.0


class TimedAligner:
    """A dense aligner that adds up the time of its calls. seconds: so far."""

    def __init__(self, aligner):
        self.vertices, self.shape = aligner.vertices, aligner.shape
        self._aligner = aligner
        self.seconds = 0.0

    def __call__(self, image, guess, crop):
        start = time.perf_counter()
        try:
            return self._aligner(image, guess, crop)
        finally:
            self.seconds += time.perf_counter() - start


@dataclass(frozen=True)
class Timing:
    """Seconds of a refinement. frames: followed; learned: frames of the texture phase; look: seeing those,
    its dense alignment in look_dense; learn: texture, identity and poses from them; follow: all frames after
    that, its dense alignment in follow_dense; decode: reading the video once, part of look and of follow."""

    frames: int
    learned: int
    look: float
    look_dense: float
    learn: float
    follow: float
    follow_dense: float
    decode: float

    @property
    def texture(self):
        return self.look + self.learn

    @property
    def rate(self):
        return self.frames / self.follow


def time_refinement(video, start, threads, aligner=None):
    """The `Timing` of a refinement. start: `Track` of the video; aligner: the embedded one by default."""
    if aligner is None:
        from ...align.uv_flow import DenseAligner

        aligner = DenseAligner(start.model, threads=threads)
    aligner = TimedAligner(aligner)
    marks, shown = {}, []

    def stage(name):
        marks[name] = time.perf_counter(), aligner.seconds

    def progress(done, total):
        # Of the texture phase: the last one is when all its frames are seen.
        if "refining" not in marks:
            shown[:] = [total, time.perf_counter(), aligner.seconds]

    refine(video, start, stage=stage, progress=progress, threads=threads, aligner=aligner)
    end = time.perf_counter()
    with read_video(video) as reader:
        for _ in reader:
            pass
    decode = time.perf_counter() - end
    (begun, none), (learned, before) = marks["learning the texture"], marks["refining"]
    count, seen, dense = shown
    return Timing(
        *(len(start), count, seen - begun, dense - none, learned - seen),
        *(end - learned, aligner.seconds - before, decode),
    )


def film_face(path, frames, height=HEIGHT, model=None):
    """Film a talking, turning head, its face so many pixels high where it is largest, at `path`."""
    from ...demo import FPS, film, script

    model = model or load_face_model()
    truth = script(model, frames / FPS)
    points = truth.image_points(spread_samples(model, 1000).shape)[..., 1]
    factor = height / float(np.ptp(points, axis=1).max())
    # Nearer by that: where the head's origin is seen stays.
    film(replace(truth, scale=factor * truth.scale, translation=truth.translation / factor), path)


def measure_speed(learned=LEARNED, more=MORE, progress=None):
    """Threads to `Timing` on as many cores, of a film of so many frames more than the texture phase's.

    progress: called with the parts done and their number.
    """
    counts = sorted({1, min(2, len(cores()))})
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.mp4"
        film_face(path, learned + more)
        start = track(path, "standard", max_faces=1, threads=counts[-1])[0]
        for count in counts:
            with Cores(range(count)) as alone:
                found[count] = alone(time_refinement, path, start, count)
            if progress:
                progress(len(found), len(counts))
    return found


def speed_section(timings, command):
    """The `Section` of threads to `Timing`."""
    most = timings[max(timings)]
    rows = tuple(
        (
            n,
            *(t.look_dense, t.look - t.look_dense, t.learn, t.texture),
            *(1e3 * t.follow_dense / t.frames, 1e3 * (t.follow - t.follow_dense) / t.frames),
            1e3 * t.decode / t.frames,
            t.rate,
        )
        for n, t in timings.items()
    )
    at = f"{max(timings)} core{'s' * (max(timings) > 1)}"
    return Section(
        name="refine_speed",
        title=f"Speed of the self-refinement, a face {HEIGHT} pixels high",
        command=command,
        targets=(
            Target(f"frames a second after the texture phase, {at}", most.rate, ">=", RATE),
            Target(f"texture phase of {most.learned} frames, {at}", most.texture, "<=", TEXTURE_S, "s"),
        ),
        tables=(
            Table(
                f"The texture phase of {most.learned} frames, s, and the {most.frames} frames after it, ms a "
                "frame.",
                (
                    *("cores", "dense network, s", "reading, s", "learning, s", "texture phase, s"),
                    *("dense network, ms", "the rest, ms", "(of it decoding, ms)", "frames/s"),
                ),
                rows,
            ),
        ),
        notes=(
            "The film is the demo's, a head that talks and turns, nearer to the camera; refinement starts "
            "from the standard quality's track. The paper's own figures, on an RTX 3090, are 3 frames a "
            "second and a minute for the texture.",
        ),
    )
