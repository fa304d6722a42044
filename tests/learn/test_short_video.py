import numpy as np
import pytest

from steadyface.face_model.morphable import load_face_model
from steadyface.learn.augment import View
from steadyface.learn.head import build_head
from steadyface.learn.parameters import join, pose_from_similarity, similarity_from_pose, split
from steadyface.learn.photograph import crop_pose
from steadyface.learn.samples import mediapipe_flip_index
from steadyface.learn.short_video import ShortVideoConfig, in_plane, motion_blur, noise, short_video
from steadyface.rotation import euler_from_matrix, matrix_from_euler

STILL = ShortVideoConfig(scale=0, roll_deg=0, shift=0, yaw_deg=0, pitch_deg=0, noise=0, blur=0)


@pytest.fixture(scope="module")
def head():
    return build_head(load_face_model())


@pytest.fixture(scope="module")
def sample(head):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160]
    picture = (
        np.stack([x + 40, y + 40, 128 + 60 * np.sin(x / 9) * np.cos(y / 7)], -1).clip(0, 255).astype(np.uint8)
    )
    identity, expression = (
        rng.normal(0, 0.3, head.model.identity_count),
        np.zeros(head.model.expression_count),
    )
    rotation, scale, translation = crop_pose(matrix_from_euler(np.array([0.05, 0.1, 0])))
    shape = head.model.landmarks("mediapipe478")(identity, expression)
    points = scale * (shape @ rotation.T)[:, :2] + translation
    params = join(similarity_from_pose(rotation, scale, translation), identity, expression)
    return picture, params.astype(np.float32), points.astype(np.float32), mediapipe_flip_index(head.model)


def _project(head, params):
    similarity, identity, expression = split(params, head.model.identity_count)
    shape = head.model.landmarks("mediapipe478")(identity, expression)
    return shape @ np.swapaxes(similarity[..., :2, :3], -1, -2) + similarity[..., None, :2, 3]


@pytest.mark.parametrize("out_of_plane", [False, True])
def test_labels_of_every_frame_agree(head, sample, out_of_plane):
    picture, params, points, flip = sample
    rng = np.random.default_rng(1)
    images, rows, landmarks = short_video(
        picture, params, points, 4, rng, flip, head, out_of_plane=out_of_plane
    )
    assert images.shape == (4, 120, 120, 3)
    np.testing.assert_allclose(_project(head, rows), landmarks, atol=2e-4)
    assert np.abs(np.diff(landmarks, axis=0)).max(axis=(1, 2)).min() > 1e-3


def test_out_of_plane_turns_the_head_progressively(head, sample):
    picture, params, points, flip = sample
    config = ShortVideoConfig(roll_deg=0, shake=0, pitch_deg=0, yaw_deg=6)
    rng = np.random.default_rng(2)
    _, rows, _ = short_video(picture, params, points, 5, rng, flip, head, out_of_plane=True, config=config)
    similarity, *_ = split(rows, head.model.identity_count)
    yaw = euler_from_matrix(pose_from_similarity(similarity)[0])[:, 1]
    steps = np.diff(yaw)
    np.testing.assert_allclose(steps, steps[0], atol=1e-3)
    assert abs(steps[0]) > 0.01


def test_without_motion_all_frames_are_the_still(head, sample):
    picture, params, points, flip = sample
    rng = np.random.default_rng(3)
    images, rows, landmarks = short_video(picture, params, points, 3, rng, flip, head, config=STILL)
    assert (images == images[0]).all()
    np.testing.assert_array_equal(rows, np.broadcast_to(params, rows.shape))
    np.testing.assert_allclose(landmarks, np.broadcast_to(points, landmarks.shape), atol=1e-6)


def test_pixels_move_with_the_landmarks(head):
    # A bright dot where a landmark is must stay under that landmark.
    n = 160
    dot = np.array([0.12, -0.08])
    center = (dot * 0.75 + 0.5) * n - 0.5
    y, x = np.mgrid[:n, :n]
    picture = (255 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / 8)).astype(np.uint8)
    picture = np.repeat(picture[..., None], 3, -1)
    params = join(similarity_from_pose(np.eye(3), 1 / 220, np.zeros(2)), np.zeros(80), np.zeros(52)).astype(
        np.float32
    )
    points = np.broadcast_to(dot, (478, 2)).astype(np.float32)
    flip = mediapipe_flip_index(head.model)
    config = ShortVideoConfig(noise=0, blur=0)
    images, _, landmarks = short_video(
        picture, params, points, 5, np.random.default_rng(4), flip, head, config=config
    )
    for image, mark in zip(images, landmarks[:, 0], strict=True):
        weight = image[..., 0].astype(float)
        gy, gx = np.mgrid[:120, :120]
        found = np.array([(weight * gx).sum(), (weight * gy).sum()]) / weight.sum()
        np.testing.assert_allclose(found, (mark + 0.5) * 120 - 0.5, atol=0.15)


def test_drift_is_smooth():
    views = in_plane(
        View(False, 1.0, 0.0, np.zeros(2)), 6, np.random.default_rng(0), ShortVideoConfig(shake=0)
    )
    roll = np.array([v.roll for v in views])
    np.testing.assert_allclose(np.diff(roll), roll[1] - roll[0], atol=1e-12)
    size = np.log([v.scale for v in views])
    np.testing.assert_allclose(np.diff(size), size[1] - size[0], atol=1e-12)


def test_motion_blur_smears_along_the_motion_and_keeps_brightness():
    picture = np.zeros((41, 41, 3), np.uint8)
    picture[20, 20] = 250
    blurred = motion_blur(picture, (9.0, 0.0)).astype(int)[..., 0]
    assert (blurred[20] > 0).sum() >= 9
    assert (blurred[:, 20] > 0).sum() == 1
    assert abs(blurred.sum() - 250) <= 10
    assert motion_blur(picture, (0.1, 0.1)) is picture


def test_noise_has_the_deviation_it_says():
    picture = np.full((160, 160, 3), 128, np.uint8)

    class Fixed:
        def random(self):
            return 1.0

        def integers(self, high):
            return 17

    spread = noise(picture, Fixed(), ShortVideoConfig(noise=8)).astype(float)
    assert abs(spread.std() - 8) < 0.4
    assert abs(spread.mean() - 128) < 0.5
