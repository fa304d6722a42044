import numpy as np
import onnxruntime
import pytest
import torch

from steadyface.errors import InputError
from steadyface.learn.export_onnx import export
from steadyface.learn.quantize import calibration_pictures, quantize
from steadyface.networks.mobilenet import FaceRegressor


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    network = FaceRegressor(np.zeros(22), np.ones(22), np.zeros((68, 2)), 0.25, pooling="multilevel")
    torch.nn.init.normal_(network.params_head.weight, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "float.onnx"
    export(network, path, "tiny")
    return path


def pictures(count, seed):
    return np.random.default_rng(seed).uniform(0, 255, (count, 3, 120, 120)).astype(np.float32)


@pytest.mark.filterwarnings("ignore")
def test_integers_say_nearly_the_same_in_less_space(exported, tmp_path):
    target = tmp_path / "integer.onnx"
    quantize(exported, target, pictures(8, 0))
    assert target.stat().st_size < 0.7 * exported.stat().st_size
    both = [onnxruntime.InferenceSession(str(p)) for p in (exported, target)]
    metadata = [s.get_modelmeta().custom_metadata_map for s in both]
    assert metadata[0] == metadata[1] != {}
    new = pictures(16, 1)
    params, rounded = (s.run(["params"], {"image": new})[0] for s in both)
    spread = params.std()
    assert 0 < np.abs(params - rounded).mean() < 0.25 * spread


@pytest.mark.filterwarnings("ignore")
def test_a_network_without_late_blocks_is_refused(exported, tmp_path):
    with pytest.raises(InputError, match="no blocks from 99 on"):
        quantize(exported, tmp_path / "integer.onnx", pictures(2, 0), first_block=99)


def test_ranges_are_learned_from_the_standard_crop(tmp_path):
    images = np.zeros((5, 160, 160, 3), np.uint8)
    images[:, 20:140, 20:140] = 200
    one = np.zeros(5)
    labels = {
        "rotation": np.tile(np.eye(3), (5, 1, 1)),
        "scale": one + 1,
        "translation": np.zeros((5, 2)),
        "identity": np.zeros((5, 2)),
        "expression": np.zeros((5, 2)),
        "landmarks478": np.zeros((5, 478, 2)),
        "weight478": one,
        "eye_open": np.zeros((5, 2)),
        "mouth_open": one,
    }
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "labels.npz", **labels)
    seen = calibration_pictures([tmp_path], count=3)
    assert seen.shape == (3, 3, 120, 120)
    assert (seen == 200).all()
