import numpy as np
import pytest
import torch
from torch import nn

from steadyface.networks.complexity import multiply_adds, parameter_count
from steadyface.networks.mobilenet import FaceRegressor, MobileNet


def regressor(outputs=62, width=1.0, **keywords):
    return FaceRegressor(np.zeros(outputs), np.ones(outputs), np.zeros((68, 2)), width, **keywords)


@pytest.mark.parametrize(("width", "parameters", "macs"), [(1.0, 3.27e6, 183e6), (0.5, 0.85e6, 50e6)])
def test_size_is_the_papers(width, parameters, macs):
    backbone = MobileNet(width)
    net = nn.Sequential(backbone, nn.Linear(backbone.feature_count, 62))
    assert parameter_count(net) == pytest.approx(parameters, rel=0.03)
    assert multiply_adds(net, torch.zeros(1, 3, 120, 120)) == pytest.approx(macs, rel=0.03)


def test_the_first_prediction_is_the_mean():
    mean, landmarks = np.arange(62.0), np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32)
    net = FaceRegressor(mean, np.ones(62), landmarks, 0.25)
    r = net(torch.rand(3, 3, 120, 120) * 255)
    np.testing.assert_allclose(r.params.detach(), np.tile(mean, (3, 1)), atol=1e-6)
    np.testing.assert_allclose(r.landmarks.detach(), np.tile(landmarks, (3, 1, 1)), atol=1e-6)


def test_depthwise_pooling_starts_as_the_average():
    torch.manual_seed(0)
    average, depthwise = MobileNet(0.25), MobileNet(0.25, pooling="depthwise")
    depthwise.load_state_dict(average.state_dict(), strict=False)
    image = torch.randn(2, 3, 120, 120)
    torch.testing.assert_close(average.eval()(image), depthwise.eval()(image))


def test_parameters_are_denormalised():
    net = FaceRegressor(np.full(62, 3.0), np.full(62, 2.0), np.zeros((68, 2)), 0.25)
    nn.init.normal_(net.params_head.weight)
    r = net(torch.rand(2, 3, 120, 120) * 255)
    torch.testing.assert_close(r.params, 2 * r.z + 3)


def test_multilevel_pooling_reads_the_early_maps_too():
    torch.manual_seed(0)
    network = MobileNet(0.25, pooling="multilevel").eval()
    image = torch.randn(2, 3, 120, 120)
    features = network(image)
    assert features.shape == (2, network.feature_count)
    count = network.pool.in_channels
    assert network.feature_count == count + 2 * 32 + 2 * 64
    # A pixel's change reaches an early reading although it may be lost in the last map.
    image[0, :, 40, 60] += 5
    assert (network(image)[0, count:] != features[0, count:]).any()


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'average', 'depthwise' or 'multilevel'"):
        MobileNet(pooling="max")
