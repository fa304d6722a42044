from dataclasses import replace

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.refine.irradiance import BUMPS, RANGE, IrradianceBasis, VertexIrradiance, irradiance
from steadyface.render.shade import vertex_normals
from steadyface.rotation import matrix_from_axis_angle


@pytest.fixture(scope="module")
def basis(tiny_model):
    return IrradianceBasis.of(tiny_model)


def test_bumps_lie_on_the_face_and_fade_with_distance(basis, tiny_model):
    face = tiny_model.shape.mean[tiny_model.regions["face"]]
    assert len(basis) == 9 + BUMPS
    assert basis.prior.shape == (len(basis),)
    away = np.linalg.norm(basis.centers[:, None] - face, axis=-1)
    assert away.min(1).max() < 1e-4
    value = basis.bumps(face)
    assert value.shape == (len(face), BUMPS)
    assert value.dtype == np.float32
    assert value.min() >= 0
    assert value.sum(1).max() < 1 + 1e-5
    at_center = basis.bumps(basis.centers)
    assert (at_center.argmax(1) == np.arange(BUMPS)).all()
    assert basis.bumps(basis.centers[:1] + np.array([0, 0, 500])).max() < 1e-6


def test_a_model_without_regions_has_bumps_all_over(tiny_model):
    bare = IrradianceBasis.of(replace(tiny_model, regions={}))
    assert bare.centers[:, 2].max() > tiny_model.shape.mean[tiny_model.regions["face"], 2].max() + 20


def test_irradiance_is_linear_within_its_range(basis, tiny_model):
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    b = basis(normals, basis.bumps(tiny_model.shape.mean[:50]))
    light = 0.1 * rng.normal(size=(len(basis), 3))
    light[0] += 1
    colors = irradiance(b, light)
    assert colors.shape == (50, 3)
    for k in range(3):
        np.testing.assert_allclose(irradiance(b, light[:, k]), colors[:, k])
    np.testing.assert_allclose(colors, b @ light, rtol=1e-6)
    assert irradiance(b, -9 * light[:, 0]).min() == RANGE[0]
    assert irradiance(b, 90 * light[:, 0]).max() == RANGE[1]


def test_light_stays_with_the_camera_as_the_head_turns(tiny_model):
    shine, light = VertexIrradiance(tiny_model), np.zeros(9 + BUMPS)
    # Bright where normals look to the left of the image.
    light[[0, 1]] = 1.0, -0.8
    turn = matrix_from_axis_angle(np.array([0.1, 0.9, 0.0]))
    vertices = tiny_model.shape.mean @ turn.T + [0, 0, 600]
    found = shine(vertices, light)
    assert found.shape == (tiny_model.vertex_count,)
    normals = vertex_normals(vertices, tiny_model.triangles)
    np.testing.assert_allclose(found, np.clip(1 - 0.8 * normals[:, 0], *RANGE), atol=1e-5)


def test_bumps_stay_with_the_face(tiny_model):
    shine, light = VertexIrradiance(tiny_model), np.zeros(9 + BUMPS)
    light[0], light[12] = 1.0, -0.5
    turn = matrix_from_axis_angle(np.array([0.1, 0.9, 0.0]))
    here, there = (shine(tiny_model.shape.mean @ r.T, light) for r in (np.eye(3), turn))
    np.testing.assert_allclose(here, there, atol=1e-5)
    assert here.min() < 0.75


def test_another_number_of_coefficients_is_refused(tiny_model):
    with pytest.raises(InputError, match=r"light has \(33,\) coefficients; got \(9,\)"):
        VertexIrradiance(tiny_model)(tiny_model.shape.mean, np.ones(9))
