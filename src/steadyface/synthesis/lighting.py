"""Light on a filmed head: a key lamp that casts shadows and soft light all around, through time."""

from dataclasses import dataclass, replace

import numpy as np

KINDS = ("steady", "lamp_moves", "flicker", "side", "color", "dim")
#: Exponent of the display: light adds in the linear domain, pictures are stored beyond it.
DISPLAY = 1 / 2.2


@dataclass(frozen=True)
class Light:
    """The light of one moment.

    toward: (3,) unit, from the head to the key lamp, camera frame; key: its strength; key_color, sky_color:
    (3,) RGB around 1; sky: strength of the soft light; slope: (3,) how the soft light grows along a normal;
    gain: (3,) RGB of the whole picture, exposure and white balance.
    """

    toward: np.ndarray
    key: float
    key_color: np.ndarray
    sky: float
    sky_color: np.ndarray
    slope: np.ndarray
    gain: np.ndarray

    @classmethod
    def random(cls, rng):
        """A lamp or window somewhere before the head and a room around."""
        across, high = rng.normal(0, 0.7), rng.uniform(-0.1, 0.9)
        toward = np.array([across, -high, -1.0])
        warm = rng.normal(0, 0.035)
        key_color = np.array([1 + warm, 1 + 0.2 * warm, 1 - warm])
        cool = rng.normal(0, 0.025)
        sky_color = np.array([1 + cool, 1, 1 - cool])
        key = rng.uniform(0.15, 0.6)
        return cls(
            toward=toward / np.linalg.norm(toward),
            key=float(key),
            key_color=key_color / key_color.mean(),
            sky=float(rng.uniform(0.6, 0.95)),
            sky_color=sky_color / sky_color.mean(),
            slope=np.array([rng.normal(0, 0.18), rng.uniform(-0.5, -0.1), rng.uniform(-0.25, 0.05)]),
            gain=np.ones(3),
        )


@dataclass(frozen=True)
class Lighting:
    """Light through the T frames of a clip: a base `Light` and how it changes.

    kind: of `KINDS`; phase: (4,) radians; rate: cycles a second.
    """

    base: Light
    kind: str
    phase: np.ndarray
    rate: float

    @classmethod
    def random(cls, rng, kind="steady", base=None):
        """Changes of a kind over a random (or given) base."""
        base = base or Light.random(rng)
        phase, rate = rng.uniform(0, 2 * np.pi, 4), float(rng.uniform(0.1, 0.25))
        if kind == "side":
            side = rng.choice([-1.0, 1.0])
            toward = np.array([side, -rng.uniform(0, 0.35), -rng.uniform(-0.15, 0.3)])
            base = replace(
                base,
                toward=toward / np.linalg.norm(toward),
                key=float(rng.uniform(0.9, 1.3)),
                sky=float(rng.uniform(0.12, 0.28)),
            )
        elif kind == "lamp_moves":
            base = replace(base, key=float(rng.uniform(0.6, 0.9)), sky=float(rng.uniform(0.3, 0.5)))
        elif kind == "dim":
            base = replace(base, sky=0.6 * base.sky)
        return cls(base, kind, phase, rate)

    def at(self, seconds):
        """The `Light` at a time."""
        base, t = self.base, 2 * np.pi * self.rate * seconds
        if self.kind == "lamp_moves":
            turn = 1.3 * np.sin(1.7 * t + self.phase[0])
            high = 0.25 + 0.35 * np.sin(1.1 * t + self.phase[1])
            toward = np.array([np.sin(turn), -high, -np.cos(turn)])
            return replace(base, toward=toward / np.linalg.norm(toward))
        if self.kind == "flicker":
            # An automatic exposure that hunts, and lamps on the mains beating with the shutter.
            gain = np.exp(
                0.22 * np.sin(9 * t + self.phase[0])
                + 0.14 * np.sin(2 * np.pi * 5.3 * seconds + self.phase[1])
                + 0.12 * np.sign(np.sin(3.1 * t + self.phase[2]))
            )
            return replace(base, gain=base.gain * gain)
        if self.kind == "color":
            drift = 0.22 * np.sin(2.2 * t + self.phase[0])
            tint = 0.08 * np.sin(1.3 * t + self.phase[1])
            gain = np.array([1 + drift, 1 + tint, 1 - drift])
            return replace(base, gain=base.gain * gain)
        if self.kind == "dim":
            return replace(base, gain=base.gain * 0.32)
        return base


def vertex_light(light, normals, shelter, shadow, shine):
    """Light on vertices, ready to multiply colours as displayed.

    normals: (V, 3) unit, camera frame; shelter: (V,) share of the sky seen; shadow: (V,) share of the key
    lamp that arrives; shine: exponent of the highlight. Returns (V, 3): factor by the key lamp, factor by the
    sky, highlight.
    """
    # Skin lets light through: it goes on past the terminator.
    facing = normals @ light.toward.astype(np.float32)
    wrapped = np.clip((facing + 0.18) / 1.18, 0, 1)
    key = light.key * wrapped * np.minimum(shadow, np.clip(facing * 4 + 1, 0, 1))
    sky = light.sky * np.maximum(1 + normals @ light.slope.astype(np.float32), 0.1) * shelter
    total = np.maximum(key + sky, 1e-3)
    shown = total**DISPLAY / total
    half = light.toward + np.array([0, 0, -1.0])
    half = (half / max(np.linalg.norm(half), 1e-6)).astype(np.float32)
    highlight = light.key * shadow * np.clip(normals @ half, 0, 1) ** shine
    # Skin reflects the room at grazing angles.
    rim = 0.12 * light.sky * shelter * np.clip(1 + normals[:, 2], 0, 1) ** 3
    return np.stack([key * shown, sky * shown, highlight + rim], -1)
