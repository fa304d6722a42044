"""The causal filter of the live track: smooths what is uncertain, and follows what really moves.

Every channel (rotation, translation, log scale, each expression) is a Kalman filter with constant
velocity. Two things make it adaptive: the measurement noise is the network's own uncertainty of this
frame, carried from the landmarks to the channel, and an innovation beyond the gate widens the predicted
position so that a blink or a quick turn passes at once. Rotation is filtered on the manifold. The
identity, which does not change, is a robust mean that settles as evidence grows; what a frame's own
identity explained in the image is taken up by its pose and expression, so that its points stay in place.
"""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from .align.alignment import Alignment
from .align.transfer import IdentityExchange
from .errors import InputError
from .face_model.morphable import MorphableModel


@dataclass(frozen=True)
class FilterSettings:
    """How much to smooth.

    noise: frame-to-frame noise of a channel over the noise that independent landmark errors of the
    predicted standard deviations would give it (they are neither independent, nor all jitter). gate:
    innovations beyond this many standard deviations are motion. Accelerations of ordinary motion, root
    mean square: rotation rad/s^2, translation mm/s^2, log_scale 1/s^2, expression 1/s^2. gap_s: after
    a longer gap the motion starts afresh, and only the identity is kept. identity_outlier: distance from
    the mean identity, in its own spread, at which a frame counts half. identity_floor: weight of a profile
    view relative to a frontal one. identity_step: distance of the mean identity, in standard deviations,
    from the one handed out at which that follows: too small to be seen, and in between a face's neutral
    shape need not be computed again. evidence_s: seconds of good views after which the identity adapts no
    more slowly.
    """

    noise: float = 0.7
    gate: float = 3.5
    rotation: float = 1.2
    translation: float = 80.0
    log_scale: float = 0.6
    expression: float = 20.0
    gap_s: float = 0.3
    identity_outlier: float = 2.0
    identity_floor: float = 0.15
    identity_step: float = 0.05
    evidence_s: float = 30.0


@dataclass(frozen=True)
class FilterState:
    """Everything the filter knows of a face after a frame; C = 6 + E channels.

    value: (C,) image of the landmarks' centroid in px, log scale and expressions in entries 3 and up
    (entries 0-2 stay 0: the rotation is the matrix `rotation`); velocity: (C,) per second, rotation
    in rad/s in the camera frame; covariance: (C,) variance of value,
    covariance, (C,) variance of velocity.
    identity: (K,) mean with total weight identity_weight (seconds) and mean squared distance
    identity_spread; shown: (K,) the identity handed out, which follows the mean in small steps.
    """

    time_s: float
    rotation: np.ndarray
    value: np.ndarray
    velocity: np.ndarray
    covariance: tuple[np.ndarray, np.ndarray, np.ndarray]
    identity: np.ndarray
    shown: np.ndarray
    identity_weight: float
    identity_spread: float


@dataclass(frozen=True)
class CausalFilter:
    """The filter for faces of one model: call `step` once per frame and face.

    model: gives the share of every landmark in every channel. Translation is filtered at the centroid of
    the landmarks, where the noise of rotation and scale does not move it.
    """

    model: MorphableModel
    settings: FilterSettings = field(default_factory=FilterSettings)
    _gain: np.ndarray = field(init=False, repr=False)
    _exchange: IdentityExchange = field(init=False, repr=False)
    _centroid: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "_gain", channel_gain(self.model))
        landmarks = self.model.landmarks("ibug68")
        object.__setattr__(self, "_exchange", IdentityExchange(landmarks))
        object.__setattr__(self, "_centroid", landmarks.mean.mean(0).astype(float))

    def step(self, state, alignment, time_s):
        """Take in one frame. state: the `FilterState` before, None for a new face; time_s: seconds.

        Returns the state after and the filtered `Alignment` (confidence and sigma as received). Steps of
        any length are taken; time that stands still or runs back counts as a millisecond. Raises
        InputError if the alignment or the time is not finite.
        """
        a = alignment
        # A sum is finite only if all that went into it is.
        total = a.rotation.sum() + a.translation.sum() + a.scale + a.expression.sum() + a.identity.sum()
        if not (math.isfinite(time_s) and math.isfinite(total) and a.scale > 0):
            raise InputError("the filter needs finite alignments and times, and a positive scale")
        if state is None:
            state = self._first(alignment, time_s)
        else:
            dt = max(float(time_s) - state.time_s, 1e-3)
            # The frame's own identity gives way to the mean, and its landmarks stay where they are.
            mean = self._averaged(state, alignment, dt)
            if np.linalg.norm(mean.identity - state.shown) > self.settings.identity_step:
                mean = replace(mean, shown=mean.identity)
            alignment = self._exchange(alignment, mean.shown)
            if dt > self.settings.gap_s:
                state = replace(
                    self._first(alignment, time_s),
                    identity=mean.identity,
                    identity_weight=mean.identity_weight,
                    identity_spread=mean.identity_spread,
                )
            else:
                state = self._update(mean, alignment, dt)
        return state, self._filtered(state, alignment)

    def _measurement(self, alignment):
        rotation = alignment.rotation_matrix
        center = np.asarray(alignment.translation) + alignment.scale * (rotation @ self._centroid)[:2]
        value = np.zeros(6 + len(alignment.expression))
        value[3:5], value[5], value[6:] = center, math.log(alignment.scale), alignment.expression
        return value, rotation

    def _filtered(self, state, alignment):
        scale = float(np.exp(state.value[5]))
        return Alignment(
            _rodrigues(state.rotation),
            scale,
            state.value[3:5] - scale * (state.rotation @ self._centroid)[:2],
            state.shown,
            state.value[6:].copy(),
            alignment.landmark_sigma,
            alignment.confidence,
        )

    def _measurement_variance(self, alignment):
        # One landmark's variance in mm^2, carried to the channels by `channel_gain`.
        sigma_mm = self.settings.noise * np.asarray(alignment.landmark_sigma, float) / alignment.scale
        variance = self._gain @ np.maximum(sigma_mm, 1e-4) ** 2
        variance[3:5] *= alignment.scale**2
        return variance

    def _acceleration(self, scale, count):
        s = self.settings
        a = np.full(count, s.expression)
        a[:3], a[3:5], a[5] = s.rotation, s.translation * scale, s.log_scale
        return a

    def _first(self, alignment, time_s):
        measured, rotation = self._measurement(alignment)
        variance = self._measurement_variance(alignment)
        # A velocity of which nothing is known: what ordinary acceleration gives in a tenth of a second.
        speed = self._acceleration(alignment.scale, len(measured)) * 0.1
        covariance = (variance, np.zeros_like(variance), speed**2)
        # The first frame counts as one of a thirtieth of a second.
        weight = self._view_weight(alignment) / 30
        identity = np.asarray(alignment.identity, float)
        return FilterState(
            float(time_s),
            rotation,
            measured,
            np.zeros_like(measured),
            covariance,
            identity,
            identity,
            weight,
            0.0,
        )

    def _update(self, state, alignment, dt):
        measured, rotation = self._measurement(alignment)
        variance = self._measurement_variance(alignment)
        noise = self._acceleration(alignment.scale, len(measured)) ** 2
        p, c, v = state.covariance
        # Predict: constant velocity, white acceleration over the step.
        p = p + (2 * dt) * c + dt**2 * v + (0.25 * dt**4) * noise
        c = c + dt * v + (0.5 * dt**3) * noise
        v = v + dt**2 * noise
        value = state.value + dt * state.velocity
        predicted = _rodrigues(dt * state.velocity[:3]) @ state.rotation

        innovation = measured - value
        innovation[:3] = _rodrigues(rotation @ predicted.T)
        # Motion that the model did not expect: the position is less certain than thought, so that the
        # innovation lies at the gate. The velocity is left as it was: a jump says nothing of it.
        p = np.maximum(p, innovation**2 * self.settings.gate**-2 - variance)

        total = p + variance
        gain, velocity_gain = p / total, c / total
        moved = gain * innovation
        value += moved
        value[:3] = 0
        velocity = state.velocity + velocity_gain * innovation
        # An expression that reached its limit stops there.
        expression = value[6:].clip(0, 1)
        velocity[6:][(expression != value[6:]) & (velocity[6:] * (value[6:] - 0.5) > 0)] = 0
        value[6:] = expression
        return replace(
            state,
            time_s=state.time_s + dt,
            rotation=_rodrigues(moved[:3]) @ predicted,
            value=value,
            velocity=velocity,
            covariance=(p - gain * p, c - gain * c, v - velocity_gain * c),
        )

    def _averaged(self, state, alignment, dt):
        """The robust running mean of the identity: each frame weighs its seconds, its view and its fit."""
        s = self.settings
        difference = np.asarray(alignment.identity, float) - state.identity
        distance = float(difference @ difference)
        weight = min(dt, 0.2) * self._view_weight(alignment)
        if state.identity_spread > 0:
            weight /= 1 + distance / (s.identity_outlier**2 * state.identity_spread)
        total = min(state.identity_weight + weight, s.evidence_s)
        share = weight / total
        return replace(
            state,
            identity=state.identity + share * difference,
            identity_weight=total,
            identity_spread=(1 - share) * (state.identity_spread + share * distance),
        )

    def _view_weight(self, alignment):
        # The nose looks along the model's -z; a frontal view shows most of the identity.
        frontal = max(float(alignment.rotation_matrix[2, 2]), 0.0)
        floor = self.settings.identity_floor
        return max(alignment.confidence, 1e-3) * (floor + (1 - floor) * frontal**2)


def channel_gain(model):
    """Variance of every channel per variance of each landmark: (6 + E, 68), frontal face of scale 1 px/mm.

    Row c: how the noise of independent landmarks passes to channel c when it alone is fitted to them by
    least squares, B_l^2 / (sum_l |B_l|^2)^2 with B_l the landmark's motion in the image per unit of the
    channel. Order: rotation (rad), translation (mm), log scale, expressions.
    """
    shape = model.landmarks("ibug68")
    x = shape.mean - shape.mean.mean(0)
    zero = np.zeros(len(x))
    one = np.ones(len(x))
    motions = [
        np.stack([zero, -x[:, 2]], -1),
        np.stack([x[:, 2], zero], -1),
        np.stack([-x[:, 1], x[:, 0]], -1),
        np.stack([one, zero], -1),
        np.stack([zero, one], -1),
        x[:, :2],
        *shape.expression_basis[..., :2],
    ]
    energy = (np.stack(motions) ** 2).sum(-1)
    # Expressions that no landmark shows (a puffed cheek, the tongue) would have endless noise.
    total = np.maximum(energy.sum(-1, keepdims=True), 1.0)
    return energy / total**2


def _rodrigues(rotation):
    # One rotation, axis-angle to matrix or back: OpenCV is ten times faster here than `rotation`'s batches.
    out = cv2.Rodrigues(rotation)[0]
    return out[:, 0] if out.shape == (3, 1) else out
