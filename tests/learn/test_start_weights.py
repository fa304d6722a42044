import numpy as np
import pytest
import torch

from steadyface.errors import InputError
from steadyface.learn.export_onnx import export
from steadyface.learn.quantize import quantize
from steadyface.learn.start_weights import load_weights, unfold
from steadyface.networks.mobilenet import FaceRegressor


def new_network(seed, width=0.25):
    torch.manual_seed(seed)
    network = FaceRegressor(np.zeros(22), np.ones(22), np.zeros((68, 2)), width, pooling="multilevel")
    torch.nn.init.normal_(network.params_head.weight, std=0.1)
    return network


def pictures(count, seed):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (count, 3, 120, 120))).float()


@pytest.fixture(scope="module")
def trained():
    """A network whose normalizations have seen some pictures."""
    network = new_network(0)
    for seed in range(3):
        network(pictures(8, seed))
    return network.eval()


def answers(network, images):
    with torch.no_grad():
        return network(images).params


def test_an_exported_network_comes_back_as_it_was(trained, tmp_path):
    export(trained, tmp_path / "float.onnx", "tiny")
    again = new_network(1).eval()
    load_weights(again, tmp_path / "float.onnx", None)
    new = pictures(4, 9)
    torch.testing.assert_close(answers(again, new), answers(trained, new))


@pytest.mark.filterwarnings("ignore")
def test_an_integer_network_comes_back_nearly_as_it_was_and_can_train(trained, tmp_path):
    export(trained, tmp_path / "float.onnx", "tiny")
    quantize(tmp_path / "float.onnx", tmp_path / "integer.onnx", pictures(16, 3).numpy())
    again = new_network(1)
    seen, new = pictures(16, 4), pictures(4, 9)
    load_weights(again, tmp_path / "integer.onnx", seen)
    expected = answers(trained, new)
    assert (answers(again.eval(), new) - expected).abs().mean() < 0.1 * expected.std()
    # By the batch's own statistics, as in training, it answers the same as by those measured.
    by_measured = answers(again, seen)
    by_batch = answers(again.train(), seen)
    torch.testing.assert_close(by_batch, by_measured, rtol=1e-3, atol=1e-3 * float(by_measured.std()))


def test_unfolding_keeps_the_answers():
    network = new_network(2).eval()
    images = pictures(8, 5)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.bias, std=0.3)
            layer.running_var.fill_(1 - layer.eps)
    before = answers(network, images)
    unfold(network, images)
    torch.testing.assert_close(answers(network, images), before, rtol=1e-3, atol=1e-4)
    late = network.backbone.blocks[-1][-1][-1]
    by_images = late.running_mean.clone()
    unfold(network, pictures(8, 6) / 2)
    assert (late.running_mean - by_images).abs().max() > 1e-3


def test_what_does_not_fit_is_named(trained, tmp_path):
    export(trained, tmp_path / "float.onnx", "tiny")
    with pytest.raises(InputError, match="does not fit this network"):
        load_weights(new_network(0, 0.5), tmp_path / "float.onnx", None)
    (tmp_path / "noise.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not an ONNX regressor"):
        load_weights(new_network(0), tmp_path / "noise.onnx", None)
