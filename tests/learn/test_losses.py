from dataclasses import fields

import numpy as np
import pytest
import torch

from steadyface.learn import losses
from steadyface.learn.objective import BASE_LOSSES, Objective, TermWeights
from steadyface.learn.parameters import CROP_SIDE_MM, join, similarity_from_pose
from steadyface.learn.points import FacePoints
from steadyface.networks.mobilenet import Regression
from steadyface.rotation import matrix_from_axis_angle

V, N = 60, 7


@pytest.fixture
def case():
    """Parameters, targets with non-unit scale, and a random linear shape, float64."""
    rng = np.random.default_rng(0)
    rotation = matrix_from_axis_angle(rng.normal(0, 0.8, (N, 3)))
    similarity = similarity_from_pose(rotation, rng.uniform(0.003, 0.3, N), rng.normal(0, 0.1, (N, 2)))
    target = join(similarity, rng.normal(size=(N, 6)), rng.random((N, 4)))
    params = target + rng.normal(0, 0.05, target.shape)
    mean, basis = rng.normal(0, 50, (V, 3)), rng.normal(0, 3, (10, V, 3))
    return tuple(torch.from_numpy(a) for a in (params, target, mean, basis))


def test_fwpdc_weights_are_wpdc_weights(case):
    slow, fast = losses.wpdc_weights(*case), losses.fwpdc_weights(*case)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)
    single = [t.float() for t in case]
    torch.testing.assert_close(
        losses.fwpdc_weights(*single), losses.wpdc_weights(*single), rtol=1e-5, atol=1e-6
    )


def test_weights_lie_between_0_and_1(case):
    w = losses.fwpdc_weights(*case)
    torch.testing.assert_close(w.amax(1), torch.ones(N, dtype=w.dtype))
    assert (w >= 0).all()


def test_wpdc_of_one_wrong_translation_by_hand(case):
    _, target, mean, basis = case
    params = target.clone()
    params[:, 3] += 0.5
    w = losses.wpdc_weights(params, target, mean, basis)
    expected = torch.zeros_like(w)
    expected[:, 3] = 1
    torch.testing.assert_close(w, expected)
    assert losses.weighted_parameter_loss(params, target, w) == pytest.approx(0.25)


def test_wpdc_gradient_flows_through_parameters_only(case):
    params, target, mean, basis = case
    z = params.clone().requires_grad_()
    w = losses.fwpdc_weights(z, target, mean, basis)
    assert not w.requires_grad
    losses.weighted_parameter_loss(z, target, w).backward()
    torch.testing.assert_close(z.grad, 2 * w**2 * (params - target) / N)


def test_vdc_is_the_mean_squared_distance():
    a, b = torch.zeros(2, 5, 3), torch.zeros(2, 5, 3)
    b[0, :, 0], b[1, :, 1] = 3, 4
    assert losses.vdc_loss(a, b) == pytest.approx(12.5)
    assert losses.vdc_loss(a, b, sample_weight=torch.tensor([1.0, 0.0])) == pytest.approx(9)
    assert losses.vertex_distance_loss(a, b) == pytest.approx(3.5, abs=1e-4)


def test_vanilla_joint_weighs_both_terms_alike():
    fwpdc, vdc = torch.tensor(2.0, requires_grad=True), torch.tensor(50.0, requires_grad=True)
    total = losses.vanilla_joint_loss(fwpdc, vdc, 0.5)
    assert float(total.detach()) == pytest.approx(2.0)
    total.backward()
    assert float(fwpdc.grad) == pytest.approx(0.5)
    assert float(vdc.grad) == pytest.approx(0.5 * 2 / 50)


def test_regularization_is_scaled_to_the_loss():
    loss, extra = torch.tensor(8.0, requires_grad=True), torch.tensor(0.1, requires_grad=True)
    total = losses.with_regularization(loss, extra)
    assert float(total.detach()) == pytest.approx(16.0)
    total.backward()
    assert float(loss.grad) == pytest.approx(1.0)
    assert float(extra.grad) == pytest.approx(80.0)


def test_landmarks_without_measurement_count_nothing():
    points = torch.randn(3, 478, 2, requires_grad=True)
    measured = torch.zeros(3, 478, 2)
    measured[1] = float("nan")
    weight = torch.tensor([1.0, 1.0, 0.0])
    for loss in (
        losses.projected_landmark_loss(points, measured, losses.mediapipe_weights(), weight),
        losses.opening_loss(points, measured, weight),
    ):
        (gradient,) = torch.autograd.grad(loss, points, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient[0].abs().sum() > 0
        assert gradient[1:].abs().sum() == 0


def test_opening_loss_sees_lids_and_not_translation():
    points = torch.randn(2, 478, 2, dtype=torch.float64)
    weight = torch.ones(2, dtype=torch.float64)
    none = losses.opening_loss(points + 7, points, weight)
    closed = points.clone()
    closed[:, 159] += torch.tensor([0.0, 4.0])
    assert none == pytest.approx(0, abs=1e-6)
    # One of six lid pairs, counted twice against three lip pairs, 4 mm off: Huber of width 2.
    huber = 4 * (5**0.5 - 1)
    assert losses.opening_loss(closed, points, weight) == pytest.approx(2 * huber / 15)


def test_sigma_is_right_where_its_loss_is_least():
    rng = torch.Generator().manual_seed(0)
    error = 0.3 * torch.randn(4000, 1, 2, generator=rng)
    grid = torch.linspace(-3, 1, 401)
    values = [float(losses.sigma_loss(torch.full((4000, 1), float(g)), error, 0 * error)) for g in grid]
    assert float(grid[int(np.argmin(values))].exp()) == pytest.approx(0.3, rel=0.03)


def test_sigma_does_not_pull_landmarks():
    points = torch.randn(2, 68, 2, requires_grad=True)
    log_sigma = torch.zeros(2, 68, requires_grad=True)
    losses.sigma_loss(log_sigma, points, torch.zeros(2, 68, 2)).backward()
    assert points.grad is None
    assert log_sigma.grad.abs().sum() > 0


def test_motion_loss_ignores_a_constant_error():
    truth = torch.randn(6, 20, 3)
    offset = torch.randn(2, 1, 20, 3).expand(2, 3, 20, 3).reshape(6, 20, 3)
    weight = torch.ones(6)
    steady = losses.motion_loss(truth + offset, truth, 3, weight)
    shaking = losses.motion_loss(truth + torch.randn(6, 20, 3), truth, 3, weight)
    assert steady == pytest.approx(0.01, abs=1e-4)
    assert shaking > 1


def test_points_are_the_models_in_mm_of_the_crop(mirror_model):
    rng = np.random.default_rng(1)
    rotation = matrix_from_axis_angle(rng.normal(0, 0.5, (3, 3)))
    identity, expression = rng.normal(size=(3, 6)), rng.random((3, 4))
    p = join(similarity_from_pose(rotation, np.full(3, 1 / 220), np.full((3, 2), 0.1)), identity, expression)
    points = FacePoints(mirror_model, None)(torch.from_numpy(p).float())
    shape = mirror_model.landmarks("ibug68")(identity, expression)
    expected = shape @ rotation.transpose(0, 2, 1) + [0.1 * CROP_SIDE_MM, 0.1 * CROP_SIDE_MM, 0]
    np.testing.assert_allclose(points["ibug68"], expected, atol=1e-3)
    assert points["vertices"].shape == (3, mirror_model.region("face").sum(), 3)


@pytest.mark.parametrize("name", BASE_LOSSES)
def test_objectives_are_least_at_the_truth_and_finite(mirror_model, name):
    rng = np.random.default_rng(2)
    rotation = matrix_from_axis_angle(rng.normal(0, 0.3, (6, 3)))
    p = join(
        similarity_from_pose(rotation, np.full(6, 1 / 220), np.zeros((6, 2))),
        rng.normal(size=(6, 6)),
        rng.random((6, 4)),
    )
    target = torch.from_numpy(p).float()
    std = torch.cat([torch.full((12,), 1e-3), torch.ones(10)])
    points = FacePoints(mirror_model, 100)
    objective = Objective(points, torch.zeros(22), std, TermWeights(), clip_rows=4, clip_length=2)
    truth = points(target)
    batch = {
        "params": target,
        "landmarks478": truth["mediapipe478"][..., :2] / CROP_SIDE_MM,
        "landmark_weight": torch.tensor([1.0, 1, 1, 1, 1, 0]),
        "is_face": torch.tensor([1.0, 1, 1, 1, 1, 0]),
    }
    totals = []
    for size in (1e-3, 0.3):
        z = (target / std + size * torch.randn(6, 22)).requires_grad_()
        regression = Regression(
            z, z * std, truth["ibug68"][..., :2] / CROP_SIDE_MM + 1e-3, torch.zeros(6, 68), torch.zeros(6)
        )
        total, terms = objective(name, regression, batch)
        totals.append(float(total.detach()))
        (gradient,) = torch.autograd.grad(total, z)
        assert gradient[:5].abs().sum() > 0
        # A crop without a face teaches no parameters.
        assert gradient[5].abs().sum() == 0
        assert all(v.isfinite() for v in terms.values())
    assert totals[0] < totals[1]


def test_landmarks_of_the_parameters_are_constrained_and_those_of_the_head_are_not(mirror_model):
    rng = np.random.default_rng(3)
    p = join(
        similarity_from_pose(np.broadcast_to(np.eye(3), (4, 3, 3)), np.full(4, 1 / 220), np.zeros((4, 2))),
        rng.normal(size=(4, 6)),
        rng.random((4, 4)),
    )
    target = torch.from_numpy(p).float()
    points = FacePoints(mirror_model, 100)
    batch = {"params": target, "is_face": torch.ones(4)}
    no_terms = TermWeights(*[0.0] * len(fields(TermWeights)))
    gradients = {}
    for kind in ({}, {"lrr": True}, {"lmk": True}):
        torch.manual_seed(0)
        z = (target + 0.01 * torch.randn(4, 22)).requires_grad_()
        landmarks = torch.randn(4, 68, 2, requires_grad=True)
        objective = Objective(points, torch.zeros(22), torch.ones(22), no_terms, **{"lrr": False, **kind})
        total, terms = objective(
            "vdc", Regression(z, z, landmarks, torch.zeros(4, 68), torch.zeros(4)), batch
        )
        assert set(terms) == {"base", "vertex_mm", *kind}
        # A regularization is brought to the size of the loss.
        scaled = float(terms["base"]) * (1 + len(kind))
        assert float(total.detach()) == pytest.approx(scaled, rel=1e-5)
        pulled = torch.autograd.grad(total, (z, landmarks), allow_unused=True)
        gradients[next(iter(kind), "none")] = pulled
    torch.testing.assert_close(gradients["lrr"][0], gradients["none"][0])
    assert gradients["lrr"][1].abs().sum() > 0
    assert (gradients["lmk"][0] - gradients["none"][0]).abs().max() > 1e-3
    assert gradients["lmk"][1] is None
