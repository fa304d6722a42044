import pytest
import torch
from torch import nn

from steadyface.networks.gated_convolution import GatedConvolution, GatedUNet
from steadyface.networks.self_refinement import (
    IdentityTransformer,
    IrradianceNetwork,
    SelfRefinementConfig,
    TextureNetwork,
    weighted_texture,
)

SMALL = SelfRefinementConfig(
    texture_width=8, texture_levels=2, irradiance_width=8, irradiance_levels=2, identity_width=16
)
SIZE = 16


def stirred(network):
    """The network with weights that are not those it starts from."""
    for p in network.parameters():
        nn.init.normal_(p, std=0.3)
    return network


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def frames():
    """Textures (N, 3, S, S) and visibility (N, 1, S, S); the first column was never seen."""
    visibility = (torch.rand(5, 1, SIZE, SIZE) > 0.3) * torch.rand(5, 1, SIZE, SIZE)
    visibility[..., 0] = 0
    return torch.rand(5, 3, SIZE, SIZE), visibility


def test_a_shut_gate_lets_nothing_through():
    layer = GatedConvolution(2, 3)
    with torch.no_grad():
        layer.convolution.bias[3:] = -1e4
    assert not layer(torch.randn(1, 2, 6, 6)).any()


def test_a_gate_shuts_out_holes_alone():
    layer = GatedConvolution(2, 1, kernel=1, norm=False)
    with torch.no_grad():
        # Feature: the first channel. Gate: open where the second, the mask, is one.
        layer.convolution.weight[:, :, 0, 0] = torch.tensor([[1.0, 0.0], [0.0, 200.0]])
        layer.convolution.bias.copy_(torch.tensor([0.0, -100.0]))
    value, mask = torch.rand(1, 1, 4, 4), (torch.rand(1, 1, 4, 4) > 0.5).float()
    torch.testing.assert_close(layer(torch.cat([value, mask], 1)), value * mask)


@pytest.mark.parametrize("levels", [1, 3])
def test_the_u_net_keeps_the_size_and_starts_at_nothing(levels):
    network = GatedUNet(4, 2, 8, levels, (1, 2))
    x = torch.randn(2, 4, 16, 24)
    assert network(x).shape == (2, 2, 16, 24)
    assert not network(x).any()
    assert stirred(network)(x).std() > 0


def test_textures_are_averaged_where_they_were_seen():
    textures = torch.tensor([0.2, 0.8]).reshape(2, 1, 1, 1).expand(2, 3, 1, 3)
    visibility = torch.tensor([[1.0, 3.0, 0.0], [1.0, 1.0, 0.0]]).reshape(2, 1, 1, 3)
    mean, seen = weighted_texture(textures, visibility)
    torch.testing.assert_close(mean, torch.tensor([0.5, 0.35, 0.5]).expand(3, 1, 3))
    torch.testing.assert_close(seen, torch.tensor([1.0, 2.0, 0.0]).expand(1, 1, 3))


def test_the_texture_starts_at_the_mean_of_what_was_seen(frames):
    texture = TextureNetwork(SMALL)(*frames)
    torch.testing.assert_close(texture, weighted_texture(*frames)[0], atol=2e-3, rtol=0)
    assert texture.shape == (3, SIZE, SIZE)


def test_the_texture_does_not_depend_on_the_order_of_the_frames(frames):
    network, order = stirred(TextureNetwork(SMALL)), torch.randperm(5)
    textures, visibility = frames
    texture = network(textures, visibility)
    torch.testing.assert_close(network(textures[order], visibility[order]), texture)
    # What is hidden has no colour.
    changed = torch.where(visibility > 0, textures, torch.rand_like(textures))
    torch.testing.assert_close(network(changed, visibility), texture)
    assert ((texture >= 0) & (texture <= 1)).all()
    assert (texture - weighted_texture(*frames)[0]).abs()[..., 0].max() > 0.01


def test_textures_of_several_videos_are_those_of_each(frames):
    network = stirred(TextureNetwork(SMALL))
    textures, visibility = frames
    both = network(torch.stack([textures, 1 - textures]), torch.stack([visibility] * 2))
    torch.testing.assert_close(both[1], network(1 - textures, visibility))


def test_training_moves_the_texture_where_nothing_was_seen(frames):
    network = TextureNetwork(SMALL)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        error = ((network(*frames)[..., 0] - 0.9) ** 2).mean()
        error.backward()
        optimizer.step()
    # It starts at grey.
    assert error < 0.02


def test_identity_does_not_depend_on_the_order_of_the_frames():
    network, identities = stirred(IdentityTransformer(6, SMALL)), torch.randn(7, 6)
    expected = network(identities)
    assert expected.shape == (6,)
    torch.testing.assert_close(network(identities[torch.randperm(7)]), expected, atol=1e-5, rtol=1e-5)
    assert (expected - identities.mean(0)).abs().max() > 0.01


def test_identity_starts_at_the_mean_and_may_leave_it():
    network, identities = IdentityTransformer(6, SMALL), torch.randn(2, 7, 6)
    torch.testing.assert_close(network(identities), identities.mean(1))
    # One frame unlike the others: a transformer can learn to weigh it less, which no mean can.
    identities[:, 0] += 20
    network(identities).sum().backward()
    assert network.correct.weight.grad.abs().max() > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_irradiance_starts_at_one_and_stays_in_its_range(frames, channels):
    config = SelfRefinementConfig(irradiance_width=8, irradiance_levels=2, irradiance_channels=channels)
    network = IrradianceNetwork(config)
    shape = (5, channels, SIZE, SIZE)
    torch.testing.assert_close(network(*frames), torch.ones(shape))
    irradiance = stirred(network)(*frames)
    assert irradiance.shape == shape
    assert ((irradiance >= 0) & (irradiance <= 10)).all()
    with torch.no_grad():
        network.network.last.bias.fill_(1e4)
    assert network(*frames).max() == 10


def test_irradiance_of_a_frame_is_its_own(frames):
    network = stirred(IrradianceNetwork(SMALL))
    textures, visibility = frames
    torch.testing.assert_close(network(textures[2:3], visibility[2:3]), network(*frames)[2:3])
