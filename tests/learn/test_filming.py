import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.learn.filming import film_scene, training_cast
from steadyface.learn.sample_writer import FILMED, write_samples
from steadyface.learn.samples import load_samples
from steadyface.synthesis.split import is_held_out


@pytest.fixture(scope="module")
def cast():
    return training_cast()


@pytest.fixture(scope="module")
def scene(cast):
    return film_scene(cast, np.random.default_rng(5), 2)


def test_the_pose_shows_the_landmarks_where_the_camera_did(cast, scene):
    """Weak perspective cannot follow a near camera quite: a few percent of the eyes' distance at most."""
    for picture, labels in scene:
        assert picture.shape == (160, 160, 3)
        points = cast.model.landmarks("mediapipe478")(labels.identity, labels.expression)
        posed = labels.scale * (points @ labels.rotation.T)[:, :2] + labels.translation
        unit = labels.scale * 90
        apart = np.linalg.norm(posed - labels.landmarks478, axis=-1)
        assert 1e-4 * unit < apart.mean() < 0.05 * unit
        assert labels.scale == pytest.approx(1 / 220)
        np.testing.assert_allclose(labels.rotation @ labels.rotation.T, np.eye(3), atol=1e-9)


def test_adjacent_frames_are_alike_and_moments_are_not(scene):
    expressions = [labels.expression for _, labels in scene]
    adjacent = np.abs(expressions[1] - expressions[0]).max()
    apart = np.abs(expressions[2] - expressions[0]).max()
    assert adjacent < apart


def test_filming_again_gives_the_same(cast, scene):
    again = film_scene(cast, np.random.default_rng(5), 2)
    for (a, la), (b, lb) in zip(scene, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(la.landmarks478, lb.landmarks478)


def test_written_scenes_are_read_back_as_pairs(cast, scene, tmp_path):
    write_samples(tmp_path / "set", 2, lambda _: scene, cast.model, FILMED, 1, len(scene), adjacent=2)
    samples = load_samples(tmp_path / "set")
    np.testing.assert_array_equal(samples.clip, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_allclose(samples.landmarks478[1], scene[1][1].landmarks478, atol=1e-6)


def test_held_out_portraits_are_refused(tmp_path, cast, monkeypatch):
    name = next(n for n in map(str, range(100)) if is_held_out(n))

    class Skins:
        labels = {"name": np.array(["kept", name])}  # noqa: RUF012

        def __init__(self, folder, head):
            pass

    monkeypatch.setattr("steadyface.learn.filming.PortraitSkins", Skins)
    with pytest.raises(InputError, match=f"1 held-out portraits, first {name}"):
        training_cast(tmp_path)
