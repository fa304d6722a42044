"""Losses of 3DDFA_V2 (section 2.2 and 2.3) and the practical terms of the shipped network.

Points are in mm of the crop (`FacePoints`), parameters as in parameters.py. Per-sample weights (N,) take
part as weighted means, so that a sample without a label of that kind counts nothing.
"""

import torch
from torch.nn import functional

from ..face_model.mediapipe import EYES, IRISES, LEFT_LID_PAIRS, LIP_PAIRS, LIPS, RIGHT_LID_PAIRS
from .parameters import SIMILARITY_COUNT, split


def mediapipe_weights(emphasis=3.0):
    """Weights (478,) of the MediaPipe points, mean 1: lids, irises and lips count `emphasis` times."""
    weight = torch.ones(478)
    # What users see first when it is wrong.
    weight[list(EYES + IRISES + LIPS)] = emphasis
    return weight / weight.mean()


def weighted_mean(values, sample_weight=None):
    """Mean of (N, ...) values over everything, samples weighted; 0 if all weights are."""
    per_sample = values.flatten(1).mean(1) if values.ndim > 1 else values
    if sample_weight is None:
        return per_sample.mean()
    return (per_sample * sample_weight).sum() / sample_weight.sum().clamp_min(1e-6)


def vdc_loss(vertices, target, vertex_weight=None, sample_weight=None):
    """Vertex distance cost (eq. 4): mean squared distance of (N, V, 3) vertices, mm^2."""
    squared = (vertices - target).square().sum(-1)
    return weighted_mean(squared if vertex_weight is None else squared * vertex_weight, sample_weight)


def vertex_distance_loss(vertices, target, vertex_weight=None, sample_weight=None):
    """Mean distance of vertices, mm: eq. 4 without the square, which a few poor labels do not dominate."""
    distance = ((vertices - target).square().sum(-1) + 1e-4).sqrt()
    return weighted_mean(distance if vertex_weight is None else distance * vertex_weight, sample_weight)


@torch.no_grad()
def wpdc_weights(params, target, mean, basis):
    """Importance of each parameter by its definition (eq. 7): rebuild the vertices once per parameter.

    params, target: (N, P) real units; mean: (V, 3); basis: (K + E, V, 3). Returns (N, P) in [0, 1].
    """

    def vertices(p):
        t = p[:, :SIMILARITY_COUNT].unflatten(1, (3, 4))
        shape = mean + (p[:, SIMILARITY_COUNT:] @ basis.flatten(1)).unflatten(1, (-1, 3))
        return shape @ t[..., :3].mT + t[:, None, :, 3]

    truth = vertices(target)
    weights = []
    for i in range(params.shape[1]):
        degraded = target.clone()
        degraded[:, i] = params[:, i]
        weights.append((vertices(degraded) - truth).flatten(1).norm(dim=1))
    return _normalized(torch.stack(weights, 1))


@torch.no_grad()
def fwpdc_weights(params, target, mean, basis, basis_norm=None):
    """The weights of `wpdc_weights` with one reconstruction (Algorithm 2).

    Two details make it exact. A degraded entry of T acts on the ground truth's shape, so S is built from
    alpha^g (the algorithm's text says alpha); and t acts on all N vertices, so its factor is sqrt(N) (the
    paper's sqrt(N / 3) counts coordinates). f, the scale of T^g, must not be left out: T^g's rotation is
    scaled by it. basis_norm: (K + E,) norms of the basis columns, which do not change in training.
    """
    if basis_norm is None:
        basis_norm = basis.flatten(1).norm(dim=1)
    delta = (params - target).abs()
    similarity = target[:, :SIMILARITY_COUNT].unflatten(1, (3, 4))
    # f^2 = |f R|^2 / 3 for a rotation.
    scale = similarity[..., :3].flatten(1).norm(dim=1) / 3**0.5
    shape = mean.flatten() + target[:, SIMILARITY_COUNT:] @ basis.flatten(1)
    rows = shape.unflatten(1, (-1, 3)).norm(dim=1)
    columns = torch.cat([rows, torch.full_like(rows[:, :1], len(mean) ** 0.5)], 1)
    weight_similarity = delta[:, :SIMILARITY_COUNT].unflatten(1, (3, 4)) * columns[:, None]
    weight_alpha = delta[:, SIMILARITY_COUNT:] * basis_norm * scale[:, None]
    return _normalized(torch.cat([weight_similarity.flatten(1), weight_alpha], 1))


def _normalized(weights):
    return weights / weights.amax(1, keepdim=True).clamp_min(1e-12)


def weighted_parameter_loss(z, z_target, weights, sample_weight=None):
    """Weighted parameter distance cost (eq. 6) on z-scored parameters (N, P), given eq. 7's weights."""
    return weighted_mean((weights * (z - z_target)).square().sum(1), sample_weight)


def vanilla_joint_loss(fwpdc, vdc, beta=0.5):
    """beta fwpdc + (1 - beta) |fwpdc| / |vdc| vdc: both terms at the size of the first."""
    return beta * fwpdc + (1 - beta) * (fwpdc.detach() / vdc.detach().clamp_min(1e-12)) * vdc


def landmark_regression_loss(landmarks, target, sample_weight=None):
    """L2 loss of the extra landmark head (section 2.3): mean square over the 136 coordinates."""
    return weighted_mean((landmarks - target).square(), sample_weight)


def with_regularization(loss, regularization):
    """loss + |loss| / |regularization| regularization (Algorithm 1, line 8)."""
    return loss + loss.detach() / regularization.detach().clamp_min(1e-12) * regularization


def projected_landmark_loss(points, measured, point_weight, sample_weight, width=1.5):
    """Projected landmarks against measured ones: Huber of the distance, mm, linear beyond `width`.

    points: (N, 478, 2); measured: (N, 478, 2), NaN where there is none; point_weight: (478,).
    """
    present = measured.isfinite().all(-1)
    offset = (points - torch.where(present[..., None], measured, points.detach())).square().sum(-1)
    huber = width * ((1 + offset / width**2).sqrt() - 1)
    return weighted_mean(huber * point_weight, sample_weight * present.float().mean(1))


def opening_loss(points, measured, sample_weight, lid_weight=2.0, width=2.0):
    """Lid and lip openings: Huber of the difference between predicted and measured gap vectors, mm^2.

    points, measured: (N, 478, 2). A closed lid moves its points by a few mm only, which the other losses
    hardly notice; as a gap it is all there is. Quadratic up to `width`: where a lid is hard to see, a
    linear loss settles on the open eye that most faces have. lid_weight: of lids over lips, whose gaps
    vary more.
    """
    lids = (*RIGHT_LID_PAIRS, *LEFT_LID_PAIRS)
    upper, lower = torch.tensor([*lids, *LIP_PAIRS], device=points.device).T
    gap = points[:, upper] - points[:, lower]
    truth = measured[:, upper] - measured[:, lower]
    present = truth.isfinite().all(-1)
    difference = gap - torch.where(present[..., None], truth, gap.detach())
    huber = width**2 * ((1 + difference.square().sum(-1) / width**2).sqrt() - 1)
    weight = torch.ones(len(upper), device=points.device)
    weight[: len(lids)] = lid_weight
    return weighted_mean(huber * (weight / weight.mean()), sample_weight * present.float().mean(1))


def sigma_loss(log_sigma, points, target, sample_weight=None):
    """Gaussian negative log-likelihood of 2D landmarks whose means are held fixed.

    log_sigma: (N, L), of sigma in the points' unit; points, target: (N, L, 2). The mean is detached: the
    head learns how large errors are without pulling the landmarks.
    """
    squared = (points - target).detach().square().sum(-1)
    # Clamped: where the network errs by far less than a hundredth of a mm nothing more is to be learned.
    log_sigma = log_sigma.clamp(-12, 6)
    return weighted_mean(2 * log_sigma + 0.5 * squared * torch.exp(-2 * log_sigma), sample_weight)


def confidence_loss(logit, is_face):
    """Binary cross-entropy of the face confidence. logit, is_face: (N,)."""
    return functional.binary_cross_entropy_with_logits(logit, is_face)


def motion_loss(points, target, clip_length, sample_weight):
    """Steadiness within synthetic clips: predicted against true frame-to-frame motion, mm.

    points, target: (N, L, D), N made of runs of `clip_length` adjacent frames of one still.
    """
    error = (points - target).unflatten(0, (-1, clip_length))
    difference = error[:, 1:] - error[:, :-1]
    weight = sample_weight.unflatten(0, (-1, clip_length)).amin(1)
    return weighted_mean((difference.square().sum(-1) + 1e-4).sqrt(), weight)


def pose_loss(z, target, sample_weight):
    """Huber of the z-scored entries of T, linear beyond one standard deviation, summed: (N, P) each.

    It tells scale from the rest where a network that begins has no landmark in its place yet.
    """
    t = slice(SIMILARITY_COUNT)
    error = functional.smooth_l1_loss(z[:, t], target[:, t], reduction="none")
    return weighted_mean(error.sum(1), sample_weight)


def identity_expression_loss(params, target, std, identity_count, sample_weight):
    """Mean absolute z-scored error of identity and expression: keeps coefficients that look alike apart."""
    _, identity, expression = split((params - target) / std, identity_count)
    return weighted_mean(torch.cat([identity, expression], 1).abs(), sample_weight)
