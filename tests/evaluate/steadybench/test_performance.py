import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.steadybench.eyes import FULL_TURN, blink, gaze, gaze_curves
from steadyface.evaluate.steadybench.performance import EXPRESSIONS, perform
from steadyface.evaluate.steadybench.poses import POSES, pose
from steadyface.evaluate.steadybench.speech import CONSONANTS, VOWELS, Sound, blended, draw_sounds
from steadyface.face_model.morphable import load_face_model

FPS = 25.0


@pytest.fixture(scope="module")
def names():
    return load_face_model().expression_names


def face(expression, names, seed=0, frames=120):
    return perform(expression, names, np.zeros((frames, 3)), FPS, np.random.default_rng(seed))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_activations_are_within_range_smooth_and_reproducible(expression, names):
    e = face(expression, names)
    assert e.shape == (120, len(names))
    assert e.min() >= 0
    assert e.max() <= 1
    # Lids and eyes are the fastest parts of a face; all else takes several frames.
    slow = [k for k, n in enumerate(names) if not n.startswith("eye")]
    assert np.abs(np.diff(e[:, slow], axis=0)).max() < 0.45
    np.testing.assert_array_equal(e, face(expression, names))


def test_every_shape_of_speech_and_poses_is_one_of_the_model(names):
    for table in (CONSONANTS, VOWELS, POSES):
        for shape in table.values():
            for name, amount in shape.items():
                assert name in names or f"{name}Left" in names, name
                assert 0 < amount <= 1


def test_a_jaw_opens_at_the_rate_of_syllables(names):
    jaw = names.index("jawOpen")
    counts = []
    for seed in range(10):
        opening = face("speech", names, seed, 500)[:, jaw]
        middle = opening[1:-1]
        peaks = (middle > opening[:-2]) & (middle >= opening[2:]) & (middle > 0.1)
        counts.append(peaks.sum() / 20)
        assert opening.max() > 0.2
    # Pauses and syllables that run together make them fewer than the 3.4 to 5.4 a second within phrases.
    assert 1.5 < np.mean(counts) < 6


def test_sounds_come_three_to_six_syllables_a_second_with_pauses():
    sounds, stresses = draw_sounds(60.0, np.random.default_rng(0))
    pauses = [s for s in sounds if not s.shape]
    vowels = [s for s in sounds if any(s.shape is v for v in VOWELS.values())]
    speaking = sum(2 * s.half_s for s in sounds if s.shape)
    assert 3 < len(vowels) / speaking < 6
    assert 10 < len(pauses) < 60
    assert 0 < len(stresses) < len(vowels)


def test_one_sound_alone_gives_its_shape_and_two_alike_meet_halfway():
    shape = {"jawOpen": 0.4}
    a, b = (Sound(t, 0.0, s, 1.0, 1.0, 10.0) for t, s in ((0.0, shape), (0.2, {})))
    t = np.array([-1.0, 0.1, 1.2])
    np.testing.assert_allclose(blended(t, [a])["jawOpen"], 0.4, rtol=1e-4)
    both = blended(t, [a, b])["jawOpen"]
    assert both[1] == pytest.approx(0.2)
    # Cohen and Massaro: a sound's share at the other's middle is its dominance there over the sum of both.
    at_b = blended(np.array([0.2]), [a, b])["jawOpen"][0]
    assert at_b == pytest.approx(0.4 * np.exp(-2) / (1 + np.exp(-2)), rel=1e-6)


def test_closed_lips_stay_closed_over_an_open_jaw():
    assert CONSONANTS["m"]["mouthClose"] == CONSONANTS["m"]["jawOpen"]


def test_poses_begin_and_end_neutral_and_reach_their_apex():
    t = np.arange(120) / FPS
    for seed in range(5):
        curves = pose(t, ["happiness", "anger"], np.random.default_rng(seed))
        for name, curve in curves.items():
            assert curve[0] == 0
            assert curve[-1] < 0.02, name
        smile, brows = curves["mouthSmile"], curves["browDown"]
        assert 0.6 < smile.max() <= 0.85
        # One after the other.
        assert smile.argmax() < 60 < brows.argmax()
        apex = (smile > 0.8 * smile.max()).mean() * t[-1]
        assert apex > 0.3


def test_blinks_are_as_long_and_as_frequent_as_natural_ones():
    t = np.arange(0, 1800, 0.01)
    lids = blink(t, np.random.default_rng(0))
    shut = lids > 0.02
    starts = np.flatnonzero(shut[1:] & ~shut[:-1])
    ends = np.flatnonzero(~shut[1:] & shut[:-1])
    lengths = 0.01 * (ends[: len(starts)] - starts[: len(ends)])
    assert lengths.min() > 0.12
    assert lengths.max() < 0.31
    assert 11 < len(starts) / 30 < 21
    # Closing is faster than opening.
    assert np.diff(lids).max() > 1.5 * -np.diff(lids).min()


def test_every_short_clip_has_a_blink():
    for seed in range(20):
        assert blink(np.arange(120) / FPS, np.random.default_rng(seed)).max() > 0.5


def test_gaze_stays_on_the_camera_while_the_head_turns():
    count = 250
    head = np.zeros((count, 3))
    head[:, 1] = 0.3 * np.sin(np.linspace(0, 6, count))
    correlation = [
        np.corrcoef(gaze(np.arange(count) / FPS, head, np.random.default_rng(k))[:, 0], head[:, 1])[0, 1]
        for k in range(8)
    ]
    assert np.median(correlation) < -0.6


def test_a_gaze_becomes_activations_of_its_side_and_pulls_the_lids_down():
    left, down = gaze_curves(np.array([[FULL_TURN, 0.0]])), gaze_curves(np.array([[0.0, -FULL_TURN]]))
    assert left["eyeLookOutLeft"] == left["eyeLookInRight"] == 1
    assert left["eyeLookInLeft"] == left["eyeBlinkLeft"] == 0
    assert down["eyeLookDownRight"] == 1
    assert down["eyeBlinkRight"] > 0.3
    assert down["eyeLookUpLeft"] == 0


def test_unknown_expressions_are_answered_with_the_known_ones(names):
    with pytest.raises(InputError, match="unknown expression 'joy': know speech, happiness"):
        face("joy", names)
    with pytest.raises(InputError, match="unknown expression 'speech\\+anger'"):
        face("speech+anger", names)
    with pytest.raises(InputError, match="unknown expression 'joy'"):
        pose(np.arange(5) / FPS, ["joy"], np.random.default_rng(0))
