import pickle
import sys

import h5py
import numpy as np
import pytest
import scipy.io
from model_files import (
    STD,
    bfm2009_expression,
    bfm2009_shape,
    nearest_vertices,
    write_3ddfa_v2,
    write_bfm2009,
    write_bfm2017,
)

import steadyface as sf
from steadyface.errors import InputError
from steadyface.face_model.bfm import read_3ddfa_pickle, read_bfm_h5, read_bfm_mat
from steadyface.fit.image import FitConfig, fit_image

AXES = np.array([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def landmarks(person):
    return nearest_vertices(person)


@pytest.fixture(scope="module")
def shape_entries(person):
    return bfm2009_shape(person)


@pytest.fixture(scope="module")
def expression_entries(person):
    return bfm2009_expression(person)


@pytest.fixture
def bfm2009(person, tmp_path):
    return write_bfm2009(tmp_path, person)


def test_bfm_2009_is_read_exactly_and_has_no_expression(bfm2009, person):
    foreign = read_bfm_mat(bfm2009)
    np.testing.assert_allclose(foreign.mean, person.mean * 1e3, rtol=1e-12)
    np.testing.assert_allclose(foreign.identity, person.identity * 1e3, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(foreign.triangles, person.triangles[:, ::-1])
    model = sf.load_face_model(bfm2009)
    assert (model.name, model.identity_count, model.expression_count) == ("bfm2009", 6, 0)
    # Eyes are found by laying the embedded head on it.
    wanted = (person.mean - person.eyes) * AXES
    assert np.abs(model.shape(np.zeros(6), np.zeros(0)) - wanted).max() < 1.0
    shape = model.landmarks("mediapipe478")
    fit = fit_image(shape.mean[:, :2] * 3 + 200, shape)
    assert fit.residual < 0.1
    # Turned over, they face outward like the embedded model's.
    np.testing.assert_array_equal(model.triangles, person.triangles)


def test_3ddfa_expression_lies_beside_the_shape(
    bfm2009, expression_entries, shape_entries, person, landmarks
):
    scipy.io.savemat(bfm2009.parent / "Model_Exp.mat", expression_entries)
    names = {"mu_shape": "shapeMU", "w": "shapePC", "sigma": "shapeEV", "tri": "tl"}
    entries = {k: shape_entries[v] for k, v in names.items()} | {"keypoints": landmarks[None] + 1}
    entries["tri"] = entries["tri"].T
    scipy.io.savemat(bfm2009.parent / "Model_Shape.mat", entries)
    for path in (bfm2009, bfm2009.parent / "Model_Shape.mat"):
        foreign = read_bfm_mat(path)
        np.testing.assert_allclose(foreign.mean, person.mean * 1e3 + 500, rtol=1e-12)
        np.testing.assert_allclose(foreign.expression, person.expression * 1e3, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(foreign.triangles, person.triangles[:, ::-1])
    model = sf.load_face_model(path)
    # The key points are the model's own, not carried over.
    np.testing.assert_array_equal(model.landmarks("ibug68").mean, model.shape.mean[landmarks])
    np.testing.assert_array_equal(model.shape.bounds, [[-4, 4]] * 4)
    away = np.linalg.norm(
        model.landmarks("mediapipe478").mean - (person.points["mediapipe478"] - person.eyes) * AXES, axis=1
    )
    assert np.median(away) < 1.5


def test_the_fit_finds_the_coefficients_of_a_loaded_model(bfm2009, expression_entries):
    scipy.io.savemat(bfm2009.parent / "Model_Exp.mat", expression_entries)
    model = sf.load_face_model(bfm2009)
    shape = model.landmarks("mediapipe478")
    rng = np.random.default_rng(0)
    identity, expression = rng.normal(0, 1, (3, 6)), rng.normal(0, 1, (3, 4))
    points = shape(identity, expression)[..., :2] * 2 + 300
    fit = fit_image(points, shape, config=FitConfig(point_sigma_mm=0.01))
    np.testing.assert_allclose(fit.project(shape), points, atol=0.05)
    np.testing.assert_allclose(fit.identity, identity, atol=0.1)
    np.testing.assert_allclose(fit.expression, expression, atol=0.1)


def test_a_whole_bfm_is_trimmed_to_3ddfas_vertices(bfm2009, expression_entries, person, landmarks):
    kept = np.sort(np.random.default_rng(1).permutation(len(person.mean))[:-40])
    rows = (3 * kept[:, None] + np.arange(3)).ravel()
    fewer = {k: v[rows] if len(v) > 6 else v for k, v in expression_entries.items()}
    scipy.io.savemat(bfm2009.parent / "Model_Exp.mat", fewer)
    with pytest.raises(InputError, match=r"model_info\.mat of 3DDFA beside it"):
        read_bfm_mat(bfm2009)
    scipy.io.savemat(bfm2009.parent / "model_info.mat", {"trimIndex": kept[:, None] + 1})
    foreign = read_bfm_mat(bfm2009)
    np.testing.assert_allclose(foreign.mean, person.mean[kept] * 1e3 + 500, rtol=1e-12)
    np.testing.assert_allclose(foreign.identity, person.identity[:, kept] * 1e3, rtol=1e-9, atol=1e-9)
    whole = person.triangles[np.isin(person.triangles, kept).all(1)][:, ::-1]
    np.testing.assert_array_equal(kept[foreign.triangles], whole)


def test_bfm_2017_is_read_exactly(tmp_path, person):
    path = write_bfm2017(tmp_path / "model2017-1_face12_nomouth.h5", person)
    foreign = read_bfm_h5(path)
    np.testing.assert_allclose(foreign.mean, person.mean + 0.5, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(foreign.identity, person.identity, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(foreign.expression, person.expression, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(foreign.triangles, person.triangles)
    model = sf.load_face_model(path)
    rng = np.random.default_rng(0)
    a, e = rng.normal(0, 1, 6), rng.normal(0, 1, 4)
    wanted = person.mean + 0.5 + np.tensordot(a, person.identity, 1) + np.tensordot(e, person.expression, 1)
    wanted = (wanted - person.eyes - 0.5) * AXES
    assert np.abs(model.shape(a, e) - wanted).max() < 1.0  # the eyes are found, not given
    assert np.ptp(model.shape(a, e) - wanted, axis=0).max() < 1e-3
    shape = model.landmarks("ibug68")
    fit = fit_image(shape(a, e)[:, :2] * 2 + 300, shape, config=FitConfig(point_sigma_mm=0.01))
    np.testing.assert_allclose(fit.expression, e, atol=0.2)
    assert (
        read_bfm_h5(write_bfm2017(tmp_path / "neutral.h5", person, expression=False)).expression.shape[0] == 0
    )


@pytest.fixture
def v2(person, tmp_path):
    return write_3ddfa_v2(tmp_path, person)


def test_3ddfa_v2_is_read_exactly(v2, person, landmarks):
    path, entries, middle, std = v2
    foreign = read_3ddfa_pickle(path)
    rng = np.random.default_rng(1)
    a, e = rng.normal(0, 1, 40), rng.normal(0, 1, 10)
    alpha = middle + std * np.concatenate([np.zeros(12), a, e])
    wanted = entries["u"][:, 0] + entries["w_shp"] @ alpha[12:52] + entries["w_exp"] @ alpha[52:]
    got = foreign.mean + np.tensordot(a, foreign.identity, 1) + np.tensordot(e, foreign.expression, 1)
    np.testing.assert_allclose(got.ravel(), wanted, rtol=1e-4, atol=1e-1)  # micrometres
    np.testing.assert_array_equal(foreign.triangles, person.triangles)
    model = sf.load_face_model(path)
    assert (model.name, model.identity_count, model.expression_count) == ("3ddfa_v2", 40, 10)
    np.testing.assert_array_equal(model.landmarks("ibug68").mean, model.shape.mean[landmarks])
    fewer = person.triangles[:-5]
    (path.parent / "tri.pkl").write_bytes(pickle.dumps(fewer, 4))
    np.testing.assert_array_equal(read_3ddfa_pickle(path).triangles, fewer)
    (path.parent / "param_mean_std_62d_120x120.pkl").unlink()
    with pytest.raises(InputError, match=r"put param_mean_std_62d_120x120\.pkl of 3DDFA_V2 beside it"):
        sf.load_face_model(path)


def test_what_is_missing_or_broken_is_named(tmp_path, person, shape_entries, v2):
    for key in ("shapeMU", "shapePC", "shapeEV", "tl"):
        scipy.io.savemat(tmp_path / "m.mat", {k: v for k, v in shape_entries.items() if k != key})
        with pytest.raises(InputError, match=rf"m\.mat lacks '{key}'"):
            sf.load_face_model(tmp_path / "m.mat")
    scipy.io.savemat(tmp_path / "m.mat", shape_entries | {"shapeEV": STD[:3]})
    with pytest.raises(InputError, match="6 components need as many deviations"):
        sf.load_face_model(tmp_path / "m.mat")
    scipy.io.savemat(tmp_path / "m.mat", shape_entries)
    whole = write_bfm2017(tmp_path / "m.h5", person)
    for path in (tmp_path / "m.mat", whole, v2[0]):
        data = path.read_bytes()
        for part in (0, 100, len(data) // 2):
            path.write_bytes(data[:part])
            with pytest.raises(InputError) as error:
                sf.load_face_model(path)
            assert path.name in str(error.value)
            assert "\n" not in str(error.value)
    with h5py.File(whole, "w") as f:
        f["shape/model/mean"] = np.zeros(9)
    with pytest.raises(InputError, match=r"m\.h5 lacks 'shape/model/pcaBasis'"):
        sf.load_face_model(whole)


@pytest.mark.parametrize(("name", "package"), [("m.mat", "scipy"), ("m.h5", "h5py")])
def test_the_extra_is_named_where_a_package_is_missing(tmp_path, monkeypatch, name, package):
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        InputError, match=rf"needs {package}: install it with pip install 'steadyface\[models\]'"
    ):
        sf.load_face_model(tmp_path / name)
