"""Guesses of a face as a faster tracker makes them: the truth, and what such a tracker gets wrong."""

from dataclasses import dataclass

import numpy as np

from ..rotation import matrix_from_axis_angle
from .parameters import join, split


@dataclass(frozen=True)
class GuessConfig:
    """How far guesses stray: standard deviations.

    rotation_deg: about each axis; scale: of its logarithm; shift: crop sides; identity: added to coefficients
    that were drawn to the mean by a random factor, as a regressor draws them; expression: added to a few
    activations, after all were damped by a factor of at least `damping`; wild: share of guesses that stray
    three times as far.
    """

    rotation_deg: float = 1.0
    scale: float = 0.012
    shift: float = 0.005
    identity: float = 0.25
    expression: float = 0.1
    damping: float = 0.6
    wild: float = 0.1


def draw_guesses(params, model, rng, config):
    """Guesses of labels: params (N, P) as in `parameters` -> (N, P) float32."""
    similarity, identity, expression = split(np.asarray(params, float), model.identity_count)
    n = len(identity)
    far = np.where(rng.random(n) < config.wild, 3.0, 1.0)[:, None]
    turn = matrix_from_axis_angle(far * rng.normal(0, np.radians(config.rotation_deg), (n, 3)))
    zoom = np.exp(far * rng.normal(0, config.scale, (n, 1)))
    similarity = similarity.copy()
    similarity[..., :3] = zoom[..., None] * (turn @ similarity[..., :3])
    similarity[:, :2, 3] += far * rng.normal(0, config.shift, (n, 2))
    identity = rng.uniform(0, 1, (n, 1)) * identity + far * rng.normal(0, config.identity, identity.shape)
    noise = far * rng.normal(0, config.expression, expression.shape) * (rng.random(expression.shape) < 0.15)
    expression = np.clip(rng.uniform(config.damping, 1.1, (n, 1)) * expression + noise, 0, 1)
    return join(similarity, identity, expression).astype(np.float32)
