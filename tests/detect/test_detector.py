import numpy as np
import pytest

from steadyface.detect.detector import Detection, Detector, decode, letterbox
from steadyface.errors import InputError


def picture_maps(*faces, size=(32, 32)):
    heat, geometry = np.zeros(size, np.float32), np.zeros((5, *size), np.float32)
    for x, y, side, roll, score in faces:
        row, column = int(y / 8), int(x / 8)
        heat[row, column] = score
        geometry[:, row, column] = x, y, side, np.cos(roll), np.sin(roll)
    return heat, geometry


def test_decode_returns_the_faces_written_into_the_maps_best_first():
    faces = [(100.0, 60.0, 40.0, 0.5, 0.6), (200.0, 180.0, 90.0, -1.2, 0.9), (20.0, 20.0, 30.0, 0.0, 0.1)]
    found = decode(*picture_maps(*faces), threshold=0.3)
    assert [d.score for d in found] == pytest.approx([0.9, 0.6])
    for d, (x, y, side, roll, _) in zip(found, (faces[1], faces[0]), strict=True):
        np.testing.assert_allclose(d.center, (x, y))
        assert (d.size, d.roll) == (pytest.approx(side), pytest.approx(roll, abs=1e-6))


def test_decode_keeps_the_better_of_two_peaks_on_one_face_and_both_of_two_faces():
    near = decode(*picture_maps((100.0, 60.0, 80.0, 0.0, 0.6), (125.0, 60.0, 80.0, 0.0, 0.8)), 0.3)
    assert [d.score for d in near] == pytest.approx([0.8])
    apart = decode(*picture_maps((100.0, 60.0, 80.0, 0.0, 0.6), (160.0, 60.0, 80.0, 0.0, 0.8)), 0.3)
    assert len(apart) == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2000, 3), (720, 1280), (4320, 7680), (100, 100)])
def test_letterbox_fits_every_size_into_the_long_side_in_multiples_of_32(shape):
    picture, ratio = letterbox(np.zeros((*shape, 3), np.uint8), 256)
    assert max(picture.shape[:2]) == 256
    assert picture.shape[0] % 32 == 0
    assert picture.shape[1] % 32 == 0
    assert (ratio > 0).all()


def test_letterbox_ratio_takes_a_dot_in_the_image_to_its_place_in_the_picture():
    image = np.zeros((720, 1280, 3), np.uint8)
    image[300:320, 800:820] = 255
    picture, ratio = letterbox(image, 256)
    weight = (picture[:144, :, 0]).astype(float)
    rows, columns = np.mgrid[:144, :256]
    mean = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    np.testing.assert_allclose((mean + 0.5) / ratio - 0.5, (809.5, 309.5), atol=0.3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_detector_says_what_it_takes(image):
    with pytest.raises(InputError, match=r"RGB image \(H, W, 3\) uint8, got"):
        Detector()(image)


def test_detector_refuses_settings_out_of_range():
    with pytest.raises(InputError, match="threshold"):
        Detector(threshold=1.5)
    with pytest.raises(InputError, match="multiple of 32"):
        Detector(input_side=250)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (3000, 2), (480, 640), (4320, 7680)])
def test_shipped_detector_finds_no_face_in_a_flat_image_of_any_size(shape):
    assert Detector()(np.full((*shape, 3), 120, np.uint8)) == []


def test_shipped_detector_finds_few_faces_in_noise():
    rng = np.random.default_rng(0)
    detector = Detector()
    found = sum(len(detector(rng.integers(0, 256, (180, 320, 3), np.uint8))) for _ in range(10))
    assert found <= 1


def test_detection_is_a_crop():
    crop = Detection(np.array([3.0, 4.0]), 50.0, 0.9, 0.3).crop
    assert (crop.side, crop.roll) == (50.0, 0.3)
    np.testing.assert_array_equal(crop.center, (3.0, 4.0))
