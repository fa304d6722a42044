"""Labelled crops on disk, and which of them a batch is drawn from."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..rotation import euler_from_matrix
from ..synthesis.picture import read_set as read_set
from .parameters import join, similarity_from_pose


@dataclass(frozen=True)
class Samples:
    """Pictures with their labels, in units of the standard crop.

    images: (N, n, n, 3) uint8, showing `PICTURE_MARGIN` of the crop; params: (N, P); landmarks478:
    (N, 478, 2), NaN where unknown; landmark_weight: (N,); attributes: name to (N,), NaN where unknown; clip:
    (N,) number of the short video that each is a frame of, rising; name: (N,) of the photograph that each
    shows or was made of.
    """

    images: np.ndarray
    params: np.ndarray
    landmarks478: np.ndarray
    landmark_weight: np.ndarray
    attributes: dict
    clip: np.ndarray
    name: np.ndarray

    def __len__(self):
        return len(self.params)


def load_samples(folder):
    """The `Samples` of a cached set. Raises InputError as `read_set`."""
    images, a = read_set(folder)
    tone = a.get("skin_ita", np.full(len(images), np.nan))
    params = join(
        similarity_from_pose(a["rotation"], a["scale"], a["translation"]), a["identity"], a["expression"]
    )
    return Samples(
        images,
        params.astype(np.float32),
        a["landmarks478"].astype(np.float32),
        np.nan_to_num(a["weight478"].astype(np.float32)),
        {
            "eye_open": a["eye_open"].mean(-1),
            "mouth_open": a["mouth_open"],
            "skin_ita": tone,
            "yaw": np.abs(euler_from_matrix(a["rotation"])[:, 1]),
        },
        a.get("clip", np.arange(len(images))),
        a.get("name", np.arange(len(images)).astype(str)),
    )


def sampling_weights(samples, strength=0.5, colour_over_grey=2.0):
    """How often each sample is drawn: (N,), sum 1.

    Rare values are drawn more often: closed eyes, open mouths, dark skin, large yaw. For each attribute
    the weight is (1 / density)^strength, clipped to [1/2, 4] times the mean; pictures with a known skin
    tone are the coloured ones and count `colour_over_grey` times.
    """
    weight = np.ones(len(samples))
    for name, value in samples.attributes.items():
        known = np.isfinite(value)
        if known.sum() < 20:
            continue
        density = _density(value[known])
        rarity = density**-strength
        weight[known] *= np.clip(rarity / rarity.mean(), 0.5, 4)
        if name == "skin_ita":
            weight[known] *= colour_over_grey
    return weight / weight.sum()


def _density(value, bins=12):
    low, high = np.percentile(value, [0.5, 99.5])
    if high <= low:
        return np.ones(len(value))
    # A histogram with one neighbour of smoothing: enough for weights that are clipped and rooted.
    index = np.clip(((value - low) / (high - low) * bins).astype(int), 0, bins - 1)
    count = np.bincount(index, minlength=bins) + 1.0
    smooth = np.convolve(np.pad(count, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return smooth[index] / smooth.mean()


class SampleMix:
    """Several sets drawn from at given shares.

    sets: folder to share (relative); weights within a set by `sampling_weights`.
    """

    def __init__(self, sets, strength=0.5):
        if not sets:
            raise InputError("give at least one sample set to train on")
        self.sets = [load_samples(folder) for folder in sets]
        shares = np.array(list(sets.values()), float)
        if (shares <= 0).any():
            raise InputError(f"every set's share must be positive, got {dict(sets)}")
        self.first = np.cumsum([0, *(len(s) for s in self.sets)])
        probability = np.concatenate(
            [
                share * sampling_weights(s, strength)
                for share, s in zip(shares / shares.sum(), self.sets, strict=True)
            ]
        )
        self.cumulative = np.cumsum(probability)
        self.params = np.concatenate([s.params for s in self.sets])
        self.landmarks478 = np.concatenate([s.landmarks478 for s in self.sets])
        self.landmark_weight = np.concatenate([s.landmark_weight for s in self.sets])
        # The first and last frame of the short video that each sample belongs to.
        bounds = [[np.searchsorted(s.clip, s.clip, side) for s in self.sets] for side in ("left", "right")]
        offset = self.first[:-1]
        self.clip_first, after = (
            np.concatenate([b + o for b, o in zip(side, offset, strict=True)]) for side in bounds
        )
        self.clip_last = after - 1
        self.still = np.unique(np.concatenate([s.name for s in self.sets]), return_inverse=True)[1]
        self.by_still = np.argsort(self.still, kind="stable")
        self.still_first = np.searchsorted(self.still[self.by_still], np.arange(self.still.max() + 2))

    def draw(self, rng, count):
        """(count,) indices."""
        return np.searchsorted(self.cumulative, rng.random(count) * self.cumulative[-1])

    def adjacent(self, index, count):
        """(count,) indices of adjacent frames, that of `index` among them; a short clip stays at its last."""
        first, last = self.clip_first[index], self.clip_last[index]
        start = max(first, min(index, last - count + 1))
        return np.minimum(start + np.arange(count), last)

    def of_same_still(self, rng, index, count):
        """(count,) indices: that of `index`, then at random others made of the same photograph, if any."""
        first, stop = self.still_first[self.still[index]], self.still_first[self.still[index] + 1]
        return np.append(index, self.by_still[rng.integers(first, stop, count - 1)])

    def image(self, index):
        """The (n, n, 3) uint8 picture of an index."""
        which = np.searchsorted(self.first, index, side="right") - 1
        return self.sets[which].images[index - self.first[which]]


def mediapipe_flip_index(model):
    """Which MediaPipe-478 point becomes which in a mirrored image: (478,) int, from the model's symmetry.

    Raises InputError if the model's points do not pair up.
    """
    from scipy.optimize import linear_sum_assignment

    mean = model.landmarks("mediapipe478").mean
    distance = np.linalg.norm(mean[:, None] * (-1, 1, 1) - mean[None], axis=-1)
    flip = linear_sum_assignment(distance**2)[1]
    if not np.array_equal(flip[flip], np.arange(len(flip))):
        raise InputError("the model's MediaPipe points do not pair up left to right")
    return flip
