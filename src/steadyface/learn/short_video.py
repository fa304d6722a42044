"""3D-aided short-video synthesis: adjacent frames with their labels from one still (3DDFA_V2, sec. 2.4).

x'_j = (M o P)(x_j) with x_j = (T o F)(x_{j-1}). F turns the head a little out of the plane: `turned_on`,
rendered ahead of training by `profiling --clip-length`. T moves it in the plane (eq. 8): `draw_clip`, drawn
anew in every batch. P, noise, and M, blur: `Appearance.draw_degradation`.
"""

import numpy as np

from .augment import View, draw_view

#: Share of the motion that is not a steady drift.
SHAKE = 0.2
#: Standard deviations of the turn from one frame to the next, radians: the paper's Delta gamma and Delta phi.
PITCH, YAW = np.radians([2.0, 4.0])
#: Turned farther, less and less of the head was photographed: from here on it turns back.
FARTHEST = 1.2


def draw_clip(rng, config, length):
    """`length` adjacent views: a `draw_view` that drifts smoothly in the plane (eq. 8) with a little shake.

    config: `AugmentConfig`, whose motion_... are the standard deviations of a step of the liveliest clips.
    """
    first = draw_view(rng, config)
    liveliness = config.calmest ** rng.random()
    drift = rng.standard_normal(4)
    views = [first]
    for i in range(1, length):
        roll, size, x, y = liveliness * (i * drift + SHAKE * rng.standard_normal(4))
        views.append(
            View(
                first.mirrored,
                first.scale * float(np.exp(size * config.motion_scale)),
                first.roll + float(np.radians(roll * config.motion_roll_deg)),
                first.shift + np.array([x, y]) * config.motion_shift,
            )
        )
    return views


def turned_on(rng, angles, length):
    """Head angles of `length` adjacent frames that turn on from the first with a little shake: (length, 3).

    angles: (3,) pitch, yaw, roll of the first, radians; the roll stays.
    """
    drift = rng.standard_normal(2) * (PITCH, YAW)
    if abs(angles[1]) > FARTHEST:
        drift[1] = -np.sign(angles[1]) * abs(drift[1])
    steps = np.arange(length)[:, None]
    shake = SHAKE * rng.standard_normal((length, 2)) * (PITCH, YAW) * (steps > 0)
    return np.asarray(angles) + np.pad(steps * drift + shake, ((0, 0), (0, 1)))
