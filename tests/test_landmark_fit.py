from dataclasses import replace

import numpy as np
import pytest
from sequence_scene import SIZE, sequence, turn_between, two_cameras

import steadyface as sf
from steadyface.errors import InputError
from steadyface.face_model.morphable import LinearShape
from steadyface.fit.rig_file import write_cameras
from steadyface.fit.sequence_terms import SequenceWeights
from steadyface.points.image_points import ImagePoints
from steadyface.rotation import matrix_from_axis_angle
from steadyface.video import write_video

#: The pace of the scene's motion, and points that err independently.
PACED = SequenceWeights(
    rotation_acceleration=1.5,
    translation_acceleration=60,
    expression_acceleration=10,
    independent_points=np.inf,
)


@pytest.fixture(scope="module")
def scene(tiny_model):
    return sequence(tiny_model.landmarks("mediapipe478"), 12, noise=0.5)


def shape_error(fit, model, scene):
    """Mean distance of the neutral face from the true one, mm."""
    return np.linalg.norm(fit.neutral() - model.shape.neutral(scene.identity), axis=-1).mean()


def test_one_cameras_points_give_a_track(tiny_model, scene):
    fit = sf.fit_landmarks(scene.points[:, 0], image_size=SIZE, fps=25, model=tiny_model, weights=PACED)
    track = fit.track
    assert (track.image_size, track.fps, len(track)) == (SIZE, 25, 12)
    np.testing.assert_allclose(track.time_s, np.arange(12) / 25)
    assert not track.interpolated.any()
    away = np.linalg.norm(track.landmarks("mediapipe478")[..., :2] - scene.exact[:, 0], axis=-1)
    assert away.mean() < 0.6
    assert fit.distance[0] == pytest.approx(0.5 * np.sqrt(2 * np.log(2)), rel=0.3)
    assert np.degrees(turn_between(matrix_from_axis_angle(track.rotation), scene.rotation).max()) < 5
    np.testing.assert_array_equal(fit.neutral(), tiny_model.shape.neutral(track.identity))
    # What nobody told: 2 mm on the head, here 700 mm before a camera of 800 px.
    sigma = sf.fit_landmarks(scene.points[:, 0], image_size=SIZE, sigma=2 * 800 / 700, model=tiny_model)
    default = sf.fit_landmarks(scene.points[:, 0], image_size=SIZE, model=tiny_model)
    both = [f.track.landmarks("ibug68")[..., :2] for f in (sigma, default)]
    assert np.abs(both[0] - both[1]).max() < 0.5


def test_the_track_tells_of_its_vertices(tiny_model, scene):
    points = np.array(scene.points[:, 0])
    points[:, 200:] = np.nan
    track = sf.fit_landmarks(points, image_size=SIZE, sigma=0.5, focal=800, model=tiny_model).track
    assert track.dense_sigma.shape == track.dense_confidence.shape == (12, len(track.dense_vertices))
    assert 0 < track.dense_sigma.astype(float).mean() < 2
    assert track.dense_confidence.astype(float).max() > 0.8
    # Points that nobody saw have no confidence.
    unseen = sf.fit_landmarks(points, image_size=SIZE, sigma=0.5, focal=800, model=tiny_model).points
    hidden = ~np.isin(track.dense_vertices, unseen.vertices[:200])
    assert hidden.any()
    assert not track.dense_confidence[:, hidden].any()


def test_a_known_focal_length_is_kept_and_an_unknown_one_found(tiny_model, scene):
    common = dict(image_size=SIZE, sigma=0.5, model=tiny_model)
    assert sf.fit_landmarks(scene.points, focal=750, **common).track.focal == pytest.approx(750)
    found = sf.fit_landmarks(scene.points, **common).track.focal
    assert abs(found / 800 - 1) < abs(640 / 800 - 1)


def test_short_gaps_are_filled_and_marked_and_long_ones_left_out(tiny_model):
    scene = sequence(tiny_model.landmarks("mediapipe478"), 40, noise=0.3)
    points = scene.points[:, 0].copy()
    points[5:8] = np.nan
    points[15:38] = np.inf
    fit = sf.fit_landmarks(points, image_size=SIZE, sigma=0.3, model=tiny_model, weights=PACED)
    track = fit.track
    np.testing.assert_array_equal(track.frame_index, [*range(15), 38, 39])
    np.testing.assert_array_equal(np.flatnonzero(track.interpolated), [5, 6, 7])
    np.testing.assert_allclose(track.time_s, track.frame_index / 30)
    away = np.linalg.norm(
        track.landmarks("ibug68")[:15, :, :2].mean(1) - scene.exact[:15, 0].mean(1), axis=-1
    )
    assert np.ptp(away) < 4
    assert not track.confidence[5:8].any()
    every = sf.fit_landmarks(points, image_size=SIZE, sigma=0.3, gap_s=2, model=tiny_model, weights=PACED)
    np.testing.assert_array_equal(every.track.frame_index, np.arange(40))


def test_two_cameras_know_the_face_better_than_one(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    rig = two_cameras()
    errors = {1: [], 2: [], "known": []}
    for seed in range(3):
        scene = sequence(shape, 6, noise=1.5, seed=seed, rig=rig)
        common = dict(sigma=1.5, model=tiny_model, weights=PACED)
        fits = {
            1: sf.fit_landmarks(scene.points[:, 0], image_size=SIZE, **common),
            2: sf.fit_landmarks(scene.points, image_size=SIZE, **common),
            "known": sf.fit_landmarks(scene.points, image_size=SIZE, cameras=rig, **common),
        }
        for name, fit in fits.items():
            errors[name].append(shape_error(fit, tiny_model, scene))
    assert np.mean(errors[2]) < np.mean(errors[1])
    assert np.mean(errors["known"]) < 0.9 * np.mean(errors[1])


def test_cameras_are_found_or_known(tiny_model, tmp_path):
    rig = two_cameras()
    scene = sequence(tiny_model.landmarks("mediapipe478"), 10, noise=0.5, rig=rig)
    views = [scene.points[:, 0], ImagePoints(scene.points[:, 1])]
    common = dict(image_size=SIZE, sigma=0.5, model=tiny_model, weights=PACED)
    found = sf.fit_landmarks(views, **common)
    assert np.degrees(turn_between(found.rig.rotation, rig.rotation)[1]) < 5
    np.testing.assert_array_equal(found.rig.rotation[0], np.eye(3))
    write_cameras(rig, [SIZE, SIZE], tmp_path / "cameras.json")
    known = sf.fit_landmarks(views, cameras=tmp_path / "cameras.json", **(common | {"image_size": None}))
    for name in ("focal", "center", "rotation", "translation"):
        np.testing.assert_allclose(getattr(known.rig, name), getattr(rig, name), rtol=1e-9)
    np.testing.assert_allclose(known.track.translation, scene.translation, atol=3)
    assert known.distance.shape == (2,)


def test_frames_that_only_one_camera_has_are_in_the_track(tiny_model):
    scene = sequence(tiny_model.landmarks("ibug68"), 10, noise=0.3, rig=two_cameras())
    views = [
        ImagePoints(scene.points[:6, 0], frame_index=np.arange(6)),
        ImagePoints(scene.points[3:, 1], frame_index=np.arange(3, 10)),
    ]
    fit = sf.fit_landmarks(
        views, image_size=SIZE, cameras=scene.rig, sigma=0.3, model=tiny_model, weights=PACED
    )
    assert len(fit.track) == 10
    np.testing.assert_allclose(fit.track.translation, scene.translation, atol=8)
    assert not fit.track.interpolated.any()


def test_offsets_are_in_the_neutral_face(tiny_model):
    rig = two_cameras()
    model = replace(tiny_model, regions={**tiny_model.regions, "nose": nose(tiny_model)})
    shape = model.landmarks("mediapipe478")
    scene = sequence(shape, 6, noise=0.1, rig=rig)
    moved = model.shape.mean.copy()
    moved[model.region("nose")] += [0, 0, -3.0]
    bump = replace(model, shape=replace(model.shape, mean=moved)).at(model.embeddings["mediapipe478"])
    assert isinstance(bump, LinearShape)
    points = sequence(bump, 6, noise=0.1, rig=rig).points
    weights = replace(PACED, deform_mm=3)
    common = dict(image_size=SIZE, cameras=rig, sigma=0.1, model=model, weights=weights)
    with_offsets = sf.fit_landmarks(points, offsets="nose", **common)
    without = sf.fit_landmarks(points, **common)

    def error(fit):
        true = model.shape.neutral(scene.identity) + (moved - model.shape.mean)
        return np.linalg.norm((fit.neutral() - true)[model.region("nose")], axis=-1).mean()

    assert with_offsets.moved is not None
    assert error(with_offsets) < 0.7 * error(without)
    other = fit_without_identity(with_offsets)
    assert not other[~model.region("nose")].any()


def nose(model):
    mean = model.shape.mean
    return np.linalg.norm(mean - mean[mean[:, 2].argmin()], axis=-1) < 45


def fit_without_identity(fit):
    return fit.neutral() - fit.track.model.shape.neutral(fit.track.identity)


def test_a_known_neutral_face_helps(tiny_model, tmp_path):
    scene = sequence(tiny_model.landmarks("ibug68"), 4, noise=3.0)
    true = tiny_model.shape.neutral(scene.identity)
    np.save(tmp_path / "mica.npy", true * [1e-3, -1e-3, -1e-3])
    common = dict(image_size=SIZE, sigma=3.0, model=tiny_model)
    alone = shape_error(sf.fit_landmarks(scene.points, **common), tiny_model, scene)
    for known in (true, tmp_path / "mica.npy"):
        fit = sf.fit_landmarks(scene.points, neutral=known, **common)
        assert shape_error(fit, tiny_model, scene) < 0.6 * alone


def test_points_of_ones_own_are_vertices_of_the_model(tiny_model):
    chosen = np.arange(0, 400, 9)
    shape = tiny_model.shape
    part = LinearShape(shape.mean[chosen], shape.identity_basis[:, chosen], shape.expression_basis[:, chosen])
    scene = sequence(part, 8, noise=0.3)
    names = tuple(f"p{v}" for v in chosen)
    views = ImagePoints(scene.points[:, 0], image_size=SIZE, names=names)
    common = dict(sigma=0.3, focal=800, model=tiny_model, weights=PACED)
    fit = sf.fit_landmarks(views, vertices=chosen, **common)
    assert fit.distance[0] < 0.6
    # By name, in another order, without some; each camera has its own order.
    order = np.random.default_rng(0).permutation(chosen)[:30]
    fit = sf.fit_landmarks(views, vertices={f"p{v}": int(v) for v in order}, **common)
    assert fit.distance[0] < 0.6
    assert len(fit.points.index) == 30
    turned = ImagePoints(views.points[:, ::-1], image_size=SIZE, names=names[::-1])
    apart = replace(two_cameras(), rotation=np.tile(np.eye(3), (2, 1, 1)), translation=np.zeros((2, 3)))
    fit = sf.fit_landmarks(
        [views, turned],
        vertices={f"p{v}": int(v) for v in order},
        cameras=replace(apart, focal=np.full(2, 800.0)),
        sigma=0.3,
        model=tiny_model,
    )
    assert fit.distance.max() < 0.6


def test_a_video_tells_size_and_times(tiny_model, tmp_path):
    times = np.array([0, 0.04, 0.12, 0.16, 0.2, 0.28])
    with write_video(tmp_path / "a.mp4", (64, 48), 25.0) as write:
        for t in times:
            write(np.zeros((48, 64, 3), np.uint8), t)
    shape = tiny_model.landmarks("ibug68")
    points = np.tile(shape.mean[:, :2] * 0.2 + [32, 24], (6, 1, 1))
    track = sf.fit_landmarks(points, video=tmp_path / "a.mp4", model=tiny_model).track
    assert track.image_size == (64, 48)
    np.testing.assert_allclose(track.time_s, times, atol=1e-6)
    with pytest.raises(InputError, match=r"points of frame 6, but the video has frames 0 to 5"):
        sf.fit_landmarks(np.tile(points[:1], (7, 1, 1)), video=tmp_path / "a.mp4", model=tiny_model)
    other = ImagePoints(points, image_size=(128, 96))
    with pytest.raises(InputError, match=r"of images of \(128, 96\) px, the video's are \(64, 48\)"):
        sf.fit_landmarks(other, video=tmp_path / "a.mp4", model=tiny_model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((5, 21, 2))}, "21 points are of no known set"),
        ({"points": np.zeros((5, 2))}, r"points must be (T, L, 2) or (T, L, 3) pixels; got (5, 2)"),
        ({"points": []}, "needs the points of one camera or more; got none"),
        ({"points": np.full((5, 68, 2), np.nan)}, "no point is seen"),
        ({"points": np.random.default_rng(0).random((5, 68, 2))}, "if they are normalized, say so"),
        ({"image_size": None}, "the image size is unknown: give image_size=(width, height)"),
        ({"sigma": -1}, "sigma must be a number of pixels > 0; got -1"),
        ({"focal": 0}, "focal lengths must be > 0 px"),
        ({"focal": 900, "cameras": two_cameras()}, "give the focal length or the cameras, not both"),
        ({"cameras": two_cameras()}, "there are 2 cameras, but the points of 1"),
        ({"offsets": "face"}, "offsets need the points of two cameras or more"),
        ({"neutral": np.zeros((3, 3))}, "the neutral face needs points of shape (400, 3); got (3, 3)"),
        ({"vertices": [7] * 68}, "a fit needs at least 6 different points"),
        ({"fps": 0}, "fps must be > 0; got 0"),
    ],
)
def test_what_does_not_fit_is_one_line(tiny_model, change, message):
    shape = tiny_model.landmarks("ibug68")
    arguments = dict(points=np.tile(shape.mean[:, :2] + 300, (5, 1, 1)), image_size=SIZE, model=tiny_model)
    with pytest.raises(InputError) as error:
        sf.fit_landmarks(**(arguments | change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_regions_are_answered_with_the_known(tiny_model):
    scene = sequence(tiny_model.landmarks("ibug68"), 3, rig=two_cameras())
    with pytest.raises(InputError, match="unknown region 'chin': this model has face, neck"):
        sf.fit_landmarks(scene.points, image_size=SIZE, offsets="chin", model=tiny_model)
