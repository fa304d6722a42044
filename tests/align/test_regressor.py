import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steadyface.align.alignment import decode_params, encode_params
from steadyface.align.crop import SIDE_MM, Crop
from steadyface.align.regressor import Regressor
from steadyface.errors import InputError


def write_network(path, params, metadata):
    """A network whose every answer is `params`, plus the crop's mean colour over 255 as the confidence."""
    count = len(params)
    constants = {
        "mean_axes": np.array([1, 2, 3]),
        "zero": np.array(0.0, np.float32),
        "top": np.array(255.0, np.float32),
        "p": params.astype(np.float32)[None],
        "s": np.full((1, 68), np.log(0.02), np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "mean_axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "top"], ["confidence"]),
        helper.make_node("Mul", ["mean", "zero"], ["nil"]),
        helper.make_node("Unsqueeze", ["nil", "one"], ["column"]),
        helper.make_node("Add", ["column", "p"], ["params"]),
        helper.make_node("Add", ["column", "s"], ["log_sigma"]),
    ]
    constants["one"] = np.array([1])
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 120, 120])],
        [
            helper.make_tensor_value_info("params", TensorProto.FLOAT, ["n", count]),
            helper.make_tensor_value_info("log_sigma", TensorProto.FLOAT, ["n", 68]),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["n"]),
        ],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(network, metadata)
    onnx.save(network, str(path))
    return path


@pytest.fixture
def params(tiny_model):
    rng = np.random.default_rng(0)
    crop = Crop(np.zeros(2), 1.0)
    identity = rng.normal(size=tiny_model.identity_count)
    expression = rng.uniform(0, 1, tiny_model.expression_count)
    return encode_params(np.eye(3), 1 / SIDE_MM, np.array([0.05, -0.1]), identity, expression, crop)


GOOD = {"face_model": "tiny", "crop_side_mm": str(SIDE_MM)}


def test_each_crop_gets_its_own_answer(tiny_model, params, tmp_path):
    regressor = Regressor(tiny_model, write_network(tmp_path / "a.onnx", params, GOOD))
    image = np.full((100, 100, 3), 51, np.uint8)
    crops = [Crop(np.array([30.0, 40.0]), 50.0), Crop(np.array([60.0, 20.0]), 30.0, 0.5)]
    found = regressor(image, crops)
    assert len(found) == 2
    for alignment, crop in zip(found, crops, strict=True):
        rotation, scale, translation, identity, expression = decode_params(params, crop, 6)
        np.testing.assert_allclose(alignment.rotation_matrix, rotation, atol=1e-6)
        np.testing.assert_allclose(alignment.translation, translation, atol=1e-4)
        np.testing.assert_allclose(alignment.identity, identity, atol=1e-6)
        np.testing.assert_allclose(alignment.expression, expression, atol=1e-6)
        np.testing.assert_allclose(alignment.landmark_sigma, 0.02 * crop.side, rtol=1e-5)
        assert alignment.scale == pytest.approx(scale, rel=1e-5)
        assert alignment.confidence == pytest.approx(0.2)


def test_no_crops_no_answers(tiny_model, params, tmp_path):
    regressor = Regressor(tiny_model, write_network(tmp_path / "a.onnx", params, GOOD))
    assert regressor(np.zeros((5, 5, 3), np.uint8), []) == []


def test_a_missing_or_broken_network_is_named(tiny_model, tmp_path):
    with pytest.raises(InputError, match="is missing: install"):
        Regressor(tiny_model, tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="onnxruntime can read"):
        Regressor(tiny_model, tmp_path / "bad.onnx")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({**GOOD, "face_model": "other"}, "face_model other, this steadyface needs tiny"),
        ({**GOOD, "crop_side_mm": "200"}, "crop_side_mm 200"),
        ({}, "face_model nothing"),
    ],
)
def test_a_network_for_something_else_is_refused(tiny_model, params, tmp_path, metadata, message):
    with pytest.raises(InputError, match=message):
        Regressor(tiny_model, write_network(tmp_path / "a.onnx", params, metadata))


def test_a_network_of_another_size_is_refused(tiny_model, params, tmp_path):
    with pytest.raises(InputError, match="21 parameters, the face model tiny has 22"):
        Regressor(tiny_model, write_network(tmp_path / "a.onnx", params[:-1], GOOD))
