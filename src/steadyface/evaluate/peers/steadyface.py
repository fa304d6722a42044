"""steadyface itself, measured as every other tool is.

python -m steadyface.evaluate.peers.steadyface VIDEO OUT.npz [--threads N] [--quality live] [--unfiltered]

The track is what `steadyface.track` gives, the longest of the video. The time of a frame is that of the
live tracker, 68 points and all vertices included.
"""

import time
from pathlib import Path

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


def predict(video, *, quality="live", filtered=True, threads=1, **stand_ins):
    """The `Prediction` of one face of a video, time and memory included.

    quality: a key of `pipeline.QUALITIES`; stand_ins: model, detector and regressor of the tracker, the
    embedded ones by default. Raises VideoError if the video cannot be read, InputError for an unknown
    quality.
    """
    import numpy as np

    from ...errors import NoFaceError
    from ...pipeline import track

    settings = LiveSettings() if filtered else LiveSettings(filter=FilterSettings(noise=0.0))
    tracker = TimedTracker(max_faces=1, threads=threads, settings=settings, **stand_ins)
    try:
        # Every tool gets the frames that decode, of a video that ends early too.
        longest = track(Path(video), quality, tracker=tracker, note=lambda _: None)[0]
    except NoFaceError:
        longest = None
    return Prediction.from_track(
        longest,
        len(tracker.seconds),
        method=f"steadyface {quality}" + ("" if filtered else ", unfiltered"),
        seconds=np.array(tracker.seconds),
        memory_mb=peak_memory_mb(),
        model=tracker.model,
    )


def main():
    args = arguments(
        __doc__,
        quality={"default": "live", "help": "as of `steadyface track`"},
        unfiltered={"action": "store_true", "help": "leave the network's results as they are"},
    )
    predict(args.video, quality=args.quality, filtered=not args.unfiltered, threads=args.threads).save(
        args.out
    )


if __name__ == "__main__":
    main()
