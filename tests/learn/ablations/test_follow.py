"""Following faces through several videos: whose crop is used when, and what happens when it is lost."""

import numpy as np
import pytest

from steadyface.align.crop import Crop
from steadyface.detect.detector import Detection
from steadyface.learn.ablations.follow import Leader, follow, is_sane

FACE = np.random.default_rng(0).uniform(-40, 40, (68, 2))


def paths(*lengths):
    """A face's middle in every frame of videos of these lengths: list of (T, 2)."""
    return [
        np.column_stack([200 + 3 * np.arange(n), 150 + 10 * np.sin(np.arange(n) / 3 + k)])
        for k, n in enumerate(lengths)
    ]


def videos_of(middles):
    """Frames that say which video and frame they are, for whoever plays the network."""
    made = []
    for k, path in enumerate(middles):
        frames = np.zeros((len(path), 300, 400, 3), np.uint8)
        frames[:, 0, 0, 0] = k
        frames[:, 0, 0, 1] = np.arange(len(path))
        made.append(list(frames))
    return made


def number(image):
    return int(image[0, 0, 0]), int(image[0, 0, 1])


class Oracle:
    """An aligner that knows the truth; it errs by noise, and by how far the face is from the crop."""

    def __init__(self, middles, noise=0.0, blind=()):
        self.middles, self.blind = middles, blind
        self.noise = (
            np.random.default_rng(1).normal(0, noise, (100, 68, 2)) if noise else np.zeros((100, 1, 1))
        )
        self.calls = []

    def __call__(self, frames, crops):
        self.calls.append([[number(f) for f in window] for window in frames])
        points, following = [], []
        for window, crop in zip(frames, crops, strict=True):
            k, t = number(window[-1])
            middle = self.middles[k][t]
            seen = np.linalg.norm(middle - crop.center) < crop.side
            points.append(FACE + (middle if seen else crop.center) + self.noise[t])
            following.append(Crop(middle if (k, t) not in self.blind else np.array([np.nan, 0]), 110.0))
        return np.stack(points), following


def detector_of(middles, asked=None, misses=()):
    def detect(image):
        if asked is not None:
            asked.append(number(image))
        if number(image) in misses:
            return []
        k, t = number(image)
        return [Detection(middles[k][t] + 30.0, 100.0, 0.9, 0.0), Detection(np.zeros(2), 20.0, 0.5, 0.0)]

    return detect


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_videos_of_any_length_are_followed_in_step(noise):
    middles = paths(5, 9, 1)
    aligner = Oracle(middles, noise)
    asked = []
    tracks = follow(videos_of(middles), aligner, detector=detector_of(middles, asked))
    assert [t.shape for t in tracks] == [(5, 68, 2), (9, 68, 2), (1, 68, 2)]
    for track, middle in zip(tracks, middles, strict=True):
        expected = FACE + middle[:, None] + aligner.noise[: len(middle)]
        np.testing.assert_allclose(track, expected)
    # The detector finds each face once; the first frames are aligned twice.
    assert asked == [(0, 0), (1, 0), (2, 0)]
    assert [len(call) for call in aligner.calls] == [3, 3, *[2] * 4, *[1] * 4]


def test_windows_hold_the_last_frames_oldest_first():
    middles = paths(4)
    aligner = Oracle(middles)
    follow(videos_of(middles), aligner, 3, detector_of(middles))
    seen = [[t for _, t in call[0]] for call in aligner.calls]
    assert seen == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


def test_a_lost_face_is_found_again():
    middles = paths(8, 8)
    aligner, lost, asked = Oracle(middles, blind={(1, 3)}), [], []
    tracks = follow(
        videos_of(middles),
        aligner,
        detector=detector_of(middles, asked),
        lost=lambda *where: lost.append(where),
    )
    assert lost == [(1, 4)]
    assert asked == [(0, 0), (1, 0), (1, 4)]
    np.testing.assert_allclose(tracks[1], FACE + middles[1][:, None])


def test_where_the_detector_finds_nothing_the_last_crop_serves():
    middles = paths(8)
    lost = []
    detector = detector_of(middles, misses={(0, 4), (0, 5)})
    aligner = Oracle(middles, blind={(0, 3), (0, 4)})
    tracks = follow(videos_of(middles), aligner, detector=detector, lost=lambda *w: lost.append(w))
    assert lost == [(0, 4), (0, 5)]
    np.testing.assert_allclose(tracks[0], FACE + middles[0][:, None])


def test_before_a_face_is_found_there_are_no_points():
    middles = paths(6)
    lost = []
    detector = detector_of(middles, misses={(0, 0), (0, 1)})
    (track,) = follow(videos_of(middles), Oracle(middles), detector=detector, lost=lambda *w: lost.append(w))
    assert np.isnan(track[:2]).all()
    np.testing.assert_allclose(track[2:], FACE + middles[0][2:, None])
    assert lost == []


def test_whoever_is_led_sees_the_leaders_crops():
    middles = paths(6, 3)
    guide = Oracle(middles, blind={(0, 2)})
    leader = Leader(guide)
    detector = detector_of(middles)
    alone = follow(videos_of(middles), guide, detector=detector)
    guide.calls.clear()
    seen = []

    def astray(frames, crops):
        seen.append([c.center.tolist() for c in crops])
        return np.zeros((len(crops), 68, 2)), [Crop(np.full(2, np.nan), 1.0)] * len(crops)

    for _ in range(2):
        tracks = follow(videos_of(middles), leader.led(astray), detector=detector)
        assert all((t == 0).all() for t in tracks)
    # The guide was asked once, and the second time its crops were the same.
    half = len(seen) // 2
    assert len(guide.calls) == half
    assert seen[:half] == seen[half:]
    assert seen[2] == [list(m[0]) for m in middles]
    assert alone[0].shape == tracks[0].shape


@pytest.mark.parametrize(
    ("crop", "sane"),
    [
        (Crop(np.array([200.0, 100]), 80.0), True),
        (Crop(np.array([200.0, 100]), 19.0), False),
        (Crop(np.array([200.0, 100]), 801.0), False),
        (Crop(np.array([-1.0, 100]), 80.0), False),
        (Crop(np.array([200.0, 300]), 80.0), False),
        (Crop(np.array([200.0, 100]), np.nan), False),
        (Crop(np.array([200.0, 100]), 80.0, np.inf), False),
    ],
)
def test_absurd_crops_are_told(crop, sane):
    assert is_sane(crop, np.zeros((300, 400, 3), np.uint8)) is sane
