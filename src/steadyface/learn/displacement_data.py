"""Pairs of frames, a few apart, for networks that crop a frame by what they said of one before."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..align.crop import Crop
from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..points.ibug68_mirror import IBUG68_MIRROR
from ..rotation import axis_angle_from_matrix
from ..synthesis.picture import read_set
from .augment import Appearance, AugmentConfig, View, draw_far_view, draw_view, view_labels, view_pixels
from .parameters import SIMILARITY_COUNT, ParameterStatistics, mirror, pose_from_similarity
from .samples import SampleMix, mediapipe_flip_index
from .sequences import load_sequences
from .short_video import draw_clip

#: Side of the window that a pair is seen through, in standard crops of the first frame: the next crop may
#: stray from the middle. Its points are u in [-1/2, 1/2]^2 (see window.py).
WINDOW = 1.5


@dataclass(frozen=True)
class PairConfig:
    """What pairs are made of.

    sets: folder to share, of short videos (`load_sequences`) or of stills (`load_samples`), which are moved
    on as by `short_video`; size: pairs in a batch; image_size: of a crop, pixels; interval: largest distance
    of the two frames, the paper's 1 to 6; kept: first share of a set's videos that is trained on; negatives:
    share of pairs of stills without a roughly centred face; balance, augment: as of `BatchConfig`.
    """

    sets: dict
    size: int = 20
    image_size: int = 128
    face_model: str = "anny"
    interval: int = 6
    kept: float = 0.9
    negatives: float = 0.1
    balance: float = 0.5
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class _Pair:
    """Two frames' labels in the window's units, the first crop (4,), and a maker of their pictures."""

    params: np.ndarray
    landmarks68: np.ndarray
    landmarks478: np.ndarray
    weight: float
    is_face: float
    crop: np.ndarray
    pixels: Callable


def cameras_of(params):
    """Log f, quaternion (w first, w >= 0) and t of T in parameters (N, P): (N, 8)."""
    similarity = np.asarray(params, float)[:, :SIMILARITY_COUNT].reshape(-1, 3, 4)
    rotation, scale, _ = pose_from_similarity(similarity)
    turn = axis_angle_from_matrix(rotation)
    half = np.linalg.norm(turn, axis=-1, keepdims=True) / 2
    quaternion = np.concatenate([np.cos(half), turn * np.sinc(half / np.pi) / 2], -1)
    return np.concatenate([np.log(scale)[:, None], quaternion, similarity[..., 3]], -1)


def camera_statistics(params):
    """`ParameterStatistics` of the cameras in (N, P) parameters; t_z, always 0, cannot be moved."""
    cameras = cameras_of(params)
    std = np.maximum(cameras.std(0), 1e-6)
    return ParameterStatistics(cameras.mean(0).astype(np.float32), std.astype(np.float32))


def crop_of_view(view):
    """The crop (4,), in window units, that shows a well placed head through a `View`."""
    c, s = np.cos(-view.roll), np.sin(-view.roll)
    center = -np.array([[c, -s], [s, c]]) @ view.shift / view.scale
    return np.array([*(center / WINDOW), 1 / (view.scale * WINDOW), -view.roll], np.float32)


class PairMaker:
    """Makes the batches of a `PairConfig` one by one, like `BatchMaker`.

    Call with a batch number. Returns a dict of N pairs, labels in units of the window: window (N, 2, m, m, 3)
    uint8, WINDOW crops wide; params (N, 2, P); landmarks68 (N, 2, 68, 2) and landmarks478 (N, 2, 478, 2), NaN
    where they are no more than params say; landmark_weight, is_face (N,); crop (N, 4) of the first frame: the
    true one, strayed from by `draw_view`. Raises InputError without videos to train on.
    """

    def __init__(self, config, model=None):
        # The workers share the cores with the trainer: more threads would only get in its way.
        cv2.setNumThreads(1)
        self.config = config
        self.model = load_face_model(config.face_model) if model is None else model
        self.size = round(WINDOW * config.image_size)
        self.appearance = Appearance(config.augment, self.size, config.seed)
        self.flip_index = mediapipe_flip_index(self.model)
        videos = {k: v for k, v in config.sets.items() if is_video(k)}
        stills = {k: v for k, v in config.sets.items() if k not in videos}
        self.videos = [(load_sequences(k), share) for k, share in videos.items()]
        for folder, (video, _) in zip(videos, self.videos, strict=True):
            if video.frames < 2 or not self._trained(video):
                raise InputError(f"{folder} has no video of two frames or more to train on")
        self.stills = SampleMix(stills, config.balance) if stills else None
        shares = np.array([*(s for _, s in self.videos), sum(stills.values())], float)
        self.shares = np.cumsum(shares) / shares.sum()

    def _trained(self, video):
        return int(len(video) * self.config.kept)

    def pair(self, rng):
        """A random pair."""
        which = int(np.searchsorted(self.shares, rng.random(), side="right"))
        if which < len(self.videos):
            return self._filmed(rng, self.videos[which][0])
        return self._moved(rng)

    def _filmed(self, rng, video):
        """Two frames of a video, in either order: what comes true forwards does so backwards."""
        k = int(rng.integers(1, min(self.config.interval, video.frames - 1) + 1))
        first = int(rng.integers(self._trained(video))) * video.frames + int(rng.integers(video.frames - k))
        rows = [first, first + k] if rng.random() < 0.5 else [first + k, first]
        mirrored = rng.random() < 0.5
        own = video.crops[rows[0]]
        window = Crop(own.center, WINDOW * own.side, own.roll)
        params = np.stack([video.params_in(i, window) for i in rows])
        landmarks = window.from_image(video.landmarks68[rows]).astype(np.float32)
        if mirrored:
            params = mirror(params, self.model)
            landmarks = landmarks[:, IBUG68_MIRROR] * np.array([-1, 1], np.float32)

        def pixels(_border, _fill):
            pictures = [video.view(i, window, self.size) for i in rows]
            return [np.ascontiguousarray(p[:, ::-1]) if mirrored else p for p in pictures]

        nothing = np.full((2, 478, 2), np.nan, np.float32)
        crop = crop_of_view(draw_view(rng, self.config.augment))
        return _Pair(params, landmarks, nothing, 1.0, 1.0, crop, pixels)

    def _moved(self, rng):
        """A still and its neighbour in a rendered turn, if it has one, moved on in the plane (eq. 8)."""
        c, mix = self.config, self.stills
        assert mix is not None
        rows = mix.adjacent(int(mix.draw(rng, 1)[0]), 2)
        k = int(rng.integers(1, c.interval + 1))
        start, *_, end = draw_clip(rng, c.augment, k + 1)
        views = [
            View(start.mirrored, 1 / WINDOW, 0.0, np.zeros(2)),
            View(
                start.mirrored,
                end.scale / start.scale / WINDOW,
                end.roll - start.roll,
                (end.shift - start.shift) / WINDOW,
            ),
        ]
        crop, is_face = crop_of_view(draw_view(rng, c.augment)), 1.0
        if rng.random() < c.negatives:
            far = draw_far_view(rng)
            views = [View(far.mirrored, far.scale / WINDOW, far.roll, far.shift / WINDOW)] * 2
            crop, is_face = np.array([0, 0, 1 / WINDOW, 0], np.float32), 0.0
        params, landmarks = view_labels(
            mix.params[rows], mix.landmarks478[rows], views, self.model, self.flip_index
        )

        def pixels(border, fill):
            return [
                view_pixels(mix.image(i), v, self.size, border, fill)
                for i, v in zip(rows, views, strict=True)
            ]

        nothing = np.full((2, 68, 2), np.nan, np.float32)
        weight = float(mix.landmark_weight[rows].min())
        return _Pair(params, nothing, landmarks, weight, is_face, crop, pixels)

    def __call__(self, number):
        rng = np.random.default_rng((self.config.seed, number))
        pairs = [self.pair(rng) for _ in range(self.config.size)]
        windows = np.empty((len(pairs), 2, self.size, self.size, 3), np.uint8)
        other = self._other(rng)
        for i, pair in enumerate(pairs):
            look, border, fill = self.appearance.draw_look(rng)
            degrade = self.appearance.draw_degradation(rng)
            pictures = pair.pixels(border, fill)
            for j, picture in enumerate(pictures):
                windows[i, j] = degrade(look(picture, other))
            # Occluders are filled with some of another picture.
            edge = self.size // 2
            other = cv2.resize(np.ascontiguousarray(windows[i, 0, :edge]), other.shape[:2])
        weight = np.array([p.weight for p in pairs], np.float32)
        is_face = np.array([p.is_face for p in pairs], np.float32)
        return {
            "window": windows,
            "params": np.stack([p.params for p in pairs]).astype(np.float32),
            "landmarks68": np.stack([p.landmarks68 for p in pairs]),
            "landmarks478": np.stack([p.landmarks478 for p in pairs]),
            "landmark_weight": weight * is_face,
            "is_face": is_face,
            "crop": np.stack([p.crop for p in pairs]),
        }

    def _other(self, rng):
        side = self.size + 40
        return rng.integers(0, 256, (1, 1, 3), np.uint8).repeat(side, 0).repeat(side, 1)

    def draw_labels(self, count, seed=0):
        """(count, P) parameters of first frames in window units and the crops (count, 4) that show them."""
        rng = np.random.default_rng(seed)
        pairs = [self.pair(rng) for _ in range(count)]
        kept = [p for p in pairs if p.is_face]
        return np.stack([p.params[0] for p in kept]).astype(np.float32), np.stack([p.crop for p in kept])


def is_video(folder):
    """Whether a set is one of short videos of more than two frames, with where each was cut from."""
    _, labels = read_set(folder)
    if "landmarks68" not in labels or "crop" not in labels:
        return False
    return np.unique(labels["clip"], return_counts=True)[1].min() > 2
