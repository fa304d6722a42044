"""Random expressions: blinks, winks, open mouths, smiles, puckers, brows and gaze, by ARKit names."""

import numpy as np

_MOUTHS = (
    {"mouthSmile": (0.4, 1.0), "cheekSquint": (0.0, 0.7), "mouthUpperUp": (0.0, 0.4)},
    {"mouthPucker": (0.4, 1.0)},
    {"mouthFunnel": (0.4, 1.0), "jawOpen": (0.05, 0.3)},
    {"mouthFrown": (0.3, 0.9), "mouthShrugLower": (0.0, 0.8)},
    {"mouthStretch": (0.3, 0.9), "mouthLowerDown": (0.2, 0.8)},
    {"mouthRollLower": (0.3, 0.9), "mouthRollUpper": (0.2, 0.9)},
    {"mouthPress": (0.3, 0.9)},
    {"mouthUpperUp": (0.3, 1.0), "noseSneer": (0.2, 0.9)},
    {"mouthDimple": (0.3, 0.9)},
)


def set_activation(expression, names, name, value):
    """Set an activation by name, in place; a name without a side sets both sides; unknown names are skipped.

    Models differ in which activations they have, and one that is not there cannot be posed.
    """
    for key in (name, f"{name}Left", f"{name}Right"):
        if key in names:
            expression[names.index(key)] = value


def close_eyes(expression, names, rng, least=0.0):
    """A blink, half a blink or a wink, in place."""
    amount = rng.uniform(0.85, 1.0) if rng.random() < 0.6 else rng.uniform(0.35, 0.85)
    sides = ("eyeBlinkLeft", "eyeBlinkRight")
    if rng.random() < 0.2:
        sides = (sides[rng.integers(2)],)
        if rng.random() < 0.5:
            set_activation(expression, names, "cheekSquint" + sides[0][8:], rng.uniform(0.2, 0.9))
    for side in sides:
        set_activation(expression, names, side, np.clip(amount + rng.normal(0, 0.04), least, 1))


def open_mouth(expression, names, rng):
    """An open mouth, from a word to a yawn, in place."""
    wide = rng.uniform(0.12, 0.45) if rng.random() < 0.5 else rng.uniform(0.45, 1.0)
    set_activation(expression, names, "jawOpen", wide)
    set_activation(expression, names, "mouthClose", 0)
    for name in ("mouthLowerDown", "mouthUpperUp", "mouthFunnel", "mouthStretch", "mouthSmile"):
        if rng.random() < 0.3:
            set_activation(expression, names, name, rng.uniform(0.1, 0.7))


def shape_mouth(expression, names, rng):
    """A smile, pucker, frown or another shape of the mouth instead of the present one, in place."""
    for k, name in enumerate(names):
        if name.startswith(("mouth", "jaw", "cheekPuff")):
            expression[k] = 0
    for name, (low, high) in _MOUTHS[rng.integers(len(_MOUTHS))].items():
        set_activation(expression, names, name, rng.uniform(low, high))
    if rng.random() < 0.3:
        set_activation(expression, names, ("mouthLeft", "mouthRight")[rng.integers(2)], rng.uniform(0.2, 0.8))
    if rng.random() < 0.2:
        set_activation(expression, names, ("jawLeft", "jawRight")[rng.integers(2)], rng.uniform(0.2, 0.7))


def move_brows(expression, names, rng):
    """Raised or lowered brows, in place."""
    if rng.random() < 0.5:
        set_activation(expression, names, "browInnerUp", rng.uniform(0.2, 1))
        set_activation(expression, names, "browOuterUp", rng.uniform(0.2, 1))
        set_activation(expression, names, "browDown", 0)
    else:
        set_activation(expression, names, "browDown", rng.uniform(0.3, 1))
        set_activation(expression, names, "browInnerUp", 0)


def look(expression, names, rng, spread=0.5):
    """Both eyes turned to one random direction, in place; the lids follow the gaze down."""
    sideways, upwards = np.clip(rng.normal(0, spread, 2), -1, 1)
    for name in ("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"):
        set_activation(expression, names, name, 0)
    # Positive: to the subject's left.
    outer, inner = ("Left", "Right") if sideways > 0 else ("Right", "Left")
    set_activation(expression, names, f"eyeLookOut{outer}", abs(sideways))
    set_activation(expression, names, f"eyeLookIn{inner}", abs(sideways))
    set_activation(expression, names, "eyeLookUp" if upwards > 0 else "eyeLookDown", abs(upwards))
    if upwards < -0.3:
        for side in ("Left", "Right"):
            key = f"eyeBlink{side}"
            if key in names:
                k = names.index(key)
                expression[k] = max(expression[k], -0.4 * upwards)


def vary_expression(expression, names, rng, closed=0.35, opened=0.35):
    """A random change of an expression.

    expression: (E,) in [0, 1], not changed; names: E ARKit names; closed, opened: how often eyes close and
    the mouth opens. Eyes are never opened wider than they are. Returns (E,).
    """
    new = np.array(expression, float)
    if rng.random() < 0.35:
        shape_mouth(new, names, rng)
    if rng.random() < opened:
        open_mouth(new, names, rng)
    if rng.random() < 0.25:
        move_brows(new, names, rng)
    if rng.random() < 0.35:
        look(new, names, rng)
    if rng.random() < closed:
        close_eyes(new, names, rng)
    if rng.random() < 0.05:
        set_activation(new, names, "cheekPuff", rng.uniform(0.3, 1))
    blinks = [k for k, name in enumerate(names) if name.startswith(("eyeBlink", "eyeSquint"))]
    new[blinks] = np.maximum(new[blinks], np.asarray(expression)[blinks])
    return np.clip(new, 0, 1)
