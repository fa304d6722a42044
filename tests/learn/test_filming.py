import numpy as np
import pytest
import torch

from steadyface.align.crop import Crop
from steadyface.errors import InputError
from steadyface.evaluate.steadybench.clip import draw_script
from steadyface.evaluate.steadybench.plan import ClipPlan
from steadyface.fit.image import weak_perspective_pose
from steadyface.learn.filming import film_scene, sample, training_cast
from steadyface.learn.flow_batches import read_perspectives
from steadyface.learn.flow_points import FlowPoints
from steadyface.learn.sample_writer import FILMED, write_samples
from steadyface.learn.samples import load_samples
from steadyface.synthesis.film import Shot
from steadyface.synthesis.picture import PICTURE_MARGIN
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


def test_exact_labels_say_where_the_camera_saw_every_vertex(cast, tmp_path):
    """Through files, batches' formula and the picture's pixels, at a size other than the usual one."""
    model, size, at = cast.model, 192, (0, 5, 9)
    plan = ClipPlan("scene", "A", "clean", "profile", "grin+wink", 0.5, 0, 250, 25.0, (384, 288))
    script = draw_script(plan, model, np.random.default_rng(8))
    points = model.landmarks("mediapipe478")
    vertices = np.arange(0, model.vertex_count, 9)
    image = np.zeros((288, 384, 3), np.uint8)
    frames = []
    for i in at:
        dotted = image.copy()
        x, y = np.rint(script.image_points(model.shape, i)[vertices[50], :2]).astype(int)
        dotted[y - 1 : y + 2, x - 1 : x + 2] = 255
        shapes = {name: model.landmarks(name) for name in ("mediapipe478", "ibug68")}
        frames.append(sample(dotted, script, i, shapes, size, exact=True))
    write_samples(tmp_path / "set", 1, lambda _: frames, model, FILMED, 1, len(at), size=size)
    samples = load_samples(tmp_path / "set")
    inverse, principal = read_perspectives([tmp_path / "set"])
    crop_pixels = size / PICTURE_MARGIN
    seen = FlowPoints(model, vertices, crop_pixels)(
        *(torch.tensor(a) for a in (samples.params, inverse, principal))
    )
    for k, i in enumerate(at):
        true = script.image_points(model.shape, i)[vertices, :2]
        landmarks = script.image_points(points, i)[:, :2]
        pose = weak_perspective_pose(landmarks, points(script.identity, script.expression[i]))
        expected = (Crop.from_pose(*pose).from_image(true) + 0.5) * crop_pixels - 0.5
        np.testing.assert_allclose(seen[k], expected, atol=1e-3)
        # The stored picture shows more than the crop, around the same middle.
        place = seen[k, 50].numpy() + (size - crop_pixels) / 2
        bright = np.argwhere(samples.images[k].max(-1) > 128)[:, ::-1]
        np.testing.assert_allclose(bright.mean(0), place, atol=1)


def test_the_nearest_pose_differs_from_the_exact_one_and_both_show_the_same(cast, scene):
    exact = film_scene(cast, np.random.default_rng(5), 2, exact=True)
    for (a, near), (b, true) in zip(scene, exact, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(near.landmarks478, true.landmarks478)
        assert near.perspective is None
        # From half a metre to three metres.
        assert 1 / 3000 < true.perspective.inverse_distance < 1 / 300
        assert 1e-3 < np.linalg.norm(true.rotation - near.rotation) < 0.3
        np.testing.assert_allclose(true.rotation @ true.rotation.T, np.eye(3), atol=1e-9)


def test_larger_pictures_show_as_much_with_more_pixels(cast):
    (picture, labels), _ = film_scene(cast, np.random.default_rng(5), 1, size=96)
    assert picture.shape == (96, 96, 3)
    assert labels.scale == pytest.approx(1 / 220)
    assert np.abs(labels.landmarks478).max() < 0.6


def test_things_pass_before_some_faces(cast, monkeypatch):
    kinds = []

    class Seen(Shot):
        def __init__(self, script, look, stage, conditions, rng, *, figure=None):
            kinds.append(conditions.occluder)
            raise InterruptedError

    monkeypatch.setattr("steadyface.learn.filming.Shot", Seen)
    for i in range(60):
        with pytest.raises(InterruptedError):
            film_scene(cast, np.random.default_rng(i), 1)
    hidden = [k for k in kinds if k]
    assert 4 <= len(hidden) <= 24
    assert len(set(hidden)) >= 3


def test_held_out_portraits_are_refused(tmp_path, cast, monkeypatch):
    name = next(n for n in map(str, range(100)) if is_held_out(n))

    class Skins:
        labels = {"name": np.array(["kept", name])}  # noqa: RUF012

        def __init__(self, folder, head):
            pass

    monkeypatch.setattr("steadyface.learn.filming.PortraitSkins", Skins)
    with pytest.raises(InputError, match=f"1 held-out portraits, first {name}"):
        training_cast(tmp_path)
