from dataclasses import replace

import numpy as np
import pytest
from refined_scene import FilmedHead, blotches, textured_head, truth_of

from steadyface.refine import bake
from steadyface.refine.bake import PICTURE_SIZE, bake_texture, take_picture
from steadyface.refine.unwrap import UVUnwrap

FRAMES = 6


@pytest.fixture(scope="module")
def head(tiny_model):
    truth = truth_of(textured_head(tiny_model), FRAMES)
    # Turns far, so that both cheeks are seen.
    turn = np.column_stack([np.zeros(FRAMES), np.linspace(-0.6, 0.6, FRAMES), np.zeros(FRAMES)])
    return FilmedHead([replace(truth, rotation=turn)])


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bake, "TEXTURE_SIZE", 96)


def pictures_of(head, track=None):
    track = track or head.truths[0]
    return [
        take_picture(head.frames[i], track.image_points(head.model.shape, i)[:, :2])
        for i in range(len(track))
    ]


def test_a_picture_is_the_part_of_the_frame_around_the_face():
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    picture = take_picture(image, np.array([[100, 60], [150, 160.0]]))
    assert picture.image.shape == (141, 91, 3)
    assert picture.offset.tolist() == [80, 40]
    assert picture.factor.tolist() == [1, 1]
    np.testing.assert_array_equal(picture.image, image[40:181, 80:171])
    # It does not keep the frame alive.
    assert picture.image.base is None


def test_large_pictures_are_reduced():
    image = np.zeros((1500, 1500, 3), np.uint8)
    picture = take_picture(image, np.array([[200, 300], [1100, 1000.0]]))
    assert max(picture.image.shape) == PICTURE_SIZE
    shown = np.array([1261, 1061])
    np.testing.assert_allclose(picture.factor, picture.image.shape[1::-1] / shown)
    assert picture.offset.tolist() == [20, 120]


@pytest.mark.parametrize("where", [(-900, 0), (900, 0), (0, -900), (0, 900), (-20, -20), (300, 220)])
def test_pictures_of_faces_at_the_border_lie_in_the_frame(where):
    image = np.zeros((240, 320, 3), np.uint8)
    picture = take_picture(image, np.add(where, [[0, 0], [60, 80.0]]))
    assert min(picture.image.shape[:2]) >= 2
    assert (picture.offset >= 0).all()
    assert (picture.offset + picture.image.shape[1::-1] <= [320, 240]).all()


def test_the_texture_is_that_of_the_face_under_no_light(head, small):
    texture = bake_texture(pictures_of(head), head.truths[0], head.light[0])
    assert texture.size == 96
    assert texture.color.dtype == np.uint8
    sure = texture.confidence > 0.6
    assert sure.mean() > 0.15
    truth = true_texture(texture.size)
    error = np.abs(texture.color.astype(float) - truth)[sure]
    assert np.median(error) < 8
    assert np.corrcoef(texture.color[sure].ravel(), truth[sure].ravel())[0, 1] > 0.95
    # Whatever was not seen is filled in and says so.
    unwrap = UVUnwrap(head.model, 96)
    surface = unwrap.image_of(np.ones(len(unwrap), bool))
    assert texture.color[surface].any(-1).all()
    assert texture.completed[surface & (texture.confidence == 0)].all()


def true_texture(size):
    """The texture that the head was filmed with, averaged over texels of another size."""
    import cv2

    return cv2.resize(blotches(), (size, size), interpolation=cv2.INTER_AREA).astype(float)


def test_reduced_pictures_give_the_same_texture(head, small, monkeypatch):
    whole = bake_texture(pictures_of(head), head.truths[0], head.light[0])
    monkeypatch.setattr(bake, "PICTURE_SIZE", 100)
    reduced = pictures_of(head)
    assert max(reduced[0].image.shape) == 100
    texture = bake_texture(reduced, head.truths[0], head.light[0])
    sure = (whole.confidence > 0.6) & (texture.confidence > 0.6)
    assert sure.sum() > 0.8 * (whole.confidence > 0.6).sum()
    assert np.median(np.abs(texture.color.astype(float) - whole.color)[sure]) < 12
    # Off by a pixel it would differ by more.
    off = [replace(p, offset=p.offset + 4) for p in reduced]
    other = bake_texture(off, head.truths[0], head.light[0])
    assert (
        np.abs(other.color.astype(float) - whole.color)[sure].mean()
        > 1.3 * np.abs(texture.color.astype(float) - whole.color)[sure].mean()
    )


def test_a_face_that_no_picture_shows_is_all_completed(head, small):
    truth = head.truths[0]
    away = replace(truth, translation=truth.translation + np.array([900, 0, 0]))
    texture = bake_texture(pictures_of(head, away), away, head.light[0])
    assert not texture.confidence.any()
    assert texture.color.shape == (96, 96, 3)


def test_darkness_does_not_become_texture(head, small):
    """Where hardly any light falls a frame says nothing: the texture of the others stays."""
    pictures = pictures_of(head)
    whole = bake_texture(pictures, head.truths[0], head.light[0])
    light = head.light[0].copy()
    light[2] = 0
    pictures[2] = replace(pictures[2], image=np.zeros_like(pictures[2].image))
    texture = bake_texture(pictures, head.truths[0], light)
    sure = (whole.confidence > 0.6) & (texture.confidence > 0.6)
    assert sure.any()
    assert np.median(np.abs(texture.color.astype(float) - whole.color)[sure]) < 4
