"""What a face does over a clip: speech or posed expressions, blinks and gaze, as ARKit activations."""

import numpy as np

from ...errors import InputError
from .eyes import blink, gaze, gaze_curves
from .poses import POSES, pose
from .speech import speak

SPEECH = "speech"
#: What a clip's face may do; posed expressions may be joined by "+".
EXPRESSIONS = (SPEECH, *POSES)


def check_expression(expression):
    """The parts of an expression's name. Raises InputError if one is unknown, with the known ones."""
    parts = expression.split("+")
    if expression != SPEECH and not set(parts) <= set(POSES):
        raise InputError(
            f"unknown expression {expression!r}: know {', '.join(EXPRESSIONS)}, and posed ones joined by '+'"
        )
    return parts


def perform(expression, names, head_angles, fps, rng):
    """Activations of a face over a clip: (T, E) in [0, 1].

    expression: "speech", or names of `POSES` joined by "+", done in turn; names: E ARKit names, of
    which those missing are not done; head_angles: (T, 3) pitch, yaw, roll, radians, which the gaze makes up
    for. Raises InputError for unknown expressions.
    """
    parts = check_expression(expression)
    time_s = np.arange(len(head_angles)) / fps
    face = speak(time_s, rng) if expression == SPEECH else pose(time_s, parts, rng)
    lids = blink(time_s, rng)
    out = np.zeros((len(time_s), len(names)))
    # Nobody's face is quite symmetric: each side of each muscle pair is a little stronger or weaker.
    for name in sorted(face):
        gains = np.clip(1 + rng.normal(0, 0.07, 2), 0.8, 1.2)
        _add(out, names, name, face[name], gains)
    for name, curve in gaze_curves(gaze(time_s, head_angles, rng)).items():
        _most(out, names, name, curve)
    weaker = np.array([1.0, rng.uniform(0.94, 1.0)])[:: rng.choice([-1, 1])]
    for side, gain in zip(("Left", "Right"), weaker, strict=True):
        _most(out, names, f"eyeBlink{side}", gain * lids)
        # Wide eyes and tight lids give way while the lids shut.
        for other in ("eyeWide", "eyeSquint"):
            _scale(out, names, other + side, 1 - lids)
    return np.clip(out, 0, 1)


def _columns(names, name):
    if name in names:
        return [(names.index(name), 0 if name.endswith("Left") else 1)]
    sides = [(f"{name}{side}", k) for k, side in enumerate(("Left", "Right"))]
    return [(names.index(key), k) for key, k in sides if key in names]


def _add(out, names, name, curve, gains):
    for column, side in _columns(names, name):
        out[:, column] += curve * gains[side]


def _most(out, names, name, curve):
    for column, _ in _columns(names, name):
        out[:, column] = np.maximum(out[:, column], curve)


def _scale(out, names, name, curve):
    for column, _ in _columns(names, name):
        out[:, column] *= curve
