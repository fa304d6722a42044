import numpy as np
import pytest

from steadyface.align.crop import ANCHOR_MM, SIDE_MM, Crop
from steadyface.learn.detector_data import (
    Composer,
    CompositeSettings,
    Portrait,
    crops_from_landmarks,
    heat_target,
    similarity,
)
from steadyface.learn.detector_ring import cut_window
from steadyface.rotation import matrix_from_euler
from steadyface.synthesis.backgrounds import BackgroundPool


def head_shape(rng):
    """478 points scattered evenly about x = 0, mm."""
    half = rng.normal(0, 40, (239, 3))
    return np.vstack([half, half * (-1, 1, 1)])


def portrait(rng):
    size = 120
    y, x = np.mgrid[:size, :size]
    image = np.stack([x, y, 0 * x], -1).astype(np.uint8)
    points = np.array([60, 60]) + rng.uniform(-25, 25, (478, 2))
    return Portrait(image, points.astype(np.float32), np.array([60.0, 60.0]), 60.0, np.eye(3), 1.0)


def test_similarity_recovers_rotation_scale_and_offset_also_of_mirror_like_noise():
    rng = np.random.default_rng(0)
    source = rng.normal(0, 1, (6, 20, 3))
    rotation = matrix_from_euler(rng.normal(0, 1, (6, 3)))
    scale, offset = rng.uniform(0.5, 3, 6), rng.normal(0, 5, (6, 3))
    target = scale[:, None, None] * source @ np.swapaxes(rotation, -1, -2) + offset[:, None]
    r, s, t = similarity(source, target)
    np.testing.assert_allclose(r, rotation, atol=1e-9)
    np.testing.assert_allclose(s, scale)
    np.testing.assert_allclose(t, offset, atol=1e-9)
    r, _, _ = similarity(source, source * (-1, 1, 1))
    np.testing.assert_allclose(np.linalg.det(r), 1)


def test_crops_from_landmarks_are_those_of_the_pose():
    rng = np.random.default_rng(1)
    shape = head_shape(rng)
    for euler in rng.normal(0, 0.4, (8, 3)):
        rotation, scale, offset = matrix_from_euler(euler), rng.uniform(0.3, 2), rng.uniform(50, 200, 2)
        xyz = scale * shape @ rotation.T + (*offset, 0)
        center, side, found = crops_from_landmarks(xyz[None], shape)
        expected = Crop.from_pose(rotation, scale, offset)
        np.testing.assert_allclose(center[0], expected.center)
        assert side[0] == pytest.approx(expected.side)
        np.testing.assert_allclose(found[0], rotation, atol=1e-9)


def test_depth_in_another_unit_changes_neither_scale_nor_place_of_a_frontal_face():
    # Symmetric both ways, so that stretching the depth turns nothing.
    quarter = np.random.default_rng(2).normal(0, 40, (120, 3))
    shape = np.vstack([quarter * (x, y, 1) for x in (-1, 1) for y in (-1, 1)])
    deep = shape * (1.5, 1.5, 2.5) + (30, 40, 7)
    center, side, _ = crops_from_landmarks(deep[None], shape)
    np.testing.assert_allclose(center[0], 1.5 * np.array(ANCHOR_MM[:2]) + (30, 40))
    assert side[0] == pytest.approx(1.5 * SIDE_MM)


def test_composites_put_the_faces_where_the_labels_say():
    # The portrait's colours are its own coordinates, so that every pasted pixel tells where it came from.
    rng = np.random.default_rng(3)
    settings = CompositeSettings(hard_negatives=0, occluders=0, smallest_side=60)
    composer = Composer([portrait(rng)], settings, backgrounds=4)
    checked = 0
    for _ in range(40):
        canvas, taken = np.full((256, 256, 3), 255, np.uint8), np.zeros((256, 256), np.uint8)
        face = composer._paste_face(rng, canvas, taken, False)
        if face is None or not face[5]:
            continue
        x, y = np.round(face[:2]).astype(int)
        if not (4 < x < 250 and 4 < y < 250) or canvas[y, x, 2] > 0:
            continue
        # Gains change the colours' scale but not the ratio's sign; the face's centre holds x = y = 60.
        values = canvas[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(float).mean(0)
        assert 25 < values[0] < 140
        assert 25 < values[1] < 140
        checked += 1
    assert checked > 8


def test_composites_are_reproducible_and_hold_at_most_four_faces():
    rng = np.random.default_rng(4)
    composer = Composer([portrait(rng) for _ in range(3)], backgrounds=6)
    counts = []
    for seed in range(12):
        image, faces = composer.draw(np.random.default_rng(seed), 128, 160)
        again, same = composer.draw(np.random.default_rng(seed), 128, 160)
        np.testing.assert_array_equal(faces, same)
        assert image.shape == (128, 160, 3)
        assert again.dtype == np.uint8
        counts.append(len(faces))
    assert max(counts) <= 4
    assert len(set(counts)) > 1


def test_backgrounds_of_every_kind_have_the_size_asked_for():
    rng = np.random.default_rng(5)
    pool = BackgroundPool([portrait(rng)], rng, 40)
    for height, width in ((64, 96), (256, 160)):
        assert pool.draw(rng, height, width).shape == (height, width, 3)


def test_heat_target_marks_the_cell_of_the_centre_and_its_offset_leads_there():
    x, y, side, roll = 101.0, 60.0, 90.0, 0.7
    heat, valid, geometry, weight = heat_target(np.array([[x, y, side, roll, 1, 1]]), 128, 192)
    assert heat.shape == (16, 24)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row, column) == (7, 12)
    assert (heat == 1).sum() == 1
    assert valid.all()
    for r, c in np.argwhere(weight > 0):
        np.testing.assert_allclose(c * 8 + 3.5 + 8 * geometry[0, r, c], x, rtol=1e-5)
        np.testing.assert_allclose(r * 8 + 3.5 + 8 * geometry[1, r, c], y, rtol=1e-5)
    np.testing.assert_allclose(
        geometry[2:, row, column], (np.log(side), np.cos(roll), np.sin(roll)), rtol=1e-5
    )


def test_a_face_that_does_not_count_is_neither_asked_for_nor_denied():
    heat, valid, _, weight = heat_target(np.array([[64, 64, 40, 0, 0.3, 0]]), 128, 128)
    assert heat.max() == 0
    assert weight.max() == 0
    assert valid[8, 8] == 0
    assert valid[0, 0] == 1


def test_cut_window_moves_faces_and_stops_counting_those_cut_off():
    image = np.arange(256 * 256 * 3, dtype=np.uint32).reshape(256, 256, 3)
    faces = np.array([[100, 120, 60, 0.1, 1, 1], [250, 30, 60, 0, 1, 1], [0, 0, 0, 0, 0, 0]], np.float32)
    window, moved = cut_window(image, faces, 48, 0, 160, 256)
    np.testing.assert_array_equal(window, image[48:208])
    np.testing.assert_allclose(moved[0], (100, 72, 60, 0.1, 1, 1))
    assert len(moved) == 2
    assert moved[1, 5] == 0


def test_portraits_anchor_and_side_are_those_of_the_crop():
    # The label's constants come from one place; a face looking straight ahead shows both.
    shape = head_shape(np.random.default_rng(6))
    center, side, _ = crops_from_landmarks(shape[None] * 2.0 + (10, 20, 0), shape)
    np.testing.assert_allclose(center[0], np.array(ANCHOR_MM[:2]) * 2 + (10, 20))
    assert side[0] == pytest.approx(2 * SIDE_MM)
