"""steadyface itself, measured as every other tool is.

python -m steadyface.evaluate.peers.steadyface VIDEO OUT.npz [--threads N]
    [--quality live] [--method M] [--unfiltered]

The track is what `steadyface.track` gives, the longest of the video. The time of a frame is that of the
live tracker, 68 points and all vertices included; in the better qualities also that of its dense alignment,
and its share of what is done after the last frame.
"""

import time
from pathlib import Path

import numpy as np

from ...align.methods import DEFAULT, check_method
from ...errors import NoFaceError
from ...filter import FilterSettings
from ...live import LiveSettings, LiveTracker
from ..prediction import Prediction
from .adapter import arguments, peak_memory_mb


class TimedTracker(LiveTracker):
    """A `LiveTracker` that notes how long each frame takes until points and vertices are there.

    seconds: list, one entry a frame.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.seconds = []

    def __call__(self, frame, time_s):
        start = time.perf_counter()
        faces = super().__call__(frame, time_s)
        for face in faces:
            face.landmarks("ibug68")
            face.vertices()
        self.seconds.append(time.perf_counter() - start)
        return faces


class TimedAligner:
    """A dense aligner whose time counts as that of the tracker's last frame.

    aligner: a `DenseAligner` or a stand-in; seconds: list that `TimedTracker` writes.
    """

    def __init__(self, aligner, seconds):
        self.vertices, self.shape = aligner.vertices, aligner.shape
        self._aligner, self._seconds = aligner, seconds

    def __call__(self, image, guess, crop):
        start = time.perf_counter()
        found = self._aligner(image, guess, crop)
        self._seconds[-1] += time.perf_counter() - start
        return found


def predict(video, *, quality="live", method=DEFAULT, filtered=True, threads=1, aligner=None, **stand_ins):
    """The `Prediction` of one face of a video, time and memory included.

    quality: a key of `pipeline.QUALITIES`; method: one of `ALIGNMENT_METHODS`; aligner, stand_ins: the dense
    aligner of the better qualities, and model, detector and regressor of the tracker; the embedded ones by
    default. Raises VideoError if the video cannot be read, InputError for an unknown quality or method, or a
    missing network.
    """
    from ...pipeline import track

    settings = LiveSettings() if filtered else LiveSettings(filter=FilterSettings(noise=0.0))
    tracker = TimedTracker(max_faces=1, threads=threads, method=method, settings=settings, **stand_ins)
    options = {}
    if quality in ("standard", "studio"):
        from ...align.uv_flow import DenseAligner

        aligner = aligner or DenseAligner(tracker.model, threads=threads)
        options = {"aligner": TimedAligner(aligner, tracker.seconds), "threads": threads}
    followed = []

    def stage(name):
        # What is aligned from here on is part of the rest.
        if name == "fitting" and not followed:
            followed.extend((time.perf_counter(), np.array(tracker.seconds)))

    try:
        # Every tool gets the frames that decode, of a video that ends early too.
        longest = track(Path(video), quality, tracker=tracker, stage=stage, note=lambda _: None, **options)[0]
    except NoFaceError:
        longest = None
    seconds = np.array(tracker.seconds)
    if followed:
        start, seconds = followed
        seconds = seconds + (time.perf_counter() - start) / len(seconds)
    return Prediction.from_track(
        longest,
        len(seconds),
        method=", ".join(_words(quality, method, filtered)),
        seconds=seconds,
        memory_mb=peak_memory_mb(),
        model=tracker.model,
    )


def _words(quality, method, filtered):
    yield f"steadyface {quality}"
    if method != DEFAULT:
        yield check_method(method).title
    if not filtered:
        yield "unfiltered"


def main():
    args = arguments(
        __doc__,
        quality={"default": "live", "help": "as of `steadyface track`"},
        method={"default": DEFAULT, "help": "as of `steadyface track`"},
        unfiltered={"action": "store_true", "help": "leave the network's results as they are"},
    )
    prediction = predict(
        args.video,
        quality=args.quality,
        method=args.method,
        filtered=not args.unfiltered,
        threads=args.threads,
    )
    prediction.save(args.out)


if __name__ == "__main__":
    main()
