from types import SimpleNamespace

import numpy as np
import pytest
from dense_scene import SIZE, DenseScene, talking

from steadyface.align.crop import Crop
from steadyface.align.dense_points import DensePoints, facing, smooth_normals, spread_vertices
from steadyface.face_model.morphable import load_face_model
from steadyface.rotation import matrix_from_euler
from steadyface.track import Track

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
CROP = Crop(np.array([160.0, 120.0]), 110.0)


def aligner(model, points=(160, 120), sigma=0.5):
    """Says the same of every vertex that it has: all but the neck's."""
    vertices = np.flatnonzero(~model.regions["neck"])
    n = len(vertices)
    found = SimpleNamespace(points=np.broadcast_to(points, (n, 2)), sigma=np.broadcast_to(sigma, n))

    def call(image, guess, crop):
        assert guess.shape == (n, 2)
        return found

    call.vertices, call.shape = vertices, model.shape.points(vertices)
    return call


def test_points_are_spread_and_nested(tiny_model):
    vertices = np.flatnonzero(~tiny_model.regions["neck"])
    some = spread_vertices(tiny_model, vertices, 60)
    assert len(set(some.tolist())) == 60
    np.testing.assert_array_equal(spread_vertices(tiny_model, vertices, 20), some[:20])
    face = tiny_model.regions["face"]
    assert face[vertices[some]].all()
    # Farthest points: the rest lie closer to the chosen ones than these do to each other.
    x = tiny_model.shape.mean[vertices]
    between = np.linalg.norm(x[some][:, None] - x[some], axis=-1)
    apart = between[~np.eye(60, dtype=bool)].min()
    others = np.linalg.norm(x[face[vertices]][:, None] - x[some], axis=-1).min(1).max()
    assert others <= apart * 1.0001
    everything = spread_vertices(tiny_model, vertices, 10_000)
    assert len(everything) == face[vertices].sum()


def test_eyes_and_mouth_of_the_embedded_model_get_more_than_their_area():
    model = load_face_model()
    vertices = np.flatnonzero(model.regions["outer"])
    some = vertices[spread_vertices(model, vertices, 300)]
    inside = {name: model.regions[name][some].mean() for name in ("eyes", "mouth", "nose", "face", "neck")}
    assert inside["eyes"] > 0.15
    assert inside["mouth"] > 0.1
    assert inside["face"] > 0.9
    assert inside["neck"] == 0
    # Rims of lids and lips turn away, but their surroundings face the camera.
    rims = some[model.regions["eyes"][some] | model.regions["mouth"][some]]
    assert facing(smooth_normals(model, rims), np.eye(3)).mean() > 0.95


def look(dense, rotation=(0, 0, 0)):
    """The skin's points and sigmas, the irises left out; rotation: pitch, yaw, roll."""
    guess = np.zeros((len(dense._aligner.vertices), 2))
    points, sigma = dense.around(
        IMAGE, guess, CROP, matrix_from_euler(np.array(rotation)), lambda s: s.mean[:, :2], 0.5
    )
    n = len(dense.vertices)
    assert len(points) == len(sigma) == len(dense.shape.mean) == n + 2
    return points[:n], sigma[:n]


def test_the_side_that_faces_away_is_not_seen(tiny_model):
    dense = DensePoints(tiny_model, aligner(tiny_model), 80)
    x = tiny_model.shape.mean[dense.vertices]
    for yaw, hidden in ((1.2, x[:, 0] > 40), (-1.2, x[:, 0] < -40)):
        # Yaw is positive to the subject's left, +x: that side is then turned away from the camera.
        _, sigma = look(dense, (0, yaw, 0))
        assert hidden.sum() > 5
        assert np.isinf(sigma[hidden]).all()
        assert np.isfinite(sigma[x[:, 0] * np.sign(yaw) < -20]).all()
    _, sigma = look(dense, (0, np.pi, 0))
    assert np.isinf(sigma[x[:, 2] < 20]).all()


@pytest.mark.parametrize(
    ("point", "sigma", "seen"),
    [
        ((0, 0), 0.5, True),
        ((-0.6, 50), 0.5, False),
        ((SIZE[0] - 0.4, 50), 0.5, False),
        ((SIZE[0] - 0.6, SIZE[1] - 0.6), 0.5, True),
        ((50, SIZE[1] + 3), 0.5, False),
        ((np.nan, 50), 0.5, False),
        ((50, 50), np.nan, False),
        ((50, 50), 0.0, False),
        ((50, 50), 1e9, False),
    ],
)
def test_what_is_outside_or_unknown_is_not_seen(tiny_model, point, sigma, seen):
    dense = DensePoints(tiny_model, aligner(tiny_model, point, sigma), 30)
    points, got = look(dense)
    assert np.isfinite(points).all()
    assert (points.dtype, got.dtype) == (np.float32, np.float16)
    assert np.isfinite(got).any() == seen


def test_a_tiny_sigma_does_not_rule(tiny_model):
    dense = DensePoints(tiny_model, aligner(tiny_model, sigma=1e-9), 30)
    assert look(dense)[1].min() >= 0.0199


def test_a_track_guides_as_an_alignment_does(tiny_model):
    truth = talking(tiny_model, 5)
    scene = DenseScene([truth], pose_noise=0.0)
    dense = DensePoints(tiny_model, scene, 50)
    image = scene.scene.image(3)
    live = scene.scene.truth(3)[0]
    here = dense.of_alignment(image, live)
    weak = Track.from_image_pose(
        frame_index=np.arange(1),
        time_s=np.zeros(1),
        rotation=live.rotation[None],
        translation=live.translation[None],
        scale=np.array([live.scale]),
        identity=live.identity,
        expression=live.expression[None],
        sigma=np.ones((1, 68)),
        confidence=np.ones(1),
        image_size=SIZE,
        fps=25.0,
        model=tiny_model,
    )
    there = dense.of_track(image, truth, 3, weak, 0)
    (_, first), (_, second) = scene.calls
    # The guesses differ by what perspective does; the answers do not depend on them here.
    np.testing.assert_allclose(second, truth.image_points(scene.shape, 3)[:, :2])
    assert 0 < np.abs(first - second).max() < 15
    np.testing.assert_allclose(here[0], there[0], atol=1e-3)
    np.testing.assert_allclose(here[1], there[1], rtol=1e-3)
