"""Beards: where hair grows on the lower face, and how dense it is."""

from dataclasses import dataclass

import numpy as np

KINDS = ("full", "moustache", "goatee", "both")


@dataclass(frozen=True)
class Beard:
    """kind: of `KINDS`; density: 0..1, low for stubble; color: (3,) RGB 0..255."""

    kind: str
    density: float
    color: np.ndarray

    @classmethod
    def random(cls, rng, color):
        """Any kind, in a colour near (3,) `color`."""
        kind = str(rng.choice(KINDS, p=(0.45, 0.2, 0.15, 0.2)))
        return cls(kind, float(rng.uniform(0.15, 1.0)), np.asarray(color) * rng.uniform(0.8, 1.2))


def beard_weight(head, beard):
    """How much the beard covers each vertex: (V,) in 0..1, its density left aside."""
    lips = head.model.landmarks("ibug68").mean
    nose, mouth, chin = lips[33], lips[48:60], lips[8]
    x, y, z = head.rest.T
    near_lips = np.linalg.norm(head.rest[:, None] - mouth[None], axis=-1).min(1)
    low = np.clip((y - nose[1] - 3) / 4, 0, 1) * np.clip((near_lips - 3) / 4, 0, 1)
    jaw = np.clip((np.abs(x) - 32) / 18, 0, 1)
    whiskers = np.clip((y - (mouth[:, 1].mean() - 50)) / 15, 0, 1) * np.clip((np.abs(x) - 52) / 8, 0, 1)
    moustache = low * np.clip((mouth[3, 1] + 3 - y) / 3, 0, 1) * (np.abs(x) < 32)
    goatee = low * np.clip((26 - np.abs(x)) / 8, 0, 1) * (y < chin[1] + 12)
    full = np.maximum(low * (1 - 0.25 * jaw), whiskers) * (y < chin[1] + 25)
    parts = {
        "full": full,
        "moustache": moustache,
        "goatee": goatee,
        "both": np.maximum(moustache, goatee),
    }
    return parts[beard.kind] * head.exposed * (z < 75)
