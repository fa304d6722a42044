import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steadyface.align.crop import SIDE_MM, Crop
from steadyface.align.uv_flow import DenseAligner
from steadyface.errors import InputError

SIZE, STEP = 32, (3.0, -2.0)


def write_network(path, vertices, metadata=None, guess=True):
    """A network that moves every guess by `STEP` pixels; sigma is the picture's mean green."""
    n = len(vertices)
    constants = {"step": np.array([[STEP]], np.float32), "axes": np.array([2, 3]), "green": np.array([1])}
    constants["zeros"] = np.zeros((1, n), np.float32)
    nodes = [
        helper.make_node("Add", ["guess" if guess else "fixed", "step"], ["position"]),
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gather", ["mean", "green"], ["one"], axis=1),
        helper.make_node("Add", ["one", "zeros"], ["sigma"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])]
    if guess:
        inputs.append(helper.make_tensor_value_info("guess", TensorProto.FLOAT, ["N", n, 2]))
    else:
        constants["fixed"] = np.zeros((1, n, 2), np.float32)
    outputs = [
        helper.make_tensor_value_info("position", TensorProto.FLOAT, ["N", n, 2]),
        helper.make_tensor_value_info("sigma", TensorProto.FLOAT, ["N", n]),
    ]
    graph = helper.make_graph(
        nodes, "step", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    known = {"face_model": "tiny", "crop_side_mm": str(SIDE_MM), "vertices": json.dumps(list(vertices))}
    helper.set_model_props(network, known | (metadata or {}))
    onnx.save(network, str(path))
    return path


VERTICES = [3, 50, 7, 120]


def test_answers_are_in_image_pixels(tiny_model, tmp_path):
    align = DenseAligner(tiny_model, path=write_network(tmp_path / "a.onnx", VERTICES))
    assert align.vertices.tolist() == VERTICES
    np.testing.assert_array_equal(align.shape.mean, tiny_model.shape.mean[VERTICES])
    crop = Crop(np.array([40.0, 30.0]), 64.0, 0.3)
    image = np.zeros((60, 80, 3), np.uint8)
    image[..., 1] = 5
    guess = crop.center + np.random.default_rng(0).uniform(-20, 20, (4, 2))
    found = align(image, guess, crop)
    # Three pixels of the picture right and two up, in a crop twice as large that is turned.
    expected = guess + 2 * crop.rotation @ np.array(STEP)
    np.testing.assert_allclose(found.points, expected, atol=1e-4)
    np.testing.assert_allclose(found.sigma, 2 * 5, rtol=1e-6)


def test_an_image_turned_and_enlarged_gives_the_same(tiny_model, tmp_path):
    align = DenseAligner(tiny_model, path=write_network(tmp_path / "a.onnx", VERTICES))
    image = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    guess = np.array([[40.0, 30], [50, 60], [20, 44], [44, 44]])
    crop = Crop(np.array([44.5, 44.5]), 60.0, 0.1)
    plain = align(image, guess, crop)
    quarter = np.pi / 2
    turned = Crop(crop.center, crop.side, crop.roll + quarter)
    spin = np.array([[0, -1], [1, 0]])
    moved = (guess - crop.center) @ spin.T + crop.center
    other = align(np.rot90(image, -1).copy(), moved, turned)
    np.testing.assert_allclose(other.points, (plain.points - crop.center) @ spin.T + crop.center, atol=1e-3)
    np.testing.assert_allclose(other.sigma, plain.sigma, rtol=0.02)


def test_wrong_networks_and_guesses_are_refused(tiny_model, tmp_path):
    with pytest.raises(InputError, match="is missing"):
        DenseAligner(tiny_model, path=tmp_path / "none.onnx")
    other = write_network(tmp_path / "b.onnx", VERTICES, {"face_model": "other"})
    with pytest.raises(InputError, match="face_model other"):
        DenseAligner(tiny_model, path=other)
    with pytest.raises(InputError, match="starts at a guess"):
        DenseAligner(tiny_model, path=write_network(tmp_path / "c.onnx", VERTICES, guess=False))
    with pytest.raises(InputError, match="lacks"):
        DenseAligner(tiny_model, path=write_network(tmp_path / "d.onnx", [0, 10**6]))
    align = DenseAligner(tiny_model, path=write_network(tmp_path / "a.onnx", VERTICES))
    image, crop = np.zeros((60, 80, 3), np.uint8), Crop(np.array([40.0, 30.0]), 64.0)
    for guess in (np.zeros((3, 2)), np.full((4, 2), np.nan)):
        with pytest.raises(InputError, match="finite pixels"):
            align(image, guess, crop)
    with pytest.raises(InputError):
        align(np.zeros((60, 80)), np.zeros((4, 2)), crop)
