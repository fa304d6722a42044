import json

import cv2
import numpy as np
import pytest

from steadyface.align.crop import SIDE_MM, Crop
from steadyface.errors import InputError
from steadyface.learn import portraits as p
from steadyface.learn.openings import openings
from steadyface.rotation import matrix_from_axis_angle, matrix_from_euler
from steadyface.synthesis.picture import read_set
from steadyface.synthesis.split import is_held_out

FLESH = (200, 140, 110)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_model):
    """A data folder of 30 pictures of the tiny model: flesh everywhere, a white dot at every tenth point.

    The odd ones are in colour, with a mouth of another hue; the even ones are toned in one hue.
    """
    folder = tmp_path_factory.mktemp("data") / "portraits"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = np.array([f"p{i:03d}.png" for i in range(30)])
    n = len(names)
    angles = np.radians(rng.uniform([-10, -50, -20], [10, 50, 20], (n, 3)))
    s = tiny_model.landmarks("mediapipe478")(rng.normal(0, 0.7, (n, 6)), rng.uniform(0, 0.6, (n, 4)))
    xy = 0.8 * (s @ np.swapaxes(matrix_from_euler(angles), -1, -2))[..., :2] + [100, 90]
    xyz = np.concatenate([xy + 0.5, np.zeros((n, 478, 1))], -1)
    for name, points in zip(names, xy, strict=True):
        image = np.full((200, 200, 3), FLESH, np.uint8)
        if int(name[1:4]) % 2:
            cv2.circle(image, (100, 105), 16, (190, 135, 160), -1)
        for x, y in points[::10]:
            cv2.circle(image, (round(x * 16), round(y * 16)), 24, (255, 255, 255), -1, cv2.LINE_AA, 4)
        assert cv2.imwrite(str(folder / "images" / name), image[..., ::-1])
    flip = np.linspace(0.01, 0.04, n).astype(np.float32)
    xyz = np.round(xyz * 32).astype(np.int16)
    np.savez(folder / "landmarks478.npz", names=names, xyz=xyz, flip_consistency=flip)
    return folder.parent


@pytest.fixture(scope="module")
def cache(data, tiny_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("cache")
    report = p.build_portrait_cache(data, out, tiny_model, p.FitConfig(point_sigma_mm=0.3, expression_l1=0))
    sets = {}
    for name in ("portraits", "heldout"):
        with np.load(out / name / "labels.npz") as z:
            sets[name] = np.load(out / name / "images.npy", mmap_mode="r"), dict(z)
    assert report == json.loads((out / "portraits" / "report.json").read_text())
    return sets, report


def test_landmarks_count_from_pixel_centres(data):
    loaded = p.load_portraits(data)
    with np.load(data / "portraits" / "landmarks478.npz") as z:
        np.testing.assert_allclose(loaded.points + 0.5, z["xyz"][..., :2] / 32)


def test_no_held_out_name_is_trained_on(cache):
    (_, training), (_, heldout) = cache[0]["portraits"], cache[0]["heldout"]
    assert len(heldout["name"]) > 0
    assert all(is_held_out(n) for n in heldout["name"])
    assert not any(is_held_out(n) for n in training["name"])


def test_the_least_consistent_are_dropped_from_training_only(cache):
    (_, training), (_, heldout) = cache[0]["portraits"], cache[0]["heldout"]
    everything = {f"p{i:03d}.png" for i in range(30)}
    assert {n for n in everything if is_held_out(n)} == set(heldout["name"])
    missing = everything - set(training["name"]) - set(heldout["name"])
    assert 1 <= len(missing) <= 3


def test_labels_describe_the_pictures(cache, tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    images, labels = cache[0]["portraits"]
    assert images.shape == (len(labels["name"]), 160, 160, 3)
    turned = shape(labels["identity"], labels["expression"]) @ np.swapaxes(labels["rotation"], -1, -2)
    u = labels["scale"][:, None, None] * turned[..., :2] + labels["translation"][:, None]
    # The model lands on the landmarks to a fraction of a cached pixel (1 / 120 of the standard crop).
    assert np.linalg.norm(u - labels["landmarks478"], axis=-1).mean() < 0.3 / 120
    # And the landmarks on their white dots: the picture spans u in [-2/3, 2/3].
    for image, points in zip(images, labels["landmarks478"], strict=True):
        pixel = np.round((points[::10] / (4 / 3) + 0.5) * 160 - 0.5).astype(int)
        inside = ((pixel >= 0) & (pixel < 160)).all(-1)
        x, y = pixel[inside].T
        assert inside.mean() > 0.9
        assert np.median(image[y, x, 2]) > 200


def test_larger_pictures_have_the_same_labels(cache, data, tiny_model, tmp_path):
    p.build_portrait_cache(data, tmp_path, tiny_model, p.FitConfig(point_sigma_mm=0.3, expression_l1=0), 240)
    small, expected = cache[0]["heldout"]
    large, labels = read_set(tmp_path / "heldout")
    for key in expected:
        np.testing.assert_array_equal(labels[key], expected[key])
    assert large.shape == (len(small), 240, 240, 3)
    for a, b in zip(small, large, strict=True):
        again = cv2.resize(b, (160, 160), interpolation=cv2.INTER_AREA)
        assert np.abs(again.astype(int) - a).mean() < 3


def test_labels_are_of_the_standard_crop(cache):
    labels = cache[0]["portraits"][1]
    np.testing.assert_allclose(labels["scale"], 1 / SIDE_MM)
    for r, t in zip(labels["rotation"], labels["translation"], strict=True):
        crop = Crop.from_pose(r, 1 / SIDE_MM, t)
        np.testing.assert_allclose([*crop.center, crop.side, crop.roll], [0, 0, 1, 0], atol=1e-5)


def test_skin_tone_is_measured_in_colour_pictures_only(cache):
    labels = cache[0]["portraits"][1]
    colour = np.array([int(n[1:4]) % 2 == 1 for n in labels["name"]])
    assert np.isnan(labels["skin_ita"][~colour]).all()
    lab = cv2.cvtColor(np.float32([[FLESH]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    np.testing.assert_allclose(
        labels["skin_ita"][colour], np.degrees(np.arctan2(lab[0] - 50, lab[2])), atol=1
    )


def test_skin_tone_orders_light_before_dark_and_admits_having_no_pixels():
    points = np.random.default_rng(0).uniform(10, 90, (478, 2))
    tones = [
        p.skin_tone(np.full((100, 100, 3), c, np.uint8), points, 0.0)
        for c in ((240, 210, 190), FLESH, (70, 45, 35))
    ]
    assert tones[0] > 41 > tones[1] > 0 > tones[2]
    assert np.isnan(p.skin_tone(np.zeros((100, 100, 3), np.uint8), points + 500, 0.0))
    assert np.isnan(p.skin_tone(np.full((100, 100, 3), (110, 140, 200), np.uint8), points, 0.0))


def test_toned_grey_has_no_spread_of_colour():
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 80, (478, 2))
    grey = cv2.resize(rng.integers(0, 256, (10, 10), np.uint8), (100, 100))[..., None]
    toned = (grey * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    hues = cv2.resize(rng.integers(0, 256, (10, 10, 3), np.uint8), (100, 100))
    assert p.colour_spread(toned, points) < p.COLOUR_SPREAD < p.colour_spread(hues, points)
    assert p.colour_spread(hues, points + 500) == 0


def test_weights_favour_lids_and_lips_and_fade_the_far_contour():
    w = p.landmark_weights(np.radians([0.0, 45, -45]))
    assert w[:, [159, 145]].min() > w[:, [13, 14]].min() > w[:, 4].max()
    assert w[0, 454] == w[0, 234]
    # Turned to the subject's left, the left contour is the far one.
    assert w[1, 454] < w[1, 234] == w[0, 234]
    np.testing.assert_allclose(w[2, list(p.RIGHT_OVAL)], w[1, list(p.LEFT_OVAL)])


def test_openings_by_hand():
    points = np.zeros((1, 478, 2))
    points[0, [160, 159, 158]], points[0, [385, 386, 387]], points[0, 14] = [0, 3], [4, 3], [0, 30]
    eyes, mouth = openings(points, np.array([10.0]))
    np.testing.assert_allclose(eyes, [[0.3, 0.5]])
    np.testing.assert_allclose(mouth, [1.0])


def test_the_report_measures_what_it_says(cache, tiny_model):
    report = cache[1]
    labels = cache[0]["portraits"][1]
    np.testing.assert_allclose(
        report["portraits"]["mean_percent_478"], 100 * labels["fit_error"].mean(), rtol=1e-5
    )
    assert report["all"]["portraits"] == 30
    assert report["all"]["mouth_opening_correlation"] > 0.99


def test_interocular_does_not_shrink_with_yaw(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    turns = matrix_from_axis_angle(np.radians([[0, 0, 0], [0, 50.0, 0]]))
    points = (shape.mean @ np.swapaxes(turns, -1, -2))[..., :2] * 2
    unit = p.interocular(p.fit_portraits(points, shape), shape)
    np.testing.assert_allclose(unit, 2 * np.linalg.norm(shape.mean[33] - shape.mean[263]), rtol=0.02)


def test_a_folder_without_portraits_is_named(tmp_path):
    with pytest.raises(InputError, match="no portraits under"):
        p.load_portraits(tmp_path)
