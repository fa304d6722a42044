"""Natural blinks, and gaze that jumps from place to place while the lids follow."""

import numpy as np

from .motion import minimum_jerk

#: How far the model's eyes turn at an activation of 1, radians: ARKit's convention is about this.
FULL_TURN = np.radians(30)
#: The lids close by this part of how far the gaze goes down.
_LIDS_FOLLOW = 0.45


def blink(time_s, rng, rate_per_min=(15, 20)):
    """How far the lids are shut by spontaneous blinks: (T,) in 0..1.

    A blink takes 150 to 300 ms, of which closing takes a third; they come at random, hardly ever within a
    second of one another. time_s: (T,) seconds from 0.
    """
    mean_s = 60 / rng.uniform(*rate_per_min)
    keys = [(-5.0, 0.0)]
    # The first comes early enough that short clips have one too.
    t = rng.uniform(0.2, 0.8 * mean_s)
    while t < time_s[-1]:
        length, depth = rng.uniform(0.15, 0.3), rng.uniform(0.9, 1.0)
        keys += [(t, 0.0), (t + 0.33 * length, depth), (t + 0.45 * length, depth), (t + length, 0.0)]
        t += max(length + 0.7, rng.gamma(3.0, mean_s / 3.0))
    keys.append((max(time_s[-1], keys[-1][0]) + 5.0, 0.0))
    return minimum_jerk(time_s, keys)


def gaze(time_s, head_angles, rng):
    """Where the eyes look, in the head: (T, 2) radians, to the subject's left and up.

    Saccades of 30 to 70 ms between fixations of 0.3 to 1.6 s, most of them near the camera; while the head
    turns the eyes stay on what they look at, as far as they reach. head_angles: (T, 3) pitch, yaw, roll in
    radians.
    """
    keys, t = [(-1.0, np.zeros(2))], rng.uniform(-0.3, 0.8)
    while t < time_s[-1]:
        far = rng.random() < 0.3
        target = rng.normal(0, np.radians((14, 7) if far else (2.5, 1.5)))
        length = 0.03 + 0.0022 * np.degrees(np.linalg.norm(target - keys[-1][1]))
        keys += [(t, keys[-1][1]), (t + min(length, 0.08), target)]
        t += length + rng.uniform(0.3, 0.8 if far else 1.6)
    keys.append((max(time_s[-1], keys[-1][0]) + 1.0, keys[-1][1]))
    at = minimum_jerk(time_s, keys)
    follow = rng.uniform(0.5, 1.0)
    turned = at - follow * np.stack([head_angles[:, 1], head_angles[:, 0]], -1)
    limit = np.radians((26, 18))
    return limit * np.tanh(turned / limit)


def gaze_curves(turned):
    """The activations of a gaze (T, 2) in radians: ARKit name to (T,), with the lids that follow it down."""
    sideways, up = (turned / FULL_TURN).T
    left, right = np.maximum(sideways, 0), np.maximum(-sideways, 0)
    down = np.maximum(-up, 0)
    curves = {
        "eyeLookOutLeft": left,
        "eyeLookInRight": left,
        "eyeLookOutRight": right,
        "eyeLookInLeft": right,
    }
    for side in ("Left", "Right"):
        curves[f"eyeLookUp{side}"] = np.maximum(up, 0)
        curves[f"eyeLookDown{side}"] = down
        curves[f"eyeBlink{side}"] = _LIDS_FOLLOW * down
    return curves
