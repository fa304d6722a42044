"""Sequences of a moving face whose truth is known, seen by one or more pinhole cameras."""

from dataclasses import dataclass, replace

import numpy as np

from steadyface.fit.rig import Rig
from steadyface.fit.sequence_start import SequenceStart
from steadyface.rotation import axis_angle_from_matrix, matrix_from_axis_angle, matrix_from_euler

SIZE = (640, 480)


@dataclass(frozen=True)
class Sequence:
    """points (T, C, L, 2) px with noise, exact (T, C, L, 2), sigma (T, C, L), and what made them."""

    points: np.ndarray
    exact: np.ndarray
    sigma: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    identity: np.ndarray
    rig: Rig

    def start(self, seed=9, spread=1.0):
        """A guess off the truth."""
        rng = np.random.default_rng(seed)
        turn = matrix_from_axis_angle(rng.normal(0, 0.03 * spread, (len(self.rotation), 3)))
        return SequenceStart(
            axis_angle_from_matrix(turn @ self.rotation),
            self.translation + rng.normal(0, 5 * spread, self.translation.shape),
            np.clip(self.expression + rng.normal(0, 0.1 * spread, self.expression.shape), 0, 1),
            self.identity * (1 - 0.3 * spread),
        )


def two_cameras():
    """Cameras 40 degrees apart that look at the origin's surroundings from 700 mm."""
    turn = matrix_from_axis_angle(np.array([0.05, 0.7, 0.02]))
    middle = np.array([0, 0, 700.0])
    return Rig(
        np.array([800.0, 760.0]),
        np.tile((np.array(SIZE) - 1) / 2, (2, 1)),
        np.stack([np.eye(3), turn]),
        np.stack([np.zeros(3), middle - turn @ middle]),
    )


def sequence(shape, frames=24, noise=0.0, seed=0, rig=None):
    """A face that turns, nods and moves its expressions smoothly, some of them at rest."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 30
    rig = rig or replace(Rig.single(SIZE), focal=np.array([800.0]))
    angles = np.stack([0.2 * np.sin(2 * t + 1), 0.5 * np.sin(1.7 * t), 0.1 * np.sin(1.1 * t)], -1)
    rotation = matrix_from_euler(angles)
    translation = np.stack([30 * np.sin(t), 20 * np.cos(1.3 * t), 700 + 60 * np.sin(0.9 * t)], -1)
    e = len(shape.expression_basis)
    phase, rate = rng.uniform(0, 6, e), rng.uniform(1, 5, e)
    expression = np.clip(0.5 * np.sin(rate * t[:, None] + phase) + 0.2, 0, 1)
    identity = rng.normal(0, 0.8, len(shape.identity_basis))
    s = shape(np.broadcast_to(identity, (frames, len(identity))), expression).astype(float)
    world = s @ np.swapaxes(rotation, -1, -2) + translation[:, None]
    exact = np.stack([rig.project(world, c) for c in range(len(rig))], 1)
    points = exact + rng.normal(0, noise, exact.shape)
    sigma = np.full(exact.shape[:3], noise or 0.1)
    return Sequence(points, exact, sigma, rotation, translation, expression, identity, rig)


def turn_between(a, b):
    """Angle between rotations (T, 3, 3): (T,) radians."""
    return np.linalg.norm(axis_angle_from_matrix(a @ np.swapaxes(b, -1, -2)), axis=-1)
