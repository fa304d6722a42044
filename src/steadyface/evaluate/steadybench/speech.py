"""Speech-like mouth movement: trains of syllables in phrases, each sound shaped by its neighbours."""

from dataclasses import dataclass

import numpy as np

#: Mouth shapes of consonants and vowels by ARKit name; a name without a side is of both. Lips that close over
#: a jaw that does not need mouthClose as strong as jawOpen.
CONSONANTS = {
    "m": {
        "jawOpen": 0.08,
        "mouthClose": 0.08,
        "mouthPress": 0.35,
        "mouthRollLower": 0.25,
        "mouthRollUpper": 0.2,
    },
    "f": {"jawOpen": 0.07, "mouthRollLower": 0.45, "mouthUpperUp": 0.25, "mouthShrugLower": 0.2},
    "t": {"jawOpen": 0.1, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "s": {"jawOpen": 0.05, "mouthStretch": 0.25, "mouthLowerDown": 0.25, "mouthUpperUp": 0.1},
    "sh": {"jawOpen": 0.07, "mouthFunnel": 0.5, "mouthPucker": 0.15},
    "l": {"jawOpen": 0.16, "mouthLowerDown": 0.15, "mouthUpperUp": 0.12},
    "k": {"jawOpen": 0.15, "mouthLowerDown": 0.15, "mouthStretch": 0.1},
    "w": {"jawOpen": 0.06, "mouthPucker": 0.7, "mouthFunnel": 0.2},
}
VOWELS = {
    "a": {"jawOpen": 0.42, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15},
    "e": {
        "jawOpen": 0.25,
        "mouthStretch": 0.25,
        "mouthSmile": 0.15,
        "mouthLowerDown": 0.25,
        "mouthUpperUp": 0.12,
    },
    "i": {
        "jawOpen": 0.12,
        "mouthStretch": 0.35,
        "mouthSmile": 0.2,
        "mouthLowerDown": 0.25,
        "mouthUpperUp": 0.15,
    },
    "o": {"jawOpen": 0.28, "mouthFunnel": 0.5, "mouthPucker": 0.1},
    "u": {"jawOpen": 0.12, "mouthPucker": 0.6, "mouthFunnel": 0.3},
    "schwa": {"jawOpen": 0.2, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05},
}
#: How often each occurs in running speech, roughly.
_CONSONANT_SHARE = (0.14, 0.08, 0.26, 0.14, 0.08, 0.14, 0.1, 0.06)
_VOWEL_SHARE = (0.2, 0.2, 0.2, 0.12, 0.1, 0.18)
#: How fast the hold of a sound over the mouth fades, and how strong it is: lips must meet for an m.
_FADE_PER_S = {"consonant": 22.0, "vowel": 13.0, "rest": 7.0}
_HOLD = {"m": 3.0, "f": 2.2, "w": 1.6, "sh": 1.6}


@dataclass(frozen=True)
class Sound:
    """A speech sound: middle and half length in seconds, mouth shape, strength, loudness, rate of fading."""

    middle_s: float
    half_s: float
    shape: dict
    hold: float
    loudness: float
    fade_per_s: float


def draw_sounds(seconds, rng):
    """The sounds of running speech and the moments (s) of stressed syllables: phrases of 3 to 6 syllables a
    second, with pauses between."""
    sounds, stresses = [], []
    t = rng.uniform(-0.6, 0.3)
    while t < seconds + 0.5:
        end, rate, loud = t + rng.uniform(0.9, 2.4), rng.uniform(3.4, 5.4), rng.uniform(0.95, 1.4)
        stress_in = rng.integers(0, 3)
        while t < end:
            length = 1 / np.clip(rate * np.exp(rng.normal(0, 0.12)), 3, 6)
            stressed = stress_in == 0
            stress_in = rng.integers(2, 5) if stressed else stress_in - 1
            strength = loud * (1.25 if stressed else rng.uniform(0.7, 1.0))
            if stressed:
                stresses.append(t + 0.6 * length)
            parts = [("consonant", 0.38), ("vowel", 0.62)]
            if rng.random() < 0.3:
                parts = [("consonant", 0.28), ("vowel", 0.46), ("consonant", 0.26)]
            for kind, share in parts:
                table, shares = (
                    (CONSONANTS, _CONSONANT_SHARE) if kind == "consonant" else (VOWELS, _VOWEL_SHARE)
                )
                name = str(rng.choice(list(table), p=shares))
                half = 0.5 * share * length
                loudness = strength if kind == "vowel" else 1.0
                hold = _HOLD.get(name, 1.0)
                sounds.append(Sound(t + half, half, table[name], hold, loudness, _FADE_PER_S[kind]))
                t += share * length
        pause = rng.uniform(0.25, 0.75)
        sounds.append(Sound(t + 0.5 * pause, 0.35 * pause, {}, 1.2, 1.0, _FADE_PER_S["rest"]))
        t += pause
    return sounds, np.array(stresses)


def blended(time_s, sounds):
    """Mouth shapes over time: each sound's target weighted by its dominance, which fades away from it.

    Co-articulation of Cohen and Massaro (1993), eqs. 1 and 2.

    time_s: (T,). Returns ARKit name to (T,).
    """
    away = np.abs(time_s[:, None] - np.array([s.middle_s for s in sounds]))
    away = np.maximum(away - 0.6 * np.array([s.half_s for s in sounds]), 0)
    hold, fade = (np.array([getattr(s, field) for s in sounds]) for field in ("hold", "fade_per_s"))
    dominance = hold * np.exp(-fade * away) + 1e-9
    dominance /= dominance.sum(1, keepdims=True)
    names = sorted({name for s in sounds for name in s.shape})
    return {n: dominance @ np.array([s.shape.get(n, 0.0) * s.loudness for s in sounds]) for n in names}


def bumps(time_s, middles_s, sizes, width_s):
    """Smooth bumps (raised cosines) of given middles, sizes and full widths: (T,)."""
    out = np.zeros(len(time_s))
    for middle, size in zip(middles_s, sizes, strict=True):
        u = np.clip((time_s - middle) / width_s, -0.5, 0.5)
        out = np.maximum(out, size * np.cos(np.pi * u) ** 2)
    return out


def speak(time_s, rng):
    """A talking mouth with what goes along: brows that rise on stressed syllables, now and then a smile.

    time_s: (T,) seconds from 0. Returns ARKit name to (T,), about 0..1, names without a side for both sides.
    """
    sounds, stresses = draw_sounds(time_s[-1], rng)
    curves = blended(time_s, sounds)
    marked = stresses[rng.random(len(stresses)) < 0.4]
    raised = bumps(time_s, marked, rng.uniform(0.15, 0.6, len(marked)), 0.55)
    smile = bumps(time_s, [rng.uniform(0, time_s[-1])], [rng.uniform(0.0, 0.45)], rng.uniform(2.0, 4.0))
    curves["browInnerUp"] = raised
    curves["browOuterUp"] = rng.uniform(0.4, 1.0) * raised
    curves["mouthSmile"] = curves.get("mouthSmile", 0.0) + smile
    curves["cheekSquint"] = 0.6 * smile
    curves["browDown"] = np.full(len(time_s), rng.uniform(0, 0.12))
    return curves
