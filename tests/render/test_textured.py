from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from textured_head import SIZE, pattern, textured, turning

from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.render.textured import face_triangles, render_textured


@pytest.fixture(scope="module")
def model(tiny_model):
    return textured(tiny_model)


def of(color, model):
    return SimpleNamespace(color=color, uv=model.uv)


def test_a_window_is_a_part_of_the_whole(model):
    track = turning(model, np.array([0.3]))
    texture = of(pattern(64), model)
    image, mask = render_textured(track, 0, texture)
    part, part_mask = render_textured(track, 0, texture, window=(40, 50, 70, 60))
    assert image.shape == (*SIZE[::-1], 3)
    assert mask.any()
    same = part_mask == mask[50:110, 40:110]
    assert same.mean() > 0.999
    # Pixels on an edge may fall to either triangle.
    assert np.percentile(np.abs(part - image[50:110, 40:110]), 99.5) < 1


def test_irradiance_multiplies(model):
    track = turning(model, np.array([0.0]))
    texture = of(np.full((64, 64, 3), 100, np.uint8), model)
    plain, mask = render_textured(track, 0, texture)
    np.testing.assert_allclose(plain[mask], 100)
    lit, _ = render_textured(track, 0, texture, irradiance=np.full((model.vertex_count, 3), [0.5, 1, 4.0]))
    np.testing.assert_allclose(lit[mask], np.tile([50, 100, 255.0], (mask.sum(), 1)), rtol=1e-4)
    grey, _ = render_textured(track, 0, texture, irradiance=np.full(model.vertex_count, 0.5))
    np.testing.assert_allclose(grey[mask], 50, rtol=1e-4)
    with pytest.raises(InputError, match="irradiance is of every vertex"):
        render_textured(track, 0, texture, irradiance=np.ones(3))


def test_a_fine_texture_is_averaged_not_skipped(model):
    track = turning(model, np.array([0.0]))
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3)).astype(np.uint8)
    image, mask = render_textured(track, 0, of(noise, model))
    assert image[mask].std() < 35
    assert image[mask].mean() == pytest.approx(127.5, abs=3)


def test_the_face_of_the_embedded_model_has_eyes_and_mouth_but_no_skull():
    model = load_face_model()
    face = face_triangles(model)
    inside = {n: face[model.regions[n][model.triangles].all(1)].mean() for n in model.regions}
    for name in ("face", "eyeball_left", "eyeball_right", "mouth", "tongue"):
        assert inside[name] == 1
    assert inside["ears"] == 0
    assert inside["neck"] == 0
    assert face.mean() < 0.8


def test_a_model_without_regions_is_all_face(model):
    assert face_triangles(replace(model, regions={})).all()
