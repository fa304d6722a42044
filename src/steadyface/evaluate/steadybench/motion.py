"""Head motion as people move: random series with measured spectra, and deliberate nods, shakes, turns.

Six channels: pitch, yaw, roll in radians (signs as `rotation.euler_from_matrix`), and x, y, z in mm of the
top of the neck, about which the head turns. What is drawn has the spectra of `motion_spectra.json`, quartiles
over real clips that tools/measure_motion.py writes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from ...errors import InputError
from ...rotation import matrix_from_euler

CHANNELS = ("pitch", "yaw", "roll", "x", "y", "z")
#: The top of the neck in the model's frame, mm: the head turns about it.
PIVOT_MM = (0.0, 70.0, 85.0)
#: Band whose power says how lively a motion is: slower is posture, faster is hardly there.
BAND_HZ = (0.5, 4.0)
#: Slower than this is a pose, not a motion; above the second pair nothing is left.
_SLOWEST_HZ, _FADE_HZ = 0.1, (5.0, 7.5)
_DEG = np.pi / 180


@dataclass(frozen=True)
class Spectra:
    """Measured head motion of C channels.

    frequency_hz: (F,); shape: (C, F) power spectral densities, one-sided, whose power within `BAND_HZ` is 1;
    level: (C, 3) root mean square within the band, in rad or mm: lower quartile, median and upper quartile.
    """

    frequency_hz: np.ndarray
    shape: np.ndarray
    level: np.ndarray


@cache
def load_spectra():
    """The `Spectra` that ship with the package."""
    text = (resources.files("steadyface") / "evaluate" / "steadybench" / "motion_spectra.json").read_text()
    table = json.loads(text)
    rows = [table["channels"][name] for name in CHANNELS]
    return Spectra(
        np.array(table["frequency_hz"]),
        np.array([row["shape"] for row in rows]),
        np.array([row["level"] for row in rows]),
    )


def band_level(frequency_hz, density, band=BAND_HZ):
    """Root mean square of the part of a motion within a band.

    frequency_hz: (F,); density: (F, C) one-sided per Hz. Returns (C,).
    """
    inside = (frequency_hz >= band[0]) & (frequency_hz <= band[1])
    f, d = frequency_hz[inside], density[inside]
    return np.sqrt((0.5 * (d[1:] + d[:-1]) * np.diff(f)[:, None]).sum(0))


def density_at(frequency_hz, asked_hz, density):
    """Density at other frequencies, straight in the logarithms of both, flat beyond the ends.

    asked_hz: (N,); density: (F,). Returns (N,), faded out above the fastest motion and 0 below the slowest.
    """
    known = np.maximum(density, 1e-30)
    at = np.exp(np.interp(np.log(np.maximum(asked_hz, 1e-9)), np.log(frequency_hz), np.log(known)))
    low, high = _FADE_HZ
    fade = np.cos(np.clip((asked_hz - low) / (high - low), 0, 1) * np.pi / 2) ** 2
    return at * fade * (asked_hz >= _SLOWEST_HZ)


def random_series(frequency_hz, density, count, fps, rng):
    """Series with random phases and given power spectral densities (Shinozuka and Deodatis 1991, eq. 26).

    frequency_hz: (F,); density: (C, F) one-sided per Hz; count: T samples at fps. Returns (T, C). The period
    of what is drawn is four times as long as the series, so that its end has nothing to do with its
    beginning.
    """
    period = 4 * count
    f = np.fft.rfftfreq(period, 1 / fps)
    columns = []
    for row in density:
        amplitude = np.sqrt(2 * density_at(frequency_hz, f, row) * fps / period)
        phase = rng.uniform(0, 2 * np.pi, len(f))
        columns.append(np.fft.irfft(0.5 * period * amplitude * np.exp(1j * phase), period)[:count])
    return np.column_stack(columns)


def minimum_jerk(time_s, keys):
    """A path that rests at key points and goes from one to the next with the least jerk (Flash, Hogan 1985).

    time_s: (T,); keys: sequence of (seconds, value), ascending; values are numbers or arrays (C,). Returns
    (T,) or (T, C); before the first and after the last key it stays there.
    """
    times = np.array([t for t, _ in keys])
    values = np.stack([np.asarray(v, float) for _, v in keys])
    if len(keys) == 1:
        return np.repeat(values, len(time_s), 0)
    i = np.clip(np.searchsorted(times, time_s, "right") - 1, 0, len(keys) - 2)
    u = np.clip((time_s - times[i]) / (times[i + 1] - times[i]), 0, 1)
    step = u**3 * (10 - 15 * u + 6 * u**2)
    step = step.reshape(-1, *[1] * (values.ndim - 1))
    return values[i] + step * (values[i + 1] - values[i])


def _bouts(time_s, rng, channel, size_deg, half_s, swings):
    """Bouts of back-and-forth about one axis with pauses between, each swing a little smaller."""
    keys, t = [(0.0, 0.0)], rng.uniform(0.15, 0.6)
    while t < time_s[-1]:
        keys.append((t, 0.0))
        size, side = rng.uniform(*size_deg) * _DEG, rng.choice([-1.0, 1.0])
        for k in range(rng.integers(*swings)):
            t += rng.uniform(*half_s) * (1 if k else 0.75)
            keys.append((t, side * size * (1 if k else 0.7)))
            side, size = -side, size * rng.uniform(0.75, 0.95)
        t += rng.uniform(*half_s)
        keys.append((t, 0.0))
        t += rng.uniform(0.35, 0.9)
    out = np.zeros((len(time_s), 6))
    out[:, channel] = minimum_jerk(time_s, keys)
    return out


def _nod(time_s, rng):
    # Nods go down from the upright head, and hardly above it.
    out = _bouts(time_s, rng, 0, (9, 17), (0.18, 0.3), (3, 6))
    out[:, 0] = np.where(out[:, 0] > 0, 0.35, 1.0) * out[:, 0]
    return out


def _shake(time_s, rng):
    return _bouts(time_s, rng, 1, (14, 24), (0.2, 0.32), (3, 7))


def _fast(time_s, rng):
    out = _bouts(time_s, rng, 1, (22, 32), (0.15, 0.21), (4, 8))
    # Who shakes the head so hard moves from side to side with it.
    out[:, 3] = -rng.uniform(40, 70) * out[:, 1]
    out[:, 4] = rng.uniform(-25, 25) * out[:, 1]
    return out


def _poses(time_s, rng, draw, move_s, hold_s):
    """From one drawn pose (6,) to the next, resting at each."""
    keys, t = [(0.0, draw())], rng.uniform(0.0, hold_s[1])
    while t < time_s[-1]:
        keys.append((t, keys[-1][1]))
        t += rng.uniform(*move_s)
        keys.append((t, draw()))
        t += rng.uniform(*hold_s)
    # Two keys at one time would be a jump: the first hold may be of no length.
    keys = [k for i, k in enumerate(keys) if not i or k[0] > keys[i - 1][0]]
    return minimum_jerk(time_s, keys)


def _turning(side, pitch, yaw, roll, rng):
    """Alternating poses: each call turns to the other side than the last; ranges in degrees."""
    sides = [side]

    def draw():
        sides[0] = -sides[0]
        angles = np.array([rng.uniform(*pitch), sides[0] * rng.uniform(*yaw), sides[0] * rng.uniform(*roll)])
        return np.concatenate([angles * _DEG, np.zeros(3)])

    return draw


def _sweep(time_s, rng):
    draw = _turning(rng.choice([-1.0, 1.0]), (-5, 5), (26, 42), (-6, 3), rng)
    return _poses(time_s, rng, draw, (0.7, 1.2), (0.1, 0.5))


def _roll(time_s, rng):
    draw = _turning(rng.choice([-1.0, 1.0]), (-4, 4), (-6, 6), (12, 24), rng)
    return _poses(time_s, rng, draw, (0.45, 0.9), (0.1, 0.5))


def _free(time_s, rng):
    def draw():
        angles = np.clip(rng.normal(0, (9, 19, 8)), (-20, -38, -18), (18, 38, 18)) * _DEG
        return np.concatenate([angles, np.clip(rng.normal(0, (22, 9, 40)), -70, 70)])

    return _poses(time_s, rng, draw, (0.5, 1.1), (0.0, 0.4))


def _profile(time_s, rng):
    side, length = rng.choice([-1.0, 1.0]), time_s[-1] + 1e-3
    most = rng.uniform(66, 73, 2) * _DEG
    # Out and back once, then some way or all the way to the other side; shares of the clip's length.
    yaw = [0, 0, most[0], most[0], 0, -most[1] * rng.choice([0.5, 1.0]), 0]
    shares = np.cumsum(rng.uniform(0.8, 1.2, 7) * [0, 0.2, 1.0, 0.45, 1.0, 1.0, 1.1])
    out = np.zeros((len(time_s), 6))
    out[:, 1] = side * minimum_jerk(
        time_s, [(length * s / shares[-1], y) for s, y in zip(shares, yaw, strict=True)]
    )
    # A head that turns far tips and leans a little with it.
    out[:, 0] = rng.uniform(-0.12, 0.08) * np.abs(out[:, 1])
    out[:, 2] = rng.uniform(-0.1, 0.1) * out[:, 1]
    return out


def _one(*most):
    """A gesture of one movement: to one side, to the other and back to rest, once.

    most: pairs of a channel and how far, in radians or mm.
    """

    def gesture(time_s, rng):
        length, side = time_s[-1] + 1e-3, rng.choice([-1.0, 1.0])
        shares = np.cumsum(rng.uniform(0.8, 1.2, 5) * [0.15, 0.7, 1.2, 0.8, 0.15])
        far = side * np.array([0, 1, -1, 0]) * rng.uniform(0.85, 1.15, 4)
        keys = [(length * s / shares[-1], f) for s, f in zip(shares, far, strict=False)]
        out = np.zeros((len(time_s), 6))
        for channel, size in most:
            out[:, channel] = size * minimum_jerk(time_s, keys)
        return out

    return gesture


def _none(time_s, rng):
    return np.zeros((len(time_s), 6))


@dataclass(frozen=True)
class MotionClass:
    """How a class of motion is drawn.

    angles, places: amount of the random motion of rotation and translation in median levels of real clips;
    gesture: the deliberate part, a function of seconds (T,) and a generator that gives (T, 6).
    """

    angles: float
    places: float
    gesture: Callable = _none


#: The classes of head motion by name.
MOTIONS = {
    "still": MotionClass(0.3, 0.3),
    "sway": MotionClass(1.3, 1.3),
    "nod": MotionClass(0.6, 0.8, _nod),
    "shake": MotionClass(0.6, 0.8, _shake),
    "sweep": MotionClass(0.7, 0.8, _sweep),
    "roll": MotionClass(0.6, 0.8, _roll),
    "free": MotionClass(1.3, 1.3, _free),
    "fast": MotionClass(0.9, 1.0, _fast),
    "profile": MotionClass(0.6, 0.7, _profile),
}
#: One movement each, as recorded for SNaP-2DFe (Allaert et al. 2018); nobody holds quite still.
SINGLE_MOTIONS = {
    "single-nothing": MotionClass(0.1, 0.1),
    "single-diag": MotionClass(0.1, 0.1, _one((0, 12 * _DEG), (1, 22 * _DEG))),
    "single-pitch": MotionClass(0.1, 0.1, _one((0, 18 * _DEG))),
    "single-roll": MotionClass(0.1, 0.1, _one((2, 22 * _DEG))),
    "single-tx": MotionClass(0.1, 0.1, _one((3, 80.0))),
    "single-yaw": MotionClass(0.1, 0.1, _one((1, 30 * _DEG))),
}
#: Distance to the camera is measured by the size of the face, which a talking mouth disturbs; this share of
#: it makes heads go to and fro as much as sideways.
_DEPTH = 0.45
#: Most that the random part may turn (degrees) and shift (mm) the head from where it began.
_MOST = np.array([12, 16, 9, 45, 35, 70]) * np.array([_DEG, _DEG, _DEG, 1, 1, 1])


@dataclass(frozen=True)
class HeadMotion:
    """angles: (T, 3) pitch, yaw, roll in radians; neck: (T, 3) mm, the neck's top from where it rests."""

    angles: np.ndarray
    neck: np.ndarray

    @property
    def rotation(self):
        """(T, 3, 3), head to camera."""
        return matrix_from_euler(self.angles)

    def translation(self, rest_mm):
        """The model's origin in the camera frame, (T, 3) mm; rest_mm: (3,), where it is at rest."""
        pivot = np.array(PIVOT_MM)
        return np.asarray(rest_mm) + pivot + self.neck - self.rotation @ pivot


def draw_motion(name, count, fps, rng, spectra=None):
    """The `HeadMotion` of a class over `count` frames.

    spectra: default the measured ones. Raises InputError for an unknown class with the known ones.
    """
    known = {**MOTIONS, **SINGLE_MOTIONS}
    if name not in known:
        raise InputError(f"unknown head motion {name!r}: know {', '.join(known)}")
    kind, spectra = known[name], spectra or load_spectra()
    amount = np.repeat([kind.angles, kind.places], 3) * rng.uniform(0.8, 1.25, 6)
    amount[5] *= _DEPTH
    density = spectra.shape * (amount * spectra.level[:, 1])[:, None] ** 2
    wander = random_series(spectra.frequency_hz, density, count, fps, rng)
    # Slow wandering may carry far: bend it off smoothly before the head leaves the place.
    wander = _MOST * np.tanh((wander - wander.mean(0)) / _MOST)
    time_s = np.arange(count) / fps
    posture = np.concatenate([np.clip(rng.normal(0, (4, 5, 2.5)), -9, 9) * _DEG, np.zeros(3)])
    series = wander + posture + kind.gesture(time_s, rng)
    return HeadMotion(series[:, :3], series[:, 3:])
