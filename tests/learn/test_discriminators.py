from itertools import combinations

import pytest
import torch

from steadyface.errors import InputError
from steadyface.learn.discriminators import (
    NAMES,
    Discriminator,
    DiscriminatorConfig,
    Discriminators,
    Displacements,
    clip_displacements,
    shape_displacements,
    temporal_displacements,
)
from steadyface.learn.parameters import CROP_SIDE_MM
from steadyface.learn.points import FacePoints


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def drawn(shift=0.0, count=64):
    """Displacements whose fakes are shifted."""
    return Displacements(0.02 * torch.randn(count, 136), 0.02 * torch.randn(count, 136) + shift)


def random_params(points, count):
    params = torch.zeros(count, 12 + len(points.basis))
    similarity = params[:, :12].view(-1, 3, 4)
    similarity[..., :3] = 0.005 * torch.linalg.qr(torch.randn(count, 3, 3)).Q
    similarity[:, :2, 3] = 0.1 * torch.randn(count, 2)
    params[:, 12:] = torch.rand(count, len(points.basis))
    return params


def test_the_architecture_is_table_1():
    sizes = [(m.in_features, m.out_features) for m in Discriminator() if isinstance(m, torch.nn.Linear)]
    assert sizes == [(136, 256), (256, 128), (128, 64), (64, 1)]
    assert [m.p for m in Discriminator() if isinstance(m, torch.nn.Dropout)] == [0.3] * 3


def test_it_learns_to_tell_a_shifted_distribution():
    d = Discriminators(DiscriminatorConfig(("identity",), learning_rate=2e-3))
    for _ in range(60):
        d.step({"identity": drawn(0.01)})
    d.eval()
    fresh = drawn(0.01, 200)
    with torch.no_grad():
        real, fake = (d.networks["identity"](x) > 0 for x in fresh)
    assert real.float().mean() > 0.95
    assert fake.float().mean() < 0.05


def test_fakes_that_descend_its_loss_come_to_look_real():
    d = Discriminators(DiscriminatorConfig(("temporal",), learning_rate=1e-3))
    shift = torch.full((136,), 0.02, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=5e-4)
    for _ in range(300):
        x = drawn()
        found = {"temporal": Displacements(x.real, x.fake + shift)}
        d.step(found)
        optimizer.zero_grad()
        d.generator_loss(found)[0].backward()
        optimizer.step()
    assert shift.detach().mean().abs() < 0.005


def test_each_side_s_gradient_flows_to_that_side_alone():
    d = Discriminators(DiscriminatorConfig(("identity",)))
    x = drawn()
    real, fake = (a.requires_grad_() for a in x)
    loss, _ = d.generator_loss({"identity": Displacements(real, fake)})
    loss.backward()
    assert fake.grad is not None
    assert fake.grad.abs().max() > 0
    assert real.grad is None
    assert all(p.grad is None for p in d.parameters())
    fake.grad = None
    loss, _ = d.loss({"identity": Displacements(real, fake)})
    loss.backward()
    assert real.grad is None
    assert fake.grad is None
    assert all(p.grad is not None for p in d.parameters())


def test_displacements_by_their_definitions(mirror_model):
    points = FacePoints(mirror_model, 50)
    params = random_params(points, 5).requires_grad_()
    landmarks = torch.randn(5, 68, 2)
    found = shape_displacements(points, params, landmarks)
    seen = points(params)["ibug68"][..., :2] / CROP_SIDE_MM
    k = mirror_model.identity_count
    for name, part in (("identity", slice(12, 12 + k)), ("expression", slice(12 + k, None))):
        without = params.detach().clone()
        without[:, part] = 0
        base = points(without)["ibug68"][..., :2] / CROP_SIDE_MM
        torch.testing.assert_close(found[name].fake, (seen - base).flatten(1))
        torch.testing.assert_close(found[name].real, (landmarks - base).flatten(1))
        assert not found[name].real.requires_grad
        # What is left out of the base moves the fake, and nothing else of the shape does.
        moved = torch.autograd.grad(found[name].fake.sum(), params, retain_graph=True)[0]
        assert moved[:, part].abs().max() > 0
    assert shape_displacements(points, params, landmarks, ("temporal",)) == {}


def test_displacements_in_time():
    landmarks = torch.randn(3, 68, 2), torch.randn(3, 68, 2)
    predicted = torch.randn(3, 68, 2), torch.randn(3, 68, 2)
    real, fake = temporal_displacements(predicted, landmarks)
    torch.testing.assert_close(real, (landmarks[1] - landmarks[0]).flatten(1))
    torch.testing.assert_close(fake, (predicted[1] - predicted[0]).flatten(1))


def test_clips_of_a_batch_give_their_motion(mirror_model):
    points = FacePoints(mirror_model, 50)
    params, truth = random_params(points, 8), random_params(points, 8)
    is_face = torch.tensor([1.0, 1, 1, 1, 1, 1, 0, 1])
    found = clip_displacements(points, DiscriminatorConfig(), params, truth, is_face, 6, 3)
    for x, p in zip(found["temporal"], (truth, params), strict=True):
        landmarks = points(p)["ibug68"][:, :, :2] / CROP_SIDE_MM
        expected = [landmarks[b] - landmarks[a] for a, b in ((0, 1), (1, 2), (3, 4), (4, 5))]
        torch.testing.assert_close(x, torch.stack(expected).flatten(1))
    # All rows that show a face, in a clip or not.
    assert len(found["identity"].fake) == 7
    assert set(clip_displacements(points, DiscriminatorConfig(), params, truth, is_face, 0, 1)) == {
        "identity",
        "expression",
    }


@pytest.mark.parametrize("on", [c for n in range(4) for c in combinations(NAMES, n)])
def test_any_of_the_eight_subsets(on):
    d = Discriminators(DiscriminatorConfig(on))
    displacements = {name: drawn(0.1) for name in NAMES}
    before = {k: v.clone() for k, v in d.state_dict().items()}
    terms = d.step(displacements)
    assert set(terms) == {f"d_{name}" for name in on}
    assert all(not torch.equal(before[k], v) for k, v in d.state_dict().items() if "weight" in k)
    loss, parts = d.generator_loss(displacements)
    assert set(parts) == {f"g_{name}" for name in on}
    torch.testing.assert_close(loss, 0.1 * sum(parts.values(), torch.zeros(())))


def test_the_loss_is_the_cross_entropy_of_the_sigmoid():
    d = Discriminators(DiscriminatorConfig(("identity",), dropout=0.0))
    x = drawn(0.05)
    network = d.networks["identity"]
    real, fake = (torch.sigmoid(network(a)) for a in x)
    expected = -real.log().mean() - (1 - fake).log().mean()
    torch.testing.assert_close(d.loss({"identity": x})[0], 0.1 * expected)
    torch.testing.assert_close(d.generator_loss({"identity": x})[0], -0.1 * fake.log().mean())


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(InputError, match="choose from identity, expression, temporal"):
        DiscriminatorConfig(("identity", "shape"))
