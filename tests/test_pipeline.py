from functools import partial

import numpy as np
import pytest
from scene import SIZE, Scene, moving_face, seen_during, still_face

from steadyface import live, pipeline
from steadyface.errors import InputError, NoFaceError, VideoError
from steadyface.live import LiveTracker
from steadyface.pipeline import align, overlay
from steadyface.video import read_video, write_video

FPS = 25


#: The tests of the live quality; those of the standard one are in `test_standard_track`.
track = partial(pipeline.track, quality="live")


def film(scene, path, count):
    with write_video(path, scene.size, FPS) as write:
        for i in range(count):
            write(scene.image(i), i / FPS)
    return path


def tracker(scene, model, **options):
    return LiveTracker(model=model, detector=scene.detector, regressor=scene.regressor, **options)


def test_a_video_becomes_a_track(tiny_model, tmp_path):
    scene = Scene([moving_face(tiny_model, (1.5, 0.3), center=(90, 110))])
    done = []
    (found,) = track(
        film(scene, tmp_path / "a.mp4", 40),
        tracker=tracker(scene, tiny_model),
        progress=lambda n, total: done.append((n, total)),
    )
    assert done == [(i + 1, 40) for i in range(40)]
    np.testing.assert_array_equal(found.frame_index, np.arange(40))
    np.testing.assert_allclose(found.time_s, np.arange(40) / FPS, atol=1e-4)
    assert (found.image_size, found.fps) == (SIZE, pytest.approx(FPS))
    truth = np.stack([scene.truth(i)[0].project(tiny_model.landmarks("ibug68")) for i in range(40)])
    assert np.linalg.norm(found.landmarks("ibug68") - truth, axis=-1)[10:].max() < 2
    np.testing.assert_allclose(found.identity, scene.truth(0)[0].identity, atol=1e-5)


def test_without_the_filter_the_network_speaks(tiny_model, tmp_path):
    scene = Scene([still_face(tiny_model)], noise=0.5)
    path = film(scene, tmp_path / "a.mp4", 30)

    def expected(i):
        crop = scene.truth(i)[0].crop
        return scene.regressor(scene.image(i), [crop])[0].translation

    from steadyface.filter import FilterSettings
    from steadyface.live import LiveSettings

    raw = LiveSettings(filter=FilterSettings(noise=0.0))
    (found,) = track(path, tracker=tracker(scene, tiny_model, settings=raw))
    origin = found.scale[:, None] * found.translation[:, :2] + found.center
    np.testing.assert_allclose(origin, [expected(i) for i in range(30)], atol=2e-3)


def test_one_track_a_face_longest_first_and_glimpses_left_out(tiny_model, tmp_path):
    faces = [
        seen_during(still_face(tiny_model, center=(60, 120), scale=0.25, seed=1), (0, 30)),
        still_face(tiny_model, center=(160, 120), scale=0.25),
        seen_during(still_face(tiny_model, center=(260, 120), scale=0.25, seed=2), (0, 5)),
    ]
    scene = Scene(faces)
    found = track(film(scene, tmp_path / "a.mp4", 50), tracker=tracker(scene, tiny_model))
    assert [len(t) for t in found] == [50, 30]


def test_frames_without_the_face_are_left_out(tiny_model, tmp_path):
    scene = Scene([seen_during(still_face(tiny_model), (0, 20), (26, 50))])
    (found,) = track(film(scene, tmp_path / "a.mp4", 50), tracker=tracker(scene, tiny_model))
    np.testing.assert_array_equal(found.frame_index, [*range(20), *range(26, 50)])


def test_no_face_says_how_many_frames_were_looked_at(tiny_model, tmp_path):
    scene = Scene([])
    with pytest.raises(NoFaceError, match=r"no face found in a\.mp4: looked at 12 frames"):
        track(film(scene, tmp_path / "a.mp4", 12), tracker=tracker(scene, tiny_model))


def test_unknown_quality_and_missing_video(tiny_model, tmp_path):
    with pytest.raises(InputError, match="unknown quality 'best': known are live, standard"):
        track(tmp_path / "a.mp4", quality="best")
    with pytest.raises(VideoError, match="does not exist"):
        track(tmp_path / "a.mp4")


def test_the_method_chooses_the_network(tiny_model, tmp_path, monkeypatch):
    scene = Scene([still_face(tiny_model)])
    asked = []

    def network(name, model, threads):
        asked.append((name, threads))
        return scene.regressor

    monkeypatch.setattr(live, "make_aligner", network)
    trackers = partial(LiveTracker, model=tiny_model, detector=scene.detector)
    monkeypatch.setattr(pipeline, "LiveTracker", trackers)
    path = film(scene, tmp_path / "a.mp4", 10)
    assert len(track(path)[0]) == 10
    assert len(track(path, method="displacement", threads=2)[0]) == 10
    assert len(align(scene.image(0), method="local-motion")) == 1
    assert asked == [("3ddfa_v2", 1), ("displacement", 2), ("local-motion", 1)]
    for wrong in (
        lambda: track(path, method="best"),
        lambda: align(scene.image(0), method="best"),
        lambda: LiveTracker(method="best", regressor=scene.regressor),
    ):
        with pytest.raises(InputError, match="unknown method 'best': known are 3ddfa_v2, displacement, loc"):
            wrong()


def test_an_interruption_keeps_what_was_done(tiny_model, tmp_path):
    scene = Scene([still_face(tiny_model)])
    notes = []

    def stop_at_20(done, _total):
        if done == 20:
            raise KeyboardInterrupt

    (found,) = track(
        film(scene, tmp_path / "a.mp4", 50),
        tracker=tracker(scene, tiny_model),
        progress=stop_at_20,
        note=notes.append,
    )
    assert len(found) == 20
    assert notes == ["interrupted after 20 frames: kept what was done"]


def test_a_video_that_ends_early_is_kept_and_said(tiny_model, tmp_path, monkeypatch):
    scene = Scene([still_face(tiny_model)])
    path = film(scene, tmp_path / "a.mp4", 30)
    from steadyface import video

    # As if the container had promised more than it holds.
    monkeypatch.setattr(video.VideoReader, "_promised", property(lambda self: 80))
    with pytest.warns(UserWarning, match="30 of the 80 frames"):
        (found,) = track(path, tracker=tracker(scene, tiny_model))
    assert len(found) == 30


def test_a_still_image_gives_one_frame_tracks(tiny_model):
    scene = Scene([still_face(tiny_model, center=(80 + 150 * i, 120), scale=0.3, seed=i) for i in range(2)])
    found = align(scene.image(0), tracker=tracker(scene, tiny_model))
    assert [t.landmarks("ibug68").shape for t in found] == [(1, 68, 3)] * 2
    with pytest.raises(InputError, match="grey"):
        align(np.zeros((10, 10), np.uint8), tracker=tracker(scene, tiny_model))
    for quality in ("best", "studio"):
        with pytest.raises(
            InputError, match=f"unknown quality '{quality}' of a still image: known are live, st"
        ):
            align(scene.image(0), quality)


def test_overlay_draws_on_the_frames_of_the_track(tiny_model, tmp_path):
    scene = Scene([seen_during(still_face(tiny_model), (0, 10))])
    path = film(scene, tmp_path / "a.mp4", 20)
    tracks = track(path, tracker=tracker(scene, tiny_model))
    overlay(path, tracks, tmp_path / "b.mp4")
    with read_video(path) as before, read_video(tmp_path / "b.mp4") as after:
        changed = [
            np.abs(a.image.astype(int) - b.image).max() > 60 for a, b in zip(before, after, strict=True)
        ]
    assert changed == [True] * 10 + [False] * 10


def test_memory_is_a_few_hundred_numbers_a_frame(tiny_model, tmp_path):
    """What a track keeps of a frame: coefficients, no pixels and no vertices."""
    import tracemalloc

    scene = Scene([still_face(tiny_model)])
    path = film(scene, tmp_path / "a.mp4", 300)
    marks = {}

    def measure(done, _total):
        if done in (100, 300):
            marks[done] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        track(path, tracker=tracker(scene, tiny_model), progress=measure)
    finally:
        tracemalloc.stop()
    assert marks[300] - marks[100] < 200 * 4000


def test_the_studio_quality_is_the_standard_one_refined(tiny_model, tmp_path, monkeypatch):
    from dense_scene import DenseScene, talking
    from refined_scene import SMALL, textured_head

    from steadyface.refine import bake
    from steadyface.standard import StandardSettings
    from steadyface.studio import StudioSettings

    monkeypatch.setattr(bake, "TEXTURE_SIZE", 48)
    scene = DenseScene([talking(textured_head(tiny_model), 12)])
    path = scene.film(tmp_path / "a.mp4")
    options = {"aligner": scene, "settings": StandardSettings(points=120, told=30)}
    options |= {"studio": StudioSettings(points=120, told=30, refine=SMALL)}
    (standard,) = pipeline.track(path, "standard", tracker=scene.tracker(), **options)
    stages = []
    (found,) = pipeline.track(path, "studio", tracker=scene.tracker(), stage=stages.append, **options)
    assert stages == ["following", "fitting", "learning the texture", "refining"]
    (again,) = pipeline.refine(path, standard, aligner=scene, settings=options["studio"])
    for name in ("translation", "expression", "refined", "irradiance", "texture"):
        np.testing.assert_allclose(getattr(found, name), getattr(again, name), atol=1e-6)
    assert standard.texture is None
    assert len(found) == 12
    # The film shows no face, only where one would be: dense points alone say where.
    assert not found.refined.any()
    away = (found.landmarks("ibug68") - standard.landmarks("ibug68"))[..., :2]
    assert np.abs(away).max() < 1
