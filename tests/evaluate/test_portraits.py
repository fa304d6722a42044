import cv2
import numpy as np
import pytest

from steadyface.align.alignment import Alignment
from steadyface.align.crop import ANCHOR_MM, SIDE_MM, Crop
from steadyface.detect.detector import Detection
from steadyface.errors import InputError
from steadyface.evaluate import portraits
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler


def labels(model, count, yaw_deg=0.0, seed=0):
    """Arrays of a labels.npz: heads centred in the standard crop, with landmarks that fit exactly."""
    rng = np.random.default_rng(seed)
    angles = np.stack([0 * rng.normal(size=count), np.full(count, np.deg2rad(yaw_deg)), np.zeros(count)], -1)
    rotation = matrix_from_euler(angles)
    scale = np.full(count, 1 / SIDE_MM)
    translation = -(scale[:, None] * (rotation @ np.array(ANCHOR_MM))[:, :2])
    identity = rng.normal(size=(count, model.identity_count))
    expression = rng.uniform(size=(count, model.expression_count))
    points = model.landmarks("mediapipe478")(identity, expression) @ np.swapaxes(rotation, -1, -2)
    return {
        "rotation": rotation,
        "scale": scale,
        "translation": translation,
        "identity": identity,
        "expression": expression,
        "landmarks478": scale[:, None, None] * points[..., :2] + translation[:, None],
        "source": np.zeros(count, np.uint8),
        "name": np.array([f"p{i}" for i in range(count)]),
        "skin_ita": np.where(np.arange(count) % 2, np.linspace(-40, 60, count), np.nan),
    }


def write(folder, arrays, size=16):
    folder.mkdir(parents=True)
    images = np.zeros((len(arrays["name"]), size, size, 3), np.uint8)
    # The first pixel tells the fake network which picture it sees.
    images[:, 0, 0, 0] = np.arange(len(images))
    np.save(folder / "images.npy", images)
    np.savez(folder / "labels.npz", **arrays)
    return portraits.load_labelled(folder)


def truthful_network(data, shift_px=(0.0, 0.0)):
    """A fake that knows the labels and answers in the picture's pixels, off by a shift."""

    def network(image, crops):
        i = int(image[0, 0, 0])
        c = data.standard
        return [
            Alignment(
                axis_angle_from_matrix(data.rotation[i]),
                data.scale[i] * c.side,
                c.to_image(data.translation[i]) + shift_px,
                data.identity[i],
                data.expression[i],
                np.ones(68),
                1.0,
            )
            for _ in crops
        ]

    return network


def test_the_standard_crop_covers_three_quarters_of_a_cached_picture(tiny_model, tmp_path):
    data = write(tmp_path / "a", labels(tiny_model, 2), size=160)
    assert data.standard.side == 120
    np.testing.assert_allclose(data.standard.to_image([-0.5, -0.5]), [19.5, 19.5])
    # The anchor of the head is the middle of the crop.
    anchor = data.scale[0] * (data.rotation[0] @ np.array(ANCHOR_MM))[:2] + data.translation[0]
    np.testing.assert_allclose(anchor, 0, atol=1e-12)


def test_a_perfect_network_has_no_error_and_a_shifted_one_the_shift(tiny_model, tmp_path):
    arrays = labels(tiny_model, 4)
    # Landmarks off from the fit by a known amount are the label's residual.
    arrays["landmarks478"] = arrays["landmarks478"] + np.array([0.01, 0])
    data = write(tmp_path / "a", arrays)
    points = data.standard.to_image(data.landmarks478)
    length = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    perfect = portraits.crop_errors(data, truthful_network(data), tiny_model)
    offset = 100 * 0.01 * data.standard.side / length
    np.testing.assert_allclose(perfect["residual"], offset)
    np.testing.assert_allclose(perfect["error"], offset)
    shifted = portraits.crop_errors(data, truthful_network(data, (0.01 * 12, 0.5)), tiny_model)
    np.testing.assert_allclose(shifted["error"], 100 * 0.5 / length)
    assert (shifted["error_in_space"] <= shifted["error"]).all()


def test_profiled_pictures_measure_the_length_in_space(tiny_model, tmp_path):
    arrays = labels(tiny_model, 3, yaw_deg=75)
    arrays["source"][:] = 1
    data = write(tmp_path / "a", arrays)
    result = portraits.crop_errors(data, truthful_network(data, (0.3, 0.4)), tiny_model)
    corners = data.project(tiny_model.landmarks("mediapipe478"))[:, [33, 263]]
    length = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1)
    np.testing.assert_allclose(result["error"], 100 * 0.5 / length)
    np.testing.assert_allclose(result["yaw_deg"], 75)
    assert np.isnan(result["residual"]).all()


def test_the_crops_given_to_the_network_are_perturbed_and_repeatable(tiny_model, tmp_path):
    data = write(tmp_path / "a", labels(tiny_model, 40))
    network = truthful_network(data)
    seen = []

    def spy(image, crops):
        seen.append(crops[0])
        return network(image, crops)

    portraits.crop_errors(data, spy, tiny_model)
    portraits.crop_errors(data, spy, tiny_model)
    assert all(
        np.array_equal(a.center, b.center) and (a.side, a.roll) == (b.side, b.roll)
        for a, b in zip(seen[:40], seen[40:], strict=True)
    )
    shift = np.array([c.center - data.standard.center for c in seen[:40]]) / data.standard.side
    assert 0.5 * portraits.SHIFT < shift.std() < 1.5 * portraits.SHIFT
    assert 0.5 * portraits.ROLL < np.std([c.roll for c in seen[:40]]) < 1.5 * portraits.ROLL


def test_from_the_detector_the_network_runs_twice_and_misses_are_counted(tiny_model, tmp_path):
    arrays = labels(tiny_model, 3)
    data = write(tmp_path / "a", arrays)
    side = 90.0
    for i in range(3):
        image = np.zeros((140, 150, 3), np.uint8)
        image[..., 0] = i
        # Lossless, so that the fake network can read the picture's number.
        cv2.imwrite(str(tmp_path / f"p{i}.png"), image[..., ::-1])
    arrays["picture"] = np.array([str(tmp_path / f"p{i}.png") for i in range(3)])
    arrays["crop"] = np.tile([70.0, 60.0, side, 0.1], (3, 1))
    data = portraits.Labelled(data.images, **arrays)
    truth = Crop(np.array([70.0, 60.0]), side, 0.1)
    seen = []

    def detector(image):
        if image[0, 0, 0] == 1:
            return []
        wrong = Detection(np.zeros(2), 10.0, 0.2, 0.0)
        return [wrong, Detection(truth.center + 5, 80.0, 0.9, 0.0)]

    def network(image, crops):
        i = int(image[0, 0, 0])
        seen.append(crops[0])
        turn = np.eye(3)
        turn[:2, :2] = truth.rotation
        return [
            Alignment(
                axis_angle_from_matrix(turn @ data.rotation[i]),
                data.scale[i] * side,
                truth.to_image(data.translation[i]),
                data.identity[i],
                data.expression[i],
                np.ones(68),
                1.0,
            )
        ]

    errors = portraits.detector_errors(data, detector, network, tiny_model)
    np.testing.assert_allclose(errors[[0, 2]], 0, atol=1e-6)
    assert np.isnan(errors[1])
    assert len(seen) == 4
    np.testing.assert_allclose(seen[0].center, truth.center + 5)
    # The refined crop is that of the pose, which the fake network knows.
    np.testing.assert_allclose(seen[1].center, truth.center, atol=1e-6)
    assert seen[1].roll == pytest.approx(0.1)


def test_the_darkest_fifth_is_taken_of_the_faces_with_a_tone():
    ita = np.array([np.nan, *np.arange(10.0), np.nan])
    dark, light = portraits.darkest_fifth(ita)
    assert np.flatnonzero(dark).tolist() == [1, 2]
    assert light.sum() == 8
    assert not portraits.darkest_fifth(np.full(3, np.nan))[0].any()


def test_the_section_divides_the_darkest_by_the_rest():
    ita = np.arange(100.0)
    still = {
        "error": np.where(ita <= np.quantile(ita, 0.2), 4.0, 2.0),
        "error_in_space": np.ones(100),
        "residual": np.ones(100),
    }
    turned = {"error": np.array([1.0, 5.0, 9.0]), "yaw_deg": np.array([30.0, -65.0, 80.0])}
    found = np.array([2.0, np.nan])
    section = portraits.section(still, turned, found, ita, np.array(["a", "b", "b"]))
    value = {t.what: t.value for t in section.targets}
    assert value == pytest.approx(
        {
            "held-out portraits, 478 points": 2.4,
            "the same, profiled to 60-90 degrees of yaw": 7.0,
            "darkest fifth over the rest": 2.0,
        }
    )
    assert any("no face in 1 of 2" in note for note in section.notes)


def test_an_empty_group_is_shown_as_unknown_and_not_met():
    still = {name: np.ones(4) for name in ("error", "error_in_space", "residual")}
    turned = {"error": np.ones(2), "yaw_deg": np.array([10.0, 20.0])}
    section = portraits.section(still, turned, np.full(4, np.nan), np.full(4, np.nan), np.array(["a", "b"]))
    assert [t.met for t in section.targets] == [True, False, False]
    assert section.tables[0].rows[-1][1:] == (0, None, None, None, None)


def test_bootstrap_covers_the_mean_of_a_known_distribution():
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(100):
        low, high = portraits.bootstrap(rng.normal(3, 1, 60), draws=300, seed=i)
        inside += low < 3 < high
    assert 88 <= inside <= 100
    assert portraits.bootstrap(np.full(5, 2.0)) == (2.0, 2.0)


def test_bootstrap_draws_what_belongs_together_together():
    rng = np.random.default_rng(1)
    each = rng.normal(size=40)
    # Ten copies of every value tell nothing new: the interval must not shrink.
    repeated, groups = np.tile(each, 10), np.tile(np.arange(40), 10)
    plain = np.subtract(*portraits.bootstrap(each))
    assert np.subtract(*portraits.bootstrap(repeated, groups=groups)) == pytest.approx(plain, rel=0.1)
    assert abs(np.subtract(*portraits.bootstrap(repeated))) < 0.5 * abs(plain)


def test_a_folder_that_is_no_cache_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"not a folder of labelled crops \(images\.npy, labels\.npz\)"):
        portraits.load_labelled(tmp_path)
