"""Posed expressions: from neutral to an expression and back, as in recordings of asked-for expressions."""

import numpy as np

from ...errors import InputError
from .motion import minimum_jerk

#: Expressions by name, as amounts by ARKit name; a name without a side is of both. The first six are Ekman's.
POSES = {
    "happiness": {
        "mouthSmile": 0.85,
        "cheekSquint": 0.6,
        "eyeSquint": 0.2,
        "mouthUpperUp": 0.25,
        "jawOpen": 0.08,
    },
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.8, "jawOpen": 0.5},
    "anger": {"browDown": 0.95, "eyeSquint": 0.35, "noseSneer": 0.35, "mouthPress": 0.5, "mouthFrown": 0.25},
    "disgust": {
        "noseSneer": 0.9,
        "mouthUpperUp": 0.5,
        "browDown": 0.5,
        "eyeSquint": 0.5,
        "mouthShrugLower": 0.2,
    },
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.75, "mouthShrugLower": 0.45, "eyeSquint": 0.15},
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.4, "eyeWide": 0.85, "mouthStretch": 0.65, "jawOpen": 0.22},
    "jaw-open": {"jawOpen": 0.95},
    "pucker": {"mouthPucker": 0.95},
    "cheek-puff": {"cheekPuff": 0.9, "mouthPress": 0.35},
    "mouth-side": {"mouthLeft": 0.8, "jawLeft": 0.35},
    "lips-in": {"mouthRollLower": 0.75, "mouthRollUpper": 0.7},
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.7, "mouthSmileLeft": 0.35},
    "grin": {"mouthSmile": 0.7, "mouthLowerDown": 0.5, "mouthUpperUp": 0.5, "jawOpen": 0.05},
    "neutral": {},
}


def pose(time_s, names, rng):
    """Posed expressions one after the other: rest, onset, apex and offset, each an equal part of the clip.

    time_s: (T,) seconds from 0; names: of `POSES`. Returns ARKit name to (T,). Raises InputError for an
    unknown name with the known ones.
    """
    unknown = [n for n in names if n not in POSES]
    if unknown:
        raise InputError(f"unknown expression {unknown[0]!r}: know {', '.join(POSES)}")
    curves = {}
    part = (time_s[-1] + 1e-3) / len(names)
    for k, name in enumerate(names):
        # In 2.4 s: seconds of rest, onset, apex, offset, as posed recordings have them; then rest again.
        shares = np.array(
            [rng.uniform(*r) for r in ((0.15, 0.35), (0.25, 0.6), (0.5, 1.0), (0.35, 0.7), (0.1, 0.3))]
        )
        rest, onset, apex, offset, _ = shares / shares.sum() * part
        strength = rng.uniform(0.75, 1.0)
        for shape, amount in POSES[name].items():
            # Not all muscles start together, and none holds quite still.
            start = k * part + rest + rng.uniform(0, 0.25) * onset
            full = k * part + rest + onset
            fall = full + apex + rng.uniform(-0.1, 0.1) * offset
            size = amount * strength
            keys = [(start, 0.0), (full, size), (fall, rng.uniform(0.88, 1.0) * size), (fall + offset, 0.0)]
            curves[shape] = np.maximum(curves.get(shape, 0.0), minimum_jerk(time_s, keys))
    return curves
