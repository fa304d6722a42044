import numpy as np
import pytest

from steadyface.align.crop import ANCHOR_MM, SIDE_MM, Crop
from steadyface.errors import InputError
from steadyface.rotation import matrix_from_axis_angle, matrix_from_euler


def smooth_image(height=400, width=440):
    """Colour waves of long period, which every sampling scheme should read almost exactly."""
    y, x = np.mgrid[:height, :width].astype(float)
    return scene(np.stack([x, y], -1)).round().astype(np.uint8)


def scene(points):
    x, y = points[..., 0], points[..., 1]
    waves = [np.sin(x / 25 + 1), np.cos(y / 30), np.sin((x + y) / 40)]
    return 128 + 100 * np.stack(waves, -1)


def pixel_points(crop, n):
    u = (np.arange(n) + 0.5) / n - 0.5
    return crop.to_image(np.stack(np.meshgrid(u, u), -1))


def test_points_there_and_back():
    crop = Crop(np.array([120.5, 80.25]), 77.0, 0.4)
    points = np.random.default_rng(0).uniform(0, 300, (5, 7, 2))
    np.testing.assert_allclose(crop.to_image(crop.from_image(points)), points)


def test_positive_roll_turns_the_top_edge_clockwise():
    left, right = Crop(np.zeros(2), 10.0, 0.3).to_image([[-0.5, -0.5], [0.5, -0.5]])
    assert right[1] > left[1]


def test_the_whole_image_at_its_own_size_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(Crop(np.array([31.5, 31.5]), 64.0).extract(image, 64), image)


def test_half_size_is_the_area_mean():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    means = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(Crop(np.array([31.5, 31.5]), 64.0).extract(image, 32) - means).max() <= 1


@pytest.mark.parametrize("side", [30.0, 90.0, 120.0, 170.0, 240.0])
@pytest.mark.parametrize("roll", [0.0, 0.5, -2.0])
def test_pixels_show_the_points_that_the_geometry_names(side, roll):
    crop = Crop(np.array([220.3, 190.8]), side, roll)
    seen = crop.extract(smooth_image(), 60).astype(float)
    # Averages over a few pixels flatten a wave of this period by about two grey levels at most.
    assert np.abs(seen - scene(pixel_points(crop, 60))).max() < 4


def test_outside_the_image_the_border_is_repeated():
    image = np.full((50, 60, 3), 90, np.uint8)
    image[:, :8] = 10
    far = Crop(np.array([-500.0, 25.0]), 40.0).extract(image, 16)
    assert (far == 10).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3)])
def test_tiny_images_can_be_cropped(shape):
    image = np.full((*shape, 3), 7, np.uint8)
    for side in (0.5, 3.0, 400.0):
        assert (Crop(np.array([0.2, 0.1]), side, 1.0).extract(image, 20) == 7).all()


def test_no_jump_where_the_halving_changes():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)

    def change(side, step):
        a, b = (
            Crop(np.array([150.2, 149.6]), s, 0.2).extract(image, 30).astype(float)
            for s in (side, side + step)
        )
        return np.abs(a - b).mean()

    # Sides of 60 and 120 px are one and two halvings of 30 px; 85 and 170 lie midway.
    between = max(change(85, 0.02), change(170, 0.04))
    assert change(60 - 0.01, 0.02) < 2 * between + 0.2
    assert change(120 - 0.02, 0.04) < 2 * between + 0.2


def test_large_crops_are_averaged_not_decimated():
    image = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    picture = Crop(np.array([200.0, 200.0]), 330.0, 0.3).extract(image, 30)
    # A mean over 11 x 11 independent pixels has a tenth of their spread; decimated pixels keep all of it.
    assert picture.std() < 0.25 * image.std()


def test_a_moved_scene_gives_the_same_pixels():
    """The still-face property: the crop moves with the scene by whole blocks, the pixels stay."""
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    moved = np.roll(image, (8, 16), (0, 1))
    a = Crop(np.array([140.3, 150.7]), 110.0, 0.3).extract(image, 30)
    b = Crop(np.array([156.3, 158.7]), 110.0, 0.3).extract(moved, 30)
    assert np.abs(a.astype(int) - b).max() <= 1


def test_a_crop_of_a_pose_is_centred_on_the_anchor_and_upright():
    rotation = matrix_from_euler(np.array([0.2, -0.4, 0.0]))
    rotation = matrix_from_axis_angle(np.array([0, 0, 0.3])) @ rotation
    crop = Crop.from_pose(rotation, 1.5, np.array([100.0, 50.0]))
    np.testing.assert_allclose(crop.center, 1.5 * (rotation @ ANCHOR_MM)[:2] + [100, 50])
    assert crop.side == pytest.approx(1.5 * SIDE_MM)
    # The image of the head's vertical is the crop's.
    down = np.linalg.inv(crop.rotation) @ rotation[:2, 1]
    assert down[0] == pytest.approx(0)
    assert down[1] > 0


@pytest.mark.parametrize("yaw", [0.0, 0.7, -1.4])
def test_a_crop_turns_with_the_image(yaw):
    rotation = matrix_from_euler(np.array([0.2, yaw, -0.1]))
    turned = matrix_from_axis_angle(np.array([0, 0, 0.8])) @ rotation
    still, after = (Crop.from_pose(r, 1.0, np.zeros(2)) for r in (rotation, turned))
    assert after.roll - still.roll == pytest.approx(0.8)


def test_impossible_crops_are_refused():
    image = np.zeros((9, 9, 3), np.uint8)
    for crop in (Crop(np.array([np.nan, 1.0]), 4.0), Crop(np.zeros(2), 0.0), Crop(np.zeros(2), np.inf)):
        with pytest.raises(InputError, match="positive side"):
            crop.extract(image)
