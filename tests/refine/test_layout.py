from dataclasses import replace

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.refine.layout import texture_layout
from steadyface.render.rasterize import rasterize


def areas(uv, triangles):
    a, b, c = (uv[triangles[:, k]].astype(float) for k in range(3))
    e, f = b - a, c - a
    return (e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]) / 2


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def test_nothing_overlaps_and_nothing_turns_over(model):
    uv = texture_layout(model)
    assert uv.min() >= 0
    assert uv.max() <= 1
    before, after = areas(model.uv, model.uv_triangles), areas(uv, model.uv_triangles)
    assert (np.sign(before) == np.sign(after)).all()
    size = 512
    flat = np.column_stack([uv * size - 0.5, np.zeros(len(uv))])
    covered = rasterize(flat, model.uv_triangles, (size, size)).mask.sum()
    assert covered == pytest.approx(np.abs(after).sum() * size**2, rel=0.01)


def test_the_face_and_the_eyes_get_more_texels(model):
    before, after = (np.abs(areas(uv, model.uv_triangles)) for uv in (model.uv, texture_layout(model)))
    face = model.regions["face"][model.triangles].all(1)
    eye = model.regions["eyeball_right"][model.triangles].all(1)
    assert after[face].sum() > 3 * before[face].sum()
    assert after[eye].sum() > 20 * before[eye].sum()


def test_a_model_without_regions_keeps_its_places(tiny_model):
    uv = texture_layout(tiny_model)
    order = np.argsort(tiny_model.uv[:, 1], kind="stable")
    assert (np.diff(uv[order, 1]) >= 0).all()


def test_a_model_without_texture_coordinates_is_refused(tiny_model):
    bare = replace(tiny_model, uv=np.zeros((0, 2)), uv_triangles=np.zeros((0, 3), int))
    with pytest.raises(InputError, match="has no texture coordinates"):
        texture_layout(bare)
