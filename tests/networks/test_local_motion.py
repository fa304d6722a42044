from dataclasses import replace

import numpy as np
import pytest
import torch

from steadyface.networks.complexity import parameter_count
from steadyface.networks.local_motion import (
    NETWORKS,
    PAPER_PARAMETERS,
    LocalMotion,
    PeepholeLSTM,
    draw_heatmaps,
    read_heatmaps,
)

SMALL = {"channels": (3, 4, 4, 5, 6), "units": 8, "filters": 5, "head_filters": 7}


def small(name):
    torch.manual_seed(0)
    return LocalMotion(replace(NETWORKS[name], **SMALL))


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_table_7(name):
    with torch.device("meta"):
        count = parameter_count(LocalMotion(NETWORKS[name])) / 1e6
    assert count == pytest.approx(PAPER_PARAMETERS[name], rel=0.03)


def test_the_coordinate_networks_end_in_maps_of_2_by_2_of_512():
    network = LocalMotion(NETWORKS["3D"]).eval()
    with torch.no_grad():
        assert network.encoder(torch.zeros(1, 3, 3, 64, 64)).shape == (1, 3, 512, 2, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_reach_every_weight(name):
    network = small(name)
    images = 255 * torch.rand(4, 3, 3, 64, 64)
    out = network(images)
    assert out.shape == ((4, 68, 64, 64) if network.config.heatmaps else (4, 68, 2))
    out.square().mean().backward()
    for key, p in network.named_parameters():
        # A bias before a normalization is taken off again, so that its gradient is only rounding.
        assert p.grad is not None, key
        assert p.grad.abs().sum() > 0, key
    points, sure = network.landmarks(images)
    assert points.shape == (4, 68, 2)
    assert sure.shape == (4, 68)


@pytest.mark.parametrize("name", NETWORKS)
def test_which_frames_are_looked_at(name):
    network = small(name).eval()
    images = (255 * torch.rand(1, 3, 3, 64, 64)).requires_grad_()
    network(images).square().sum().backward()
    seen = images.grad.abs().sum((0, 2, 3, 4)) > 0
    assert seen.tolist() == ([True] * 3 if network.config.used_frames == 3 else [False, False, True])


@pytest.mark.parametrize("name", NETWORKS)
def test_batched_equals_looped(name):
    network = small(name).eval()
    images = 255 * torch.rand(3, 3, 3, 64, 64)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_weights_start_within_xaviers_bounds():
    network = small("3DRNN")
    weight = network.head[-1].weight.detach()
    bound = np.sqrt(6 / sum(weight.shape))
    assert 0.9 * bound < float(weight.abs().max()) <= bound
    assert not network.head[-1].bias.any()


def test_a_coordinate_network_starts_at_the_mean_landmarks():
    network = small("2D").eval()
    mean = torch.linspace(-0.3, 0.3, 136).view(68, 2)
    network.set_statistics([100, 110, 120], [50, 50, 50], mean)
    with torch.no_grad():
        out = network(255 * torch.rand(4, 3, 3, 64, 64))
    assert 0 < float((out - mean).abs().mean()) < 0.02


def test_the_lstm_by_hand():
    """One unit, one input, two steps of eq. 4."""
    lstm = PeepholeLSTM(1, 1).eval()
    w = {"i": 0.3, "f": -0.2, "c": 0.7, "o": 0.5}
    u = {"i": 0.1, "f": 0.4, "c": -0.6, "o": 0.2}
    b = {"i": 0.05, "f": 0.1, "c": -0.1, "o": 0.2}
    p = (0.3, -0.5, 0.8)
    with torch.no_grad():
        lstm.from_input.weight.copy_(torch.tensor([[w[k]] for k in "ifco"]))
        lstm.from_input.bias.copy_(torch.tensor([b[k] for k in "ifco"]))
        lstm.from_state.weight.copy_(torch.tensor([[u[k]] for k in "ifco"]))
        lstm.peepholes.copy_(torch.tensor(p)[:, None])
        ours = lstm(torch.tensor([[[1.5], [-0.7]]])).item()

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = 0.0
    for x in (1.5, -0.7):
        g = {k: w[k] * x + u[k] * h + b[k] for k in "ifco"}
        i, f = sigmoid(g["i"] + p[0] * c), sigmoid(g["f"] + p[1] * c)
        c = f * c + i * np.tanh(g["c"])
        h = sigmoid(g["o"] + p[2] * c) * np.tanh(c)
    assert ours == pytest.approx(h, abs=1e-6)


def test_recurrent_connections_drop_out_in_training_alone():
    lstm = PeepholeLSTM(4, 32, dropout=0.5)
    x = torch.randn(2, 3, 4)
    with torch.no_grad():
        assert not torch.equal(lstm(x), lstm(x))
        lstm.eval()
        assert torch.equal(lstm(x), lstm(x))


def test_heatmaps_are_read_between_pixels():
    points = torch.rand(5, 68, 2, generator=torch.Generator().manual_seed(1)) * 0.9 - 0.45
    read, peak = read_heatmaps(draw_heatmaps(points, 64, 1.7))
    torch.testing.assert_close(read, points, atol=1e-4, rtol=0)
    assert peak.min() > 0.8


def test_peaks_at_the_border_stay_on_their_pixel():
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, 0, 0, 3] = 1
    maps[0, 1, 7, 7] = 1
    read, _ = read_heatmaps(maps)
    pixels = (read + 0.5) * 8 - 0.5
    torch.testing.assert_close(pixels, torch.tensor([[[3.0, 0.0], [7.0, 7.0]]]))
