"""What the dense alignment networks are taught by: a Gaussian likelihood at every vertex and iteration."""

import torch
from torch.nn import functional

#: RAFT's weight of an iteration against the next one.
DECAY = 0.8
#: Weight of the guesses of an encoder's maps for training alone.
GUESS_WEIGHT = 0.1


def gaussian_nll(position, sigma, truth):
    """log sigma^2 + |mu - mu'|^2 / (2 sigma^2): of a circular Gaussian, constants left out.

    position, truth: (*, 2) pixels; sigma: (*,) pixels. Returns (*,).
    """
    squared = (position - truth).square().sum(-1)
    return 2 * sigma.log() + squared / (2 * sigma.square())


def iteration_weights(count, decay=DECAY):
    """(count,) weights decay^(count - 1 - k) of iterations k, which rise to 1 (RAFT, eq. 7)."""
    return decay ** torch.arange(count - 1, -1, -1, dtype=torch.float32)


def alignment_loss(prediction, truth, weight, decay=DECAY):
    """Loss of a `DensePrediction`, and its parts.

    truth: (N, n, 2) pixels; weight: (n,) of the vertices, mean 1. Returns the sum over iterations of the mean
    negative log-likelihood, plus the guesses' mean distance in tenths of a pixel; and a dict of values for
    the log: nll and vertex_px (mean distance) of the last iteration.
    """
    each = (gaussian_nll(prediction.position, prediction.sigma, truth[:, None]) * weight).mean((0, 2))
    total = (each * iteration_weights(len(each), decay).to(each)).sum()
    distance = (prediction.position[:, -1].detach() - truth).norm(dim=-1)
    terms = {"nll": each[-1].detach(), "vertex_px": (distance * weight).mean()}
    if prediction.guesses.shape[1]:
        spread = functional.smooth_l1_loss(
            prediction.guesses, truth[:, None].expand_as(prediction.guesses), reduction="none"
        )
        guess = (spread.sum(-1) * weight).mean()
        total = total + GUESS_WEIGHT * guess
        terms["guess"] = guess.detach()
    return total, terms
