from itertools import pairwise

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.face_model.morphable import save_face_model
from steadyface.learn.augment import AugmentConfig
from steadyface.learn.batches import BatchConfig, BatchMaker
from steadyface.learn.parameters import split
from steadyface.learn.profiling import profile_cache
from steadyface.learn.samples import SampleMix, load_samples
from steadyface.learn.short_video import FARTHEST, draw_clip, turned_on
from steadyface.rotation import euler_from_matrix


def test_views_drift_slightly_and_smoothly():
    rng = np.random.default_rng(2)
    clips = [draw_clip(rng, AugmentConfig(), 4) for _ in range(200)]
    steps = np.array([[b.shift - a.shift for a, b in pairwise(c)] for c in clips])
    assert all(len({v.mirrored for v in c}) == 1 for c in clips)
    assert np.abs(steps).max() < 0.1
    # Some clips hardly move.
    lengths = np.linalg.norm(steps[:, 0], axis=-1)
    assert np.quantile(lengths, 0.2) < 0.1 * np.quantile(lengths, 0.95)
    # Successive steps of a clip agree: it drifts, it does not shake.
    assert np.corrcoef(steps[:, 0, 0], steps[:, 1, 0])[0, 1] > 0.8


def test_turns_go_on_from_the_first_and_keep_the_roll():
    rng = np.random.default_rng(0)
    start = np.array([0.1, -0.3, 0.2])
    clips = np.stack([turned_on(rng, start, 4) for _ in range(300)])
    np.testing.assert_array_equal(clips[:, 0], np.broadcast_to(start, (300, 3)))
    np.testing.assert_allclose(clips[..., 2], start[2])
    steps = np.diff(clips, axis=1)
    assert np.corrcoef(steps[:, 0, 1], steps[:, 2, 1])[0, 1] > 0.8
    assert 0.05 < steps[..., 1].std() < 0.09
    assert abs(np.mean(steps[:, 0, 1] > 0) - 0.5) < 0.1


@pytest.mark.parametrize("side", [-1, 1])
def test_a_head_turned_far_turns_back(side):
    rng = np.random.default_rng(1)
    clips = np.stack([turned_on(rng, (0, side * (FARTHEST + 0.1), 0), 5) for _ in range(50)])
    assert (side * (clips[:, -1, 1] - clips[:, 0, 1]) < 0.03).all()


@pytest.fixture
def turning(sample_folder, mirror_model, tmp_path):
    """A set of two-frame clips turned from the random samples, and its face model's file."""
    source = tmp_path / "portraits"
    source.mkdir()
    np.save(source / "images.npy", np.load(sample_folder / "images.npy")[:6])
    with np.load(sample_folder / "labels.npz") as z:
        labels = {k: z[k][:6] for k in z.files}
    np.savez(source / "labels.npz", **labels, fit_error=np.full(6, 0.01))
    out = tmp_path / "turning"
    profile_cache(source, out, 24, yaw_max=0.8, clip_length=2, processes=1, model=mirror_model)
    save_face_model(mirror_model, tmp_path / "model.npz")
    return out, tmp_path / "model.npz"


def test_frames_of_a_clip_are_one_head_that_turns(turning):
    samples = load_samples(turning[0])
    np.testing.assert_array_equal(samples.clip, np.repeat(np.arange(12), 2))
    with np.load(turning[0] / "labels.npz") as z:
        for key in ("identity", "expression", "name"):
            np.testing.assert_array_equal(z[key][::2], z[key][1::2])
        first, second = (euler_from_matrix(z["rotation"][k::2]) for k in (0, 1))
    step = np.abs(second - first)[:, :2]
    assert (step.max(1) > 0.002).all()
    assert step.max() < 0.4


def test_batches_show_the_turn_with_its_labels(turning, mirror_model):
    folder, file = turning
    config = BatchConfig({str(folder): 1.0}, size=16, face_model=str(file), clip_share=1.0, negatives=0)
    maker = BatchMaker(config, mirror_model)
    batch = maker(0)
    similarity, identity, expression = split(batch["params"], mirror_model.identity_count)
    shape = mirror_model.landmarks("mediapipe478")(identity, expression)
    points = shape @ similarity[..., :2, :3].swapaxes(-1, -2) + similarity[:, None, :2, 3]
    np.testing.assert_allclose(points, batch["landmarks478"], atol=1e-5)
    np.testing.assert_array_equal(identity[::2], identity[1::2])
    # Moving in the plane leaves the third row's direction: what changes it is the turn.
    ahead = similarity[:, 2, :3] / np.linalg.norm(similarity[:, 2, :3], axis=-1, keepdims=True)
    assert (np.abs(ahead[::2] - ahead[1::2]).max(1) > 1e-3).all()


def test_adjacent_frames_stay_within_their_clip(turning, sample_folder):
    mix = SampleMix({str(sample_folder): 1.0, str(turning[0]): 1.0})
    still = len(load_samples(sample_folder))
    for index, count, expected in (
        (5, 1, [5]),
        (5, 3, [5, 5, 5]),
        (still, 2, [still, still + 1]),
        (still + 1, 2, [still, still + 1]),
        (still + 1, 1, [still + 1]),
        (still + 3, 3, [still + 2, still + 3, still + 3]),
    ):
        assert mix.adjacent(index, count).tolist() == expected


def test_random_turns_are_pictures_of_one_photograph_and_no_clip(turning, sample_folder, mirror_model):
    folder, file = turning
    sets = {str(sample_folder): 1.0, str(folder): 1.0}
    config = BatchConfig(
        sets, size=16, face_model=str(file), clip_length=4, clip_share=0.5, clip_motion="random"
    )
    maker = BatchMaker(config, mirror_model)
    assert maker.clip_rows == 0
    frames, views = maker.runs(np.random.default_rng(0))
    assert [len(f) for f in frames] == [len(v) for v in views] == [1] * 16
    still = maker.mix.still[np.concatenate(frames)]
    assert (still[:8].reshape(2, 4) == still[[0, 4]][:, None]).all()
    assert len(set(still[8:])) > 4
    # Pictures of a clip are drifting views; these are as far apart as those of different photographs.
    rolls = np.array([v.roll for (v,) in views[:8]]).reshape(2, 4)
    assert (np.ptp(rolls, axis=1) > 0.05).all()
    with pytest.raises(InputError, match="clip_motion must be 'smooth' or 'random', got 'wild'"):
        BatchConfig(sets, clip_motion="wild")


def test_pictures_of_one_photograph_are_found_in_every_set(turning, sample_folder):
    mix = SampleMix({str(sample_folder): 1.0, str(turning[0]): 1.0})
    rng = np.random.default_rng(0)
    names = np.concatenate([s.name for s in mix.sets])
    drawn = [mix.of_same_still(rng, i, 5) for i in range(len(names))]
    for i, indices in enumerate(drawn):
        assert indices[0] == i
        assert set(names[indices]) == {names[i]}
    first_of_both = np.concatenate([d for i, d in enumerate(drawn) if names[i] == names[-1]])
    assert first_of_both.min() < len(mix.sets[0]) <= first_of_both.max()
