from types import SimpleNamespace

import numpy as np
import pytest
from dense_scene import DenseScene, talking
from scene import Scene, moving_face, seen_during

from steadyface import live, pipeline
from steadyface.align.dense_points import DensePoints
from steadyface.errors import InputError
from steadyface.evaluate.peers import steadyface as peer
from steadyface.evaluate.peers.steadyface import predict
from steadyface.filter import FilterSettings
from steadyface.live import LiveSettings, LiveTracker
from steadyface.pipeline import track
from steadyface.video import write_video


def film(scene, path, count):
    with write_video(path, scene.size, 25) as write:
        for i in range(count):
            write(scene.image(i), i / 25)
    return path


def stand_ins(scene, model):
    return {"model": model, "detector": scene.detector, "regressor": scene.regressor}


def test_a_prediction_is_what_a_user_of_track_gets(tiny_model, tmp_path):
    face = seen_during(moving_face(tiny_model, (1.5, 0.3), center=(90, 110)), (0, 25), (28, 33))
    scene = Scene([face], noise=0.5)
    followed = [*range(25), *range(28, 33)]
    video = film(scene, tmp_path / "a.mp4", 36)
    prediction = predict(video, **stand_ins(scene, tiny_model))
    (expected,) = track(video, "live", tracker=LiveTracker(max_faces=1, **stand_ins(scene, tiny_model)))
    np.testing.assert_array_equal(np.flatnonzero(prediction.found), followed)
    np.testing.assert_array_equal(expected.frame_index, followed)
    np.testing.assert_allclose(prediction.points["ibug68"][followed], expected.landmarks("ibug68"), rtol=1e-5)
    assert prediction.seconds.shape == (36,)
    assert (prediction.seconds > 0).all()
    assert (prediction.method, prediction.metric) == ("steadyface live", True)


def test_without_the_filter_the_network_speaks(tiny_model, tmp_path):
    scene = Scene([moving_face(tiny_model, (0.2, 0))], noise=0.5)
    video = film(scene, tmp_path / "a.mp4", 20)
    steady, raw = (predict(video, filtered=f, **stand_ins(scene, tiny_model)) for f in (True, False))
    settings = LiveSettings(filter=FilterSettings(noise=0.0))
    (expected,) = track(video, "live", tracker=LiveTracker(settings=settings, **stand_ins(scene, tiny_model)))
    np.testing.assert_allclose(raw.points["ibug68"], expected.landmarks("ibug68"), rtol=1e-4, atol=1e-4)
    assert np.abs(raw.points["ibug68"] - steady.points["ibug68"]).max() > 0.1
    assert raw.method == "steadyface live, unfiltered"


def test_the_method_is_handed_on_and_named(tiny_model, tmp_path, monkeypatch):
    scene = Scene([moving_face(tiny_model, (0.2, 0))])
    asked = []
    monkeypatch.setattr(
        live, "make_aligner", lambda name, model, threads: asked.append((name, model)) or scene.regressor
    )
    networks = {"model": tiny_model, "detector": scene.detector}
    video = film(scene, tmp_path / "a.mp4", 5)
    prediction = predict(video, method="displacement", **networks)
    assert asked == [("displacement", tiny_model)]
    assert prediction.found.all()
    assert prediction.method == "steadyface live, displacement learning"
    with pytest.raises(InputError, match="unknown method 'best'"):
        predict(video, method="best", **networks)


def test_a_video_without_a_face_is_a_prediction_too(tiny_model, tmp_path):
    scene = Scene([])
    prediction = predict(film(scene, tmp_path / "a.mp4", 5), **stand_ins(scene, tiny_model))
    assert not prediction.found.any()
    assert len(prediction) == 5


def test_the_standard_quality_is_predicted_too(tiny_model, tmp_path, monkeypatch):
    truth = talking(tiny_model, 20)
    scene = DenseScene([truth], [[*range(8), *range(11, 20)]])
    video = scene.film(tmp_path / "a.mp4")
    networks = stand_ins(scene.scene, tiny_model)
    prediction = predict(video, quality="standard", aligner=scene, **networks)
    (expected,) = track(video, tracker=LiveTracker(max_faces=1, **networks), aligner=scene)
    assert (prediction.method, prediction.metric) == ("steadyface standard", True)
    # Frames that are filled in are frames in which the tracker says where the face is.
    assert prediction.found.all()
    assert expected.interpolated.sum() == 3
    for markup in ("ibug68", "mediapipe478"):
        np.testing.assert_allclose(
            prediction.points[markup], expected.landmarks(markup), rtol=1e-3, atol=1e-2
        )
    vertices, pixels = truth.vertices(), truth.image_points(tiny_model.shape)[..., :2]
    assert np.abs(prediction.vertex_pixels - pixels).max() < 2
    # In perspective, and metric up to the distance, which one camera hardly tells.
    scale = truth.translation[:, 2].mean() / expected.translation[:, 2].mean()
    assert np.abs(scale * prediction.vertices - vertices)[..., :2].max() < 15
    np.testing.assert_allclose(prediction.rotation, truth.seen_rotation(), atol=0.05)


def test_the_time_of_a_frame_holds_its_share_of_the_rest(tiny_model, tmp_path, monkeypatch):
    scene = DenseScene([talking(tiny_model, 10)])
    networks = stand_ins(scene.scene, tiny_model)
    now = [0.0]
    monkeypatch.setattr(peer, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(DenseScene):
        def __call__(self, image, guess, crop):
            now[0] += 2.0
            return super().__call__(image, guess, crop)

    def fit(live, *_):
        now[0] += 5.0
        return live

    monkeypatch.setattr(pipeline, "fit_track", fit)
    slow = Slow([talking(tiny_model, 10)])
    prediction = predict(scene.film(tmp_path / "a.mp4"), quality="standard", aligner=slow, **networks)
    np.testing.assert_allclose(prediction.seconds, np.full(10, 2.5))

    def refine(video, tracks, aligner, *_):
        # Aligns each frame once more, and works on it for a second.
        dense = DensePoints(tracks[0].model, aligner, 60)
        for row in range(10):
            dense.of_track(slow.scene.image(row), tracks[0], row, tracks[0], row)
            now[0] += 1.0
        return tracks

    monkeypatch.setattr(pipeline, "_refine", refine)
    prediction = predict(tmp_path / "a.mp4", quality="studio", aligner=slow, **networks)
    assert prediction.method == "steadyface studio"
    np.testing.assert_allclose(prediction.seconds, np.full(10, 5.5))
