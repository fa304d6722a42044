from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from steadyface.errors import InputError
from steadyface.networks.bisenet_v2 import BiSeNetV2
from steadyface.networks.complexity import multiply_adds, parameter_count
from steadyface.networks.correlation import CorrelationPyramid, read_patches, sample_map
from steadyface.networks.dense_regressor import (
    FULL_DIRECT,
    TINY_DIRECT,
    DenseRegressor,
    DenseRegressorConfig,
)
from steadyface.networks.flow_update import ConvGRU, FlowUpdate, UpdateConfig
from steadyface.networks.image_encoder import image_encoder
from steadyface.networks.uv_chart import sampling_matrix
from steadyface.networks.uv_flow import FULL, TINY, UVFlow, UVFlowConfig
from steadyface.networks.uv_position import UVPosition

SMALL = UVFlowConfig(
    encoder="mobile-0.5",
    image_size=64,
    uv_size=8,
    channels=16,
    textures=4,
    levels=2,
    radius=2,
    update=UpdateConfig(
        hidden=16, context=16, correlation=(16, 16), flow=(8, 8), motion=16, head=16, separable=False
    ),
)


@pytest.fixture
def chart():
    return torch.rand(30, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def image():
    return 255 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


# FlowFace, table 4: millions of parameters.
@pytest.mark.parametrize(
    ("encoder", "millions"),
    [("bisenet-v2", 17.6), ("segformer-b1", 17.3), ("segformer-b2", 31.0), ("segformer-b5", 88.2)],
)
def test_full_size_has_the_papers_parameters(encoder, millions):
    with torch.device("meta"):
        network = UVFlow(replace(FULL, encoder=encoder), torch.empty(5023, 2))
    assert parameter_count(network) / 1e6 == pytest.approx(millions, rel=0.03)


def test_direct_regressor_has_the_papers_parameters():
    with torch.device("meta"):
        network = DenseRegressor(FULL_DIRECT, 5023)
    assert parameter_count(network) / 1e6 == pytest.approx(73.4, rel=0.03)
    assert parameter_count(network.encoder) / 1e6 == pytest.approx(42.5, rel=0.03)


def test_tiny_networks_keep_to_their_budget():
    image = torch.zeros(1, 3, 256, 256)
    flow, direct = (
        UVFlow(replace(TINY, start="fixed"), torch.rand(3185, 2)),
        DenseRegressor(TINY_DIRECT, 3185),
    )
    assert parameter_count(flow) <= 8e6
    assert parameter_count(direct) <= 8e6
    # The baseline is no cheaper than a tenth less.
    assert multiply_adds(direct, image, normalizations=False) > 0.9 * multiply_adds(
        flow, image, normalizations=False
    )


@pytest.mark.parametrize("encoder", ["mobile-0.5", "bisenet-v2", "segformer-b0"])
def test_encoders_feed_the_flow(encoder, chart, image):
    network = UVFlow(replace(SMALL, encoder=encoder), chart)
    network.train()
    prediction = network(image)
    assert prediction.position.shape == (2, 3, 30, 2)
    assert prediction.sigma.shape == (2, 3, 30)
    assert (prediction.sigma > 0).all()
    boosters = 4 if encoder == "bisenet-v2" else 0
    assert prediction.guesses.shape == (2, boosters, 30, 2)
    torch.cat([p.square().flatten() for p in prediction]).sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
    network.eval()
    assert network(image).guesses.shape == (2, 0, 30, 2)


def test_boosters_exist_in_training_alone():
    encoder = BiSeNetV2(8)
    image = torch.rand(2, 3, 64, 64)
    assert [m.shape[-1] for m in encoder.train()(image)] == [8, 16, 8, 4, 2]
    assert [m.shape[-1] for m in encoder.eval()(image)] == [8]


def test_flow_starts_where_it_is_told(chart, image):
    network = UVFlow(SMALL, chart).eval()
    for head in (network.update.flow_head, network.update.sigma_head):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.zeros_(head[-1].bias)
    # Without any change the paper's start maps the UV square onto the picture: its edges beyond the outer
    # texels' centres excepted.
    inner = chart * 0.8 + 0.1
    network.chart.copy_(inner)
    torch.testing.assert_close(network(image).position[0, -1], inner * 64 - 0.5)
    assert torch.all(network(image).sigma == 8)

    wanted = np.random.default_rng(0).uniform(10, 50, (8, 8, 2))
    network.set_start(wanted)
    expected = sampling_matrix(inner.numpy(), 8) @ wanted.reshape(-1, 2)
    # nu of a vertex is not a texel's centre, but nu + F(nu) is bilinear as the map is.
    np.testing.assert_allclose(network(image).position[0, 0].detach(), expected, rtol=0, atol=1e-3)


def test_matching_finds_the_texel_of_equal_features(chart):
    network = UVFlow(replace(SMALL, start="match"), chart)
    features = functional.normalize(torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(2)), dim=1)
    # Each UV texel's feature is that of the image texel at the mirrored place, and of no other.
    mirrored = features.unflatten(2, (8, 8)).flip(3)
    volume = network.correlation.volumes(400 * mirrored, features.unflatten(2, (8, 8)))[0]
    place = network._match(volume)
    expected = network.identity.flip(2).permute(0, 3, 1, 2)
    torch.testing.assert_close(place, expected, rtol=0, atol=0.01)


def test_match_is_taught_in_training_alone(chart, image):
    network = UVFlow(replace(SMALL, start="match"), chart)
    assert network.train()(image).guesses.shape == (2, 1, 30, 2)
    assert network.eval()(image).guesses.shape == (2, 0, 30, 2)
    assert parameter_count(network) == parameter_count(UVFlow(SMALL, chart))


def test_guess_is_kept_without_a_change(chart, image):
    network = UVFlow(replace(SMALL, start="guess", patch=4), chart).eval()
    guess = 64 * torch.rand(2, 30, 2, generator=torch.Generator().manual_seed(3))
    moved = network(image, guess)
    assert not torch.allclose(moved.position[:, -1], guess, atol=0.5)
    last = network.update.flow_head[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.5, -0.25]))
    # Whatever the vertices' places: half a texel of eight pixels right and a quarter up, each time.
    step = torch.tensor([4.0, -2.0])
    for k, position in enumerate(network(image, guess).position.unbind(1), 1):
        torch.testing.assert_close(position, guess + k * step, rtol=0, atol=1e-4)


def test_guess_tells_where_to_look(chart):
    """The windows are read where the guess says, not at fixed places."""
    network = UVFlow(replace(SMALL, start="guess", patch=4), chart).eval()
    image = torch.full((1, 3, 64, 64), 100.0)
    image[:, :, 40:56, 40:56] = 255 * torch.rand(16, 16, generator=torch.Generator().manual_seed(4))
    blank = torch.full_like(image, 100.0)
    near, far = torch.full((1, 30, 2), 48.0), torch.full((1, 30, 2), 12.0)
    with torch.no_grad():
        changes = [
            (network(image, g, 1).position - network(blank, g, 1).position).abs().mean() for g in (near, far)
        ]
    assert changes[0] > 1.5 * changes[1]


def test_patches_are_the_pixels_around():
    features = torch.arange(64.0).reshape(1, 1, 8, 8)
    # Texel 1 of a map half as fine has its centre between pixels 2 and 3.
    place = torch.tensor([[[[1.0, 2.0]]]])
    read = read_patches(features, place, 4)[0, :, 0, 0]
    middle = 8 * 4.5 + 2.5
    expected = [middle + 8 * dy + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    torch.testing.assert_close(read, torch.tensor(expected))


def test_iterations_can_be_chosen(chart, image):
    network = UVFlow(SMALL, chart).eval()
    whole = network(image, iterations=4)
    assert whole.position.shape[1] == 4
    for count in (1, 2, 3):
        torch.testing.assert_close(network(image, iterations=count).position, whole.position[:, :count])


def test_batched_equals_looped(chart, image):
    network = UVFlow(SMALL, chart).eval()
    both = network(image)
    for i in range(2):
        one = network(image[i : i + 1])
        torch.testing.assert_close(one.position[0], both.position[i], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(one.sigma[0], both.sigma[i], rtol=1e-4, atol=1e-3)


def test_steps_are_taught_apart(chart, image):
    network = UVFlow(SMALL, chart).eval()
    _, second = network(image, iterations=2).position.unbind(1)
    gradient = torch.autograd.grad(second.sum(), network.update.flow_head[-1].bias)[0]
    # Through the flow itself the first step's change would count a second time.
    torch.testing.assert_close(gradient, torch.full((2,), 8.0 * 2 * 30), rtol=0.2, atol=0)


def test_sizes_that_do_not_divide_are_refused(chart):
    with pytest.raises(InputError, match="multiple of uv_size, got 100 and 8"):
        UVFlow(replace(SMALL, image_size=100), chart)
    with pytest.raises(InputError, match="segformer-b5"):
        image_encoder("segformer-b9", 8)
    with pytest.raises(InputError, match="resnet-101"):
        DenseRegressor(DenseRegressorConfig("resnet-9"), 10)


@pytest.mark.parametrize("first", [0, 1])
def test_lookup_equals_correlating_with_sampled_features(first):
    generator = torch.Generator().manual_seed(0)
    uv, features = (torch.randn(n, 6, 8, 8, generator=generator) for n in (1, 2))
    pyramid = CorrelationPyramid(levels=2, radius=1, first=first)
    place = 7 * torch.rand(2, 8, 8, 2, generator=generator)
    found = pyramid(pyramid.volumes(uv, features), place)
    assert found.shape == (2, 18, 8, 8)
    for level in range(2):
        # Bilinear reading is linear: it may be done before the dot product.
        step = 2 ** (level + first)
        pooled = functional.avg_pool2d(features, step)
        k = 0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = (place + 0.5) / step + torch.tensor([dx, dy])
                grid = at * 2 / pooled.shape[-1] - 1
                near = functional.grid_sample(pooled, grid, align_corners=False)
                expected = (uv * near).sum(1) / 6**0.5
                torch.testing.assert_close(found[:, 9 * level + k], expected, rtol=1e-4, atol=1e-5)
                k += 1


def test_map_is_read_at_texel_centres():
    values = torch.arange(12.0).reshape(1, 1, 3, 4)
    place = torch.tensor([[[[2.0, 1.0], [0.5, 0.0], [-3.0, 2.0]]]])
    torch.testing.assert_close(sample_map(values, place).flatten(), torch.tensor([6.0, 0.5, 8.0]))


def test_positional_textures_are_smooth_over_scales():
    module = UVPosition(16, 5, 4)
    assert [tuple(t.shape[2:]) for t in module.textures] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert module().shape == (1, 5, 16, 16)
    with torch.no_grad():
        for t in module.textures:
            t.fill_(2.0)
    flat = module()
    torch.testing.assert_close(flat, flat[..., :1, :1].expand_as(flat))
    with pytest.raises(ValueError, match="multiple of 8"):
        UVPosition(12, 5)


def test_context_share_equals_one_convolution():
    gru = ConvGRU(3, 4, 5, (3, 3))
    h, motion, context = torch.randn(2, 3, 6, 6), torch.randn(2, 4, 6, 6), torch.randn(1, 5, 6, 6)
    joint = torch.cat([h, motion, context.expand(2, -1, -1, -1)], 1)
    weight = torch.cat([gru.gates.weight, gru.context.weight[:6]], 1)
    z, r = torch.sigmoid(functional.conv2d(joint, weight, gru.gates.bias, padding=1)).chunk(2, 1)
    joint = torch.cat([r * h, motion, context.expand(2, -1, -1, -1)], 1)
    weight = torch.cat([gru.candidate.weight, gru.context.weight[6:]], 1)
    q = torch.tanh(functional.conv2d(joint, weight, gru.candidate.bias, padding=1))
    torch.testing.assert_close(gru(h, motion, gru.prepare(context)), (1 - z) * h + z * q)


def test_upsampling_is_a_convex_mean():
    update = FlowUpdate(replace(SMALL.update, upsample=2), 50)
    h = torch.randn(2, 16, 5, 5)
    constant = torch.full((2, 3, 5, 5), 4.0)
    torch.testing.assert_close(update.enlarge(constant, h), torch.full((2, 3, 10, 10), 4.0))
    values = torch.randn(2, 3, 5, 5)
    fine = update.enlarge(values, h)
    assert fine.min() >= values.min()
    assert fine.max() <= values.max()
    # With all weight on the middle each texel is repeated.
    last = update.mask_head[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.view(9, 4)[:] = -100
        last.bias.view(9, 4)[4] = 100
    torch.testing.assert_close(
        update.enlarge(values, h), values.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )


def test_direct_regressor_starts_from_the_mean(image):
    network = DenseRegressor(DenseRegressorConfig("resnet-18-narrow", 64), 30).eval()
    mean = torch.rand(30, 2) * 60
    network.set_start(mean)
    prediction = network(image)
    assert prediction.position.shape == (2, 1, 30, 2)
    torch.testing.assert_close(prediction.position[1, 0], mean)
    assert (prediction.sigma > 0).all()
