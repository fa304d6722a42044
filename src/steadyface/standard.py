"""The standard quality: a face, a camera and a smooth motion fitted to dense points of the whole video."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from .errors import InputError
from .fit.rig import Rig
from .fit.sequence import SequenceConfig, fit_sequence
from .fit.sequence_start import SequenceStart
from .fit.sequence_terms import NeutralPrior, SequenceWeights
from .record import DenseRecord

#: Chosen on clips filmed as SteadyBench's are, of other people: there the neutral face that the live network
#: regresses, which it draws to the mean, told hardly anything that dense points do not.
WEIGHTS = SequenceWeights(independent_frames=2.0, neutral=0.02)


@dataclass(frozen=True)
class StandardSettings:
    """How the standard quality works. Raises InputError for values out of range.

    points: of the aligned vertices, so many are kept and fitted; told: of these, the first so many have
    their uncertainty in the track; gap_s: a face lost for no longer is filled in; passes: times that the
    video is looked at, each but the first with the fit of the one before as its guess; weights, fit: of
    `fit_sequence`.
    """

    points: int = 550
    told: int = 150
    gap_s: float = 0.5
    passes: int = 1
    weights: SequenceWeights = WEIGHTS
    fit: SequenceConfig = field(default_factory=SequenceConfig)

    def __post_init__(self):
        for name in ("points", "told", "passes"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} must be >= 1; got {getattr(self, name)}")
        if not self.gap_s >= 0:
            raise InputError(f"gap_s must be >= 0 seconds; got {self.gap_s}")


def fit_track(live, identities, dense, seen: DenseRecord, frame_times, settings):
    """The fitted `Track` of a face, in a pinhole camera, short gaps filled in.

    live: `Track` of the live tracker, where the fit starts; identities: (T, K) as regressed frame by frame,
    where the neutral face comes from; seen: `DenseRecord` of the face, made by dense: `DensePoints`;
    frame_times: (N,) s of all frames of the video. A longer gap needs no cut: what is left of the coupling
    in time across a gap falls with its length.

    confidence is the live tracker's times the mean agreement of the frame's points with the fit (their
    robust weight), 0 in interpolated frames; sigma and dense_sigma are the fit's posterior, given the
    identity and the camera, whose own errors they leave out. Raises InputError if no point was ever seen.
    """
    index = with_short_gaps(live.frame_index, frame_times, settings.gap_s)
    time_s = np.asarray(frame_times)[index]
    fit = fit_sequence(
        # Not kept here: at ten minutes they are a hundred megabytes.
        *seen.observed(index),
        dense.shape,
        rig=Rig.single(live.image_size),
        time_s=time_s,
        weights=settings.weights,
        initial=SequenceStart.from_track(live, index),
        neutral=NeutralPrior.from_identities(dense.shape, identities),
        config=settings.fit,
    )
    found = fit.to_track(
        live.model, image_size=live.image_size, fps=live.fps, frame_index=index, time_s=time_s
    )
    told = slice(settings.told)
    live_confidence = np.zeros(len(index))
    live_confidence[np.searchsorted(index, live.frame_index)] = live.confidence
    return replace(
        found,
        confidence=live_confidence * fit.confidence,
        interpolated=fit.seen == 0,
        dense_vertices=dense.vertices[told],
        dense_sigma=fit.point_sigma(dense.shape.points(told)).astype(np.float16),
        dense_confidence=fit.inlier[:, 0, told].astype(np.float16),
    )


def with_short_gaps(frame_index, frame_times, gap_s):
    """Frames of the video, (T,) increasing: those given, and those between two that are not far apart.

    frame_index: (N,) increasing; frame_times: s of all frames of the video; gap_s: largest time between two
    given frames that are filled in between.
    """
    frame_index, times = np.asarray(frame_index), np.asarray(frame_times)
    between = [
        np.arange(a, b) for a, b in pairwise(frame_index) if b - a > 1 and times[b] - times[a] <= gap_s
    ]
    return np.unique(np.concatenate([frame_index, *between]))
