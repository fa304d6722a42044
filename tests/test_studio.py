"""The studio quality from end to end: filmed heads of known texture, and an aligner that errs."""

from dataclasses import replace

import numpy as np
import pytest
from refined_scene import FPS, SIZE, SMALL, FilmedHead, error, perturbed, textured_head, truth_of

from steadyface.errors import InputError
from steadyface.pipeline import refine
from steadyface.refine import bake
from steadyface.refine.irradiance import VertexIrradiance
from steadyface.refine.texture import VideoTexture
from steadyface.render.textured import render_textured
from steadyface.rotation import axis_angle_from_matrix
from steadyface.studio import StudioSettings
from steadyface.track import Track

SETTINGS = StudioSettings(points=120, told=30, refine=SMALL)
FRAMES = 14


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(bake, "TEXTURE_SIZE", 96)


@pytest.fixture(scope="module")
def model(tiny_model):
    return textured_head(tiny_model)


@pytest.fixture(scope="module")
def head(model):
    return FilmedHead([truth_of(model, FRAMES)], covered=(11,), bias=0.7)


@pytest.fixture(scope="module")
def video(head, tmp_path_factory):
    return head.film(tmp_path_factory.mktemp("film") / "a.mp4")


def rows_of(track, rows, **changes):
    names = ("frame_index", "time_s", "rotation", "translation", "scale", "expression", "sigma", "confidence")
    return replace(track, **{name: np.asarray(getattr(track, name))[rows] for name in names}, **changes)


def studio(video, tracks, head, **options):
    return refine(video, tracks, aligner=head, **{"settings": SETTINGS} | options)


def test_a_film_is_refined(head, video, tmp_path):
    truth = head.truths[0]
    guess = perturbed(truth)
    steps = []
    (found,) = studio(video, guess, head, stage=steps.append, progress=lambda *n: steps.append(n))
    expected = ["learning the texture", *((i + 1, 8) for i in range(8))]
    assert steps == [*expected, "refining", *((i + 1, FRAMES) for i in range(FRAMES))]
    clear = [i for i in range(FRAMES) if i != 11]
    assert error(found, truth, clear) < 0.5 * error(guess, truth, clear)
    assert found.refined.dtype == bool
    assert found.refined[clear].all()
    assert not found.refined[11]
    assert found.irradiance.shape == (FRAMES, 33)
    assert found.texture.shape == (96, 96, 3)
    assert found.texture_confidence.dtype == np.float16
    assert found.dense_vertices.shape == (30,)
    assert found.dense_sigma.shape == found.dense_confidence.shape == (FRAMES, 30)
    assert found.focal == pytest.approx(truth.focal, rel=0.1)
    np.testing.assert_allclose(found.scale, found.focal / found.translation[:, 2])
    for name in ("frame_index", "time_s", "confidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(guess, name))
    # What the track carries draws the film again.
    texture, shine = VideoTexture.of_track(found), VertexIrradiance(found.model)
    for row in (0, 9):
        light = shine(found.vertices(row), found.irradiance[row])
        drawn, there = render_textured(found, row, texture, irradiance=light)
        there[:16] = False
        away = np.abs(drawn - head.frames[row])[there].mean()
        assert away < 0.6 * np.abs(drawn[there].mean(0) - head.frames[row][there]).mean()
    found.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", head.model)
    np.testing.assert_array_equal(loaded.texture, found.texture)


def test_a_track_in_weak_perspective_is_put_before_a_camera(head, video):
    truth = head.truths[0]
    weak = Track.from_image_pose(
        frame_index=truth.frame_index,
        time_s=truth.time_s,
        rotation=axis_angle_from_matrix(truth.seen_rotation()),
        translation=truth.scale[:, None] * truth.translation[:, :2] + truth.center,
        scale=truth.scale,
        identity=0 * truth.identity,
        expression=truth.expression,
        sigma=truth.sigma,
        confidence=truth.confidence,
        image_size=SIZE,
        fps=FPS,
        model=truth.model,
    )
    (found,) = studio(video, [weak], head)
    assert found.focal == pytest.approx(truth.focal, rel=0.15)
    clear = [i for i in range(FRAMES) if i != 11]
    assert error(found, truth, clear) < 0.25 * error(weak, truth, clear)


def test_gaps_stay_gaps_and_filled_frames_show_no_texture(head, video):
    truth, guess = head.truths[0], perturbed(head.truths[0])
    rows = [0, 1, 2, 3, 4, 5, 9, 10, 12, 13]
    filled = np.isin(rows, [3, 4])
    confidence = np.where(filled, 0, 0.9)
    part = rows_of(guess, rows, interpolated=filled)
    asked = len(head.calls)
    (found,) = studio(video, replace(part, confidence=confidence), head)
    np.testing.assert_array_equal(found.frame_index, rows)
    np.testing.assert_array_equal(found.interpolated, filled)
    there = truth.landmarks("ibug68", rows)
    away = np.linalg.norm((found.landmarks("ibug68") - there)[..., :2], axis=-1).mean()
    assert away < 0.5 * error(guess, truth, rows)
    # The texture is learned from the eight frames that were seen, then every frame of the track is refined;
    # of the two that were not seen alignment is not asked.
    seen = [i for i in rows if i not in (3, 4)]
    assert head.calls[asked:] == seen + seen
    assert not found.dense_confidence[filled].any()


def test_one_frame_is_refined(model, tmp_path):
    head = FilmedHead([truth_of(model, 1)])
    guess = perturbed(head.truths[0])
    (found,) = studio(head.film(tmp_path / "a.mp4"), guess, head)
    assert found.refined.shape == (1,)
    # Its texture is its own, and keeps it from going where dense points alone would have it.
    assert error(found, head.truths[0]) < 0.8 * error(guess, head.truths[0])


def test_two_faces_have_textures_of_their_own(model, tmp_path):
    head = FilmedHead([truth_of(model, 12, shift=-90), truth_of(model, 8, seed=1, shift=90)])
    guesses = [perturbed(t) for t in head.truths]
    found = studio(head.film(tmp_path / "a.mp4"), guesses, head)
    assert [len(t) for t in found] == [12, 8]
    for track, guess, truth in zip(found, guesses, head.truths, strict=True):
        assert error(track, truth) < 0.4 * error(guess, truth)
    sure = (found[0].texture_confidence > 0.5) & (found[1].texture_confidence > 0.5)
    assert np.abs(found[0].texture[sure].astype(float) - found[1].texture[sure]).mean() > 15


def test_a_face_partly_outside_is_refined(model, tmp_path):
    truth = truth_of(model, 5)
    truth = replace(truth, translation=truth.translation + np.array([220, 0, 0]))
    head = FilmedHead([truth])
    (found,) = studio(head.film(tmp_path / "a.mp4"), perturbed(truth), head)
    assert found.refined.any()
    for name in ("rotation", "translation", "expression", "sigma", "irradiance", "dense_sigma"):
        assert np.isfinite(getattr(found, name)).all()
    assert error(found, truth) < 0.5 * error(perturbed(truth), truth)


@pytest.mark.parametrize("shift", [[900, 0, 0], [0, -900, 0]])
def test_a_face_never_in_view_keeps_its_track(shift, model, tmp_path):
    truth = truth_of(model, 5)
    truth = replace(truth, translation=truth.translation + shift)
    head, notes = FilmedHead([truth]), []
    guess = perturbed(truth)
    (found,) = studio(head.film(tmp_path / "a.mp4"), guess, head, note=notes.append)
    assert found is guess
    assert notes == ["a face whose points were never in view keeps its track"]


@pytest.mark.parametrize("factor", [0.35, 7.0])
def test_very_large_and_very_small_faces(factor, model, tmp_path):
    truth = truth_of(model, 5)
    place = truth.translation * ([1, 1, factor] if factor < 1 else factor)
    truth = replace(truth, translation=place, scale=truth.focal / place[:, 2])
    head = FilmedHead([truth], noise=0.05)
    height = np.ptp(truth.image_points(head.model.shape, 0)[:, 1])
    assert height > 300 if factor < 1 else height < 30
    guess = perturbed(truth)
    (found,) = studio(head.film(tmp_path / "a.mp4"), guess, head)
    assert error(found, truth) < max(0.5 * error(guess, truth), 0.25)


def test_dark_frames_are_kept_and_said(model, tmp_path):
    class Night(FilmedHead):
        def frame(self, index):
            image = super().frame(index)
            if index in (4, 5):
                image[16:] = 2
            return image

    head = Night([truth_of(model, 10)])
    guess = perturbed(head.truths[0])
    (found,) = studio(head.film(tmp_path / "a.mp4"), guess, head)
    np.testing.assert_array_equal(np.flatnonzero(~found.refined), [4, 5])
    assert error(found, head.truths[0], [4, 5]) < error(guess, head.truths[0], [4, 5])


@pytest.mark.parametrize("stage", ["learning the texture", "refining"])
def test_an_interruption_keeps_the_tracks(stage, head, video):
    guess, now, notes = perturbed(head.truths[0]), [], []

    def stop(done, _total):
        if now[-1] == stage and done == 3:
            raise KeyboardInterrupt

    found = studio(video, [guess], head, stage=now.append, progress=stop, note=notes.append)
    assert found[0] is guess
    assert now[-1] == stage
    assert notes == ["interrupted while refining: the tracks stay as they were before"]


def test_another_video_is_refused(head, video, model, tmp_path):
    guess = perturbed(head.truths[0])
    with pytest.raises(
        InputError, match=r"of a video of 640 x 480 pixels, a.mp4 has 320 x 240: give the vid"
    ):
        studio(video, replace(guess, image_size=(640, 480)), head)
    short = FilmedHead([truth_of(model, 5)]).film(tmp_path / "short.mp4")
    with pytest.raises(InputError, match=r"the track goes to frame 13, short.mp4 has 5: give the video"):
        studio(short, guess, head)


def test_tracks_out_of_order_and_without_frames_are_refused(head, video):
    guess = perturbed(head.truths[0])
    times = guess.time_s.copy()
    times[5] = times[4]
    for wrong in (
        rows_of(guess, []),
        rows_of(guess, [3, 2, 1]),
        rows_of(guess, [0, 0, 1]),
        replace(guess, time_s=times),
        replace(guess, time_s=np.full(FRAMES, np.nan)),
    ):
        with pytest.raises(InputError, match="needs frames, in order and at rising times"):
            studio(video, wrong, head)


def test_tracks_of_one_face_model_are_refined_together(head, video):
    guess = perturbed(head.truths[0])
    other = replace(guess, model=replace(guess.model, name="other"))
    with pytest.raises(InputError, match="must be of one face model"):
        studio(video, [guess, other], head)
    assert studio(video, [], head) == []


def test_more_points_told_of_than_there_are(head, video):
    (found,) = studio(
        video,
        rows_of(perturbed(head.truths[0]), slice(4)),
        head,
        settings=replace(SETTINGS, points=20, told=150),
    )
    assert len(found.dense_vertices) == found.dense_sigma.shape[1] == 20


@pytest.mark.parametrize("name", ["points", "told"])
def test_settings_are_checked(name):
    with pytest.raises(InputError, match=f"{name} must be >= 1; got 0"):
        StudioSettings(**{name: 0})


def test_the_embedded_model_filmed_by_the_demo_is_refined(tmp_path, monkeypatch):
    """Dense points say nothing new: that the truth is elsewhere only the pictures know."""
    from types import SimpleNamespace

    from steadyface.demo import film, script
    from steadyface.face_model.morphable import load_face_model

    model = load_face_model()
    truth = rows_of(script(model, 1.0), slice(0, 30, 5))
    truth = replace(truth, frame_index=np.arange(6))
    film(truth, tmp_path / "a.mp4")
    guess = perturbed(truth, 0.5)
    vertices = np.flatnonzero(model.regions["face"])[::3]

    class Believer:
        shape = model.shape.points(vertices)

        def __call__(self, image, guess, crop):
            return SimpleNamespace(points=guess, sigma=np.full(len(guess), 3.0))

    aligner = Believer()
    aligner.vertices = vertices
    config = replace(SMALL, samples=1500, height=200)
    settings = StudioSettings(points=150, told=50, refine=config)
    (found,) = refine(tmp_path / "a.mp4", guess, aligner=aligner, settings=settings)
    assert found.refined.all()

    def wobble(track):
        """What frames are off by, each its own way."""
        away = (track.landmarks("ibug68") - truth.landmarks("ibug68"))[..., :2]
        return np.linalg.norm(away - away.mean(0), axis=-1).mean()

    assert wobble(found) < 0.8 * wobble(guess)
