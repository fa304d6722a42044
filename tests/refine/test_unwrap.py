from dataclasses import replace

import numpy as np
import pytest
from textured_head import SIZE, pattern, pictures, textured, turning

from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.refine.unwrap import UVUnwrap


@pytest.fixture(scope="module")
def model(tiny_model):
    return textured(tiny_model)


@pytest.fixture(scope="module")
def unwrap(model):
    return UVUnwrap(model, 64)


def test_every_texel_lies_where_its_triangle_says(unwrap, model):
    y, x = np.divmod(unwrap.texel, unwrap.size)
    corners = unwrap.uv[model.uv_triangles[unwrap.triangle]]
    at = (corners * unwrap.barycentric[..., None]).sum(1) * unwrap.size - 0.5
    np.testing.assert_allclose(at, np.stack([x, y], -1), atol=2e-2)


def test_the_mirror_image_of_a_texel_lies_on_the_other_side(unwrap, model):
    place = unwrap.at_texels(model.shape.mean)
    known = np.isfinite(unwrap.mirror[:, 0])
    assert known.mean() > 0.8
    image = unwrap.image_of(np.concatenate([place, np.ones((len(place), 1), np.float32)], 1))
    column, line = np.rint(unwrap.mirror[known]).astype(int).T
    there = image[line, column]
    there, here = there[there[:, 3] > 0, :3], place[known][there[:, 3] > 0]
    # Up to the rounding to a texel.
    assert np.abs(there * [-1, 1, 1] - here).max() < 16
    assert np.abs(there * [-1, 1, 1] - here).mean() < 3


def test_the_embedded_model_mirrors_exactly():
    model = load_face_model()
    unwrap = UVUnwrap(model, 128)
    known = np.isfinite(unwrap.mirror[:, 0])
    # All but a sphere of which only the left side has one.
    assert known.mean() > 0.97
    # On the outer piece the layout is symmetric, so that the mirror image is too.
    skin = known & (model.regions["nose"] & model.regions["outer"])[model.triangles].all(1)[unwrap.triangle]
    y, x = np.divmod(unwrap.texel[skin], unwrap.size)
    away = np.abs(unwrap.mirror[skin] - np.stack([unwrap.size - 1 - x, y], -1))
    assert np.percentile(away, 99) < 0.1


@pytest.mark.parametrize("focal", [500.0, None])
def test_a_picture_gives_its_texture_back(unwrap, model, focal):
    track = turning(model, np.array([0.0, 0.5]), focal)
    color = pattern(unwrap.size)
    wanted = color.reshape(-1, 3)[unwrap.texel].astype(float)
    for row, image in enumerate(pictures(track, color, unwrap.uv)):
        seen = unwrap.unwrap(image, track, row)
        error = np.abs(seen.color - wanted[seen.index]).max(1)
        assert len(seen.index) > 0.2 * len(unwrap)
        assert (np.diff(seen.index) > 0).all()
        assert np.percentile(error[seen.weight > 0.1], 99) < 6
        assert error[seen.weight > 0.3].max() < 12


def test_weight_falls_with_the_angle_and_is_none_behind(unwrap, model):
    track = turning(model, np.array([0.0]))
    seen = unwrap.unwrap(pictures(track, pattern(64), unwrap.uv)[0], track, 0)
    weight = np.zeros(len(unwrap))
    weight[seen.index] = seen.weight
    place = unwrap.at_texels(model.shape.mean)
    assert weight[place[:, 2] > 95].max() == 0
    front = (np.abs(place[:, 0]) < 15) & (np.abs(place[:, 1] - 20) < 30) & (place[:, 2] < 60)
    side = (np.abs(place[:, 0]) > 45) & (np.abs(place[:, 1] - 20) < 30) & (place[:, 2] < 60)
    assert weight[front].min() > 1.5 * weight[side].max() > 0


def test_what_the_nose_hides_is_not_seen(unwrap, model):
    ridge = model.shape.mean.copy()
    # A wall in the middle of the face, 60 mm high.
    ridge[(np.abs(ridge[:, 0]) < 15) & (ridge[:, 2] < 60), 2] -= 60
    walled = replace(model, shape=replace(model.shape, mean=ridge))
    unwrap = UVUnwrap(walled, 64)
    track = turning(walled, np.array([0.6]))
    color = np.full((64, 64, 3), 120, np.uint8)
    place = unwrap.at_texels(model.shape.mean)
    # What is red lies right behind the wall as seen from there.
    hidden = (np.abs(place[:, 1] - 20) < 40) & (place[:, 2] < 40)
    seen = unwrap.unwrap(pictures(track, color, unwrap.uv)[0], track, 0)
    left, right = (hidden & (side * place[:, 0] > 18) for side in (1, -1))
    shares = sorted(np.isin(np.flatnonzero(m), seen.index).mean() for m in (left, right))
    assert shares[0] < 0.3
    assert shares[1] > 0.8


def test_outside_the_image_nothing_is_seen(unwrap, model):
    track = turning(model, np.array([0.0]))
    half = replace(track, translation=track.translation + np.array([80 / 0.7, 0, 0]))
    whole_image, half_image = (pictures(t, pattern(64), unwrap.uv)[0] for t in (track, half))
    whole, part = unwrap.unwrap(whole_image, track, 0), unwrap.unwrap(half_image, half, 0)
    assert 0.2 * len(whole.index) < len(part.index) < 0.7 * len(whole.index)
    away = replace(track, translation=track.translation + np.array([1000, 0, 0]))
    assert len(unwrap.unwrap(np.zeros((*SIZE[::-1], 3), np.uint8), away, 0).index) == 0


def test_a_large_picture_is_averaged_not_skipped(model):
    """Where a texel covers many pixels, noise in them is averaged away."""
    unwrap = UVUnwrap(model, 16)
    track = turning(model, np.array([0.0]))
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3)).astype(np.uint8)
    assert unwrap.unwrap(noise, track, 0).color.std() < 35


def test_what_does_not_fit_is_refused(unwrap, model):
    track = turning(model, np.array([0.0]))
    with pytest.raises(InputError, match="as it was tracked"):
        unwrap.unwrap(np.zeros((50, 60, 3), np.uint8), track, 0)
    with pytest.raises(InputError, match="at least 8 texels"):
        UVUnwrap(model, 4)
