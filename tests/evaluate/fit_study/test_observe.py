import numpy as np
import pytest

from steadyface.align.alignment import Alignment
from steadyface.align.dense_points import DensePoints
from steadyface.align.uv_flow import DenseAlignment
from steadyface.evaluate.fit_study.observe import LivePoints, live_align, observe

SIDE = 40


def alignment(model, yaw=0.0):
    return Alignment(
        np.array([0, yaw, 0]),
        2.0,
        np.array([100.0, 90]),
        np.full(model.identity_count, 0.3),
        np.full(model.expression_count, 0.2),
        np.linspace(1, 3, 68),
        0.9,
    )


def test_the_live_networks_points_are_its_face(tiny_model):
    points = LivePoints(tiny_model, 50)
    assert tiny_model.region("face")[points.vertices].all()
    found, sigma = points.of_alignment(np.zeros((SIDE, SIDE, 3), np.uint8), alignment(tiny_model))
    expected = alignment(tiny_model).project(tiny_model.shape)[points.vertices, :2]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    shown = np.isfinite(sigma)
    assert shown.mean() > 0.5
    assert set(sigma[shown]) <= set(np.linspace(1, 3, 68))
    # Of a face in profile the far half is turned away.
    turned = np.isfinite(points.of_alignment(np.zeros((1, 1, 3)), alignment(tiny_model, np.pi / 2))[1])
    side = points.shape.mean[:, 0]
    assert abs(np.mean(np.sign(side[turned]))) > 0.8


def test_a_dense_aligners_points_are_kept_with_their_sigmas(tiny_model):
    face = np.flatnonzero(tiny_model.region("face"))

    class Aligner:
        vertices, shape = face, tiny_model.shape.points(face)

        def __call__(self, image, guess, crop):
            np.testing.assert_allclose(crop.center, alignment(tiny_model).crop.center)
            return DenseAlignment((guess + 1.5).astype(np.float32), np.full(len(face), 0.7, np.float32))

    points = DensePoints(tiny_model, Aligner(), 30)
    pictures = np.ones((2, 400, 400, 3), np.uint8)
    seen = observe([lambda: pictures], lambda _: alignment(tiny_model), points, tiny_model)
    shown = np.isfinite(seen.sigma)
    assert shown.mean() > 0.5
    np.testing.assert_allclose(seen.sigma[shown], 0.7, rtol=1e-3)
    true = alignment(tiny_model).project(tiny_model.shape)[seen.vertices, :2] + 1.5
    np.testing.assert_allclose(seen.points[shown], np.broadcast_to(true, seen.points.shape)[shown], rtol=1e-4)


def test_pictures_without_a_face_tell_nothing(tiny_model):
    points = LivePoints(tiny_model, 20)

    def align(image):
        return alignment(tiny_model) if image.any() else None

    pictures = np.ones((3, SIDE, SIDE, 3), np.uint8)
    pictures[1] = 0
    seen = observe([lambda: pictures, lambda: pictures[::-1]], align, points, tiny_model)
    assert seen.points.shape == (3, 2, 20, 2)
    assert np.isinf(seen.sigma[1]).all()
    assert np.isnan(seen.identity[1]).all()
    assert np.isfinite(seen.identity[[0, 2]]).all()
    np.testing.assert_array_equal(seen.points[0], seen.points[2])


def test_each_picture_is_looked_at_by_itself():
    calls = []

    class Tracker:
        def __enter__(self):
            calls.append("begin")

        def __exit__(self, *_):
            calls.append("end")

        def __call__(self, image, time_s):
            calls.append(time_s)
            return []

    align = live_align(Tracker())
    assert align(np.zeros((2, 2, 3))) is None
    assert align(np.zeros((2, 2, 3))) is None
    assert calls == 2 * ["begin", pytest.approx(0.0), "end"]
