"""Glasses as curves on the head: two rims, a bridge and the arms, with lenses that may tint or reflect."""

from dataclasses import dataclass

import numpy as np

_FRAME_COLORS = ((20, 18, 16), (60, 40, 25), (90, 60, 30), (120, 120, 125), (180, 150, 90), (70, 20, 25))


@dataclass(frozen=True)
class Glasses:
    """half: (2,) mm, half-width and half-height of a lens; power: of the rim's superellipse; drop: mm below the
    eyes; forward: mm before the nose's bridge; thickness: mm of the rims; color, lens: (3,) RGB 0..255; tint:
    how much the lenses darken, 0..1; glare: strength of the reflection."""

    half: np.ndarray
    power: float
    drop: float
    forward: float
    thickness: float
    color: np.ndarray
    lens: np.ndarray
    tint: float
    glare: float

    @classmethod
    def random(cls, rng):
        """Any common glasses; one pair in twelve is dark."""
        dark = rng.random() < 0.08
        return cls(
            half=np.array([rng.uniform(21, 27), rng.uniform(15, 22)]),
            power=float(rng.choice([2.0, 2.6, 4.0])),
            drop=float(rng.uniform(1, 5)),
            forward=float(rng.uniform(3, 7)),
            thickness=float(rng.choice([1.2, 2.2, 3.6])),
            color=np.array(_FRAME_COLORS[rng.integers(len(_FRAME_COLORS))]) * rng.uniform(0.6, 1.3),
            lens=rng.uniform(10, 40, 3) if dark else rng.uniform(170, 240, 3),
            tint=float(rng.uniform(0.7, 0.9)) if dark else float(rng.uniform(0.0, 0.06)),
            glare=float(rng.uniform(0.1, 0.5) * (rng.random() < 0.5)),
        )

    def curves(self, points478):
        """The frame on a neutral face: points478 (478, 3) mm, model frame. Returns (rims, bridge, arms):
        (2, R, 3), (B, 3) and (2, A, 3) mm; of two, the first is the subject's right.
        """
        eyes = np.stack([points478[[33, 133]].mean(0), points478[[263, 362]].mean(0)])
        front = points478[6, 2] - self.forward
        angle = np.linspace(0, 2 * np.pi, 41)[:-1]
        c, s = np.cos(angle), np.sin(angle)
        x = np.sign(c) * np.abs(c) ** (2 / self.power) * self.half[0]
        y = np.sign(s) * np.abs(s) ** (2 / self.power) * self.half[1]
        rims, arms = [], []
        for k, side in enumerate((-1, 1)):
            outward = np.abs(eyes[k, 0] + side + x)
            # Frames wrap round the face a little.
            z = front + 0.0035 * outward**2
            rims.append(np.stack([eyes[k, 0] + side + x, eyes[k, 1] + self.drop + y, z], -1))
            hinge_x = abs(eyes[k, 0]) + 1 + self.half[0]
            hinge = [
                side * hinge_x,
                eyes[k, 1] + self.drop - 0.35 * self.half[1],
                front + 0.0035 * hinge_x**2,
            ]
            ear = [side * 79.0, eyes[k, 1] + 2, 92.0]
            s = np.linspace(0, 1, 8)[:, None]
            arms.append(np.array(hinge) * (1 - s) + np.array(ear) * s)
        t = np.linspace(-1, 1, 7)
        inner = abs(eyes[0, 0]) + 1 - self.half[0] + 0.6
        level = eyes[:, 1].mean() + self.drop - 0.3 * self.half[1]
        bridge = np.stack([t * inner, level - 2.5 * (1 - t**2), front + 0 * t], -1)
        return np.stack(rims), bridge, np.stack(arms)
