"""The values that a sequence's energy is made of: weights, unknowns, and a neutral face known before."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from ..errors import InputError
from ..face_model.morphable import LinearShape

#: Places of a frame's unknowns: increments of its rotation and translation, then its expression.
POSE = 6


@dataclass(frozen=True)
class SequenceWeights:
    """Strength of every term of the energy. Raises InputError for values out of range.

    The defaults were chosen on heads whose truth is known, seen with errors like a network's: white, common
    to neighbours, slowly changing and constant, 1.4 percent of inter-ocular in all.
    """

    robust: Literal["none", "huber", "geman_mcclure"] = "geman_mcclure"
    """Loss of a point's error over its sigma."""
    robust_threshold: float = 6.0
    """Error, in sigmas, at which the robust loss sets in; less takes a quick blink for outliers."""
    independent_points: float = 50.0
    """Errors of neighbouring points go together: L points of one image weigh as min(L, this) would."""
    independent_frames: float = float("inf")
    """What is wrong of a face's points in one frame is wrong in the next: the face that all frames share is
    held by its priors (identity, neutral face, offsets) as if only so many of the frames told of it."""
    identity: float = 1.0
    """Residual per standard deviation of identity."""
    expression_l2: float = 4.0
    """Curvature of the expression prior of a frame."""
    expression_l1: float = 1.0
    """Slope of the expression prior at 0."""
    rotation_acceleration: float = 2.0
    """Standard deviation of the head's rotation, rad/s^2, at 30 frames a second."""
    translation_acceleration: float = 100.0
    """Standard deviation of the head's translation, mm/s^2, at 30 frames a second."""
    expression_acceleration: float = 30.0
    """Standard deviation of an activation, 1/s^2, at 30 frames a second."""
    acceleration_threshold: float = 0.5
    """Accelerations beyond so many standard deviations count linearly: Huber's loss. Faces are mostly at
    rest and then move at once, so that nearly an absolute value steadies them and leaves a blink (up to
    300 / s^2) or a nod its height. Squares, as in the paper (infinite), flatten a blink by a third."""
    neutral: float = 10.0
    """Weight of the mean squared distance, in mm^2, of the neutral face from a given one."""
    deform_mm: float = 1.0
    """Standard deviation of per-vertex offsets."""
    focal_log_sigma: float = 0.2
    """Standard deviation of the logarithm of a focal length about the one given; 0 keeps it."""

    def __post_init__(self):
        if self.robust not in ("none", "huber", "geman_mcclure"):
            raise InputError(f"robust must be none, huber or geman_mcclure; got {self.robust!r}")
        for name in ("expression_l1", "neutral", "focal_log_sigma"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0; got {getattr(self, name)}")
        others = {"robust", "expression_l1", "neutral", "focal_log_sigma"}
        for name in self.__dataclass_fields__.keys() - others:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be > 0; got {getattr(self, name)}")


@dataclass(frozen=True)
class SequenceState:
    """Everything that is fitted.

    rotation: (T, 3, 3) head to world; translation: (T, 3) mm; expression: (T, E) in [0, 1]; identity: (K,);
    log_focal: (C,); camera_rotation: (C, 3, 3) world to camera; camera_translation: (C, 3) mm; offsets:
    (M, 3) mm in the model frame.
    """

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    identity: np.ndarray
    log_focal: np.ndarray
    camera_rotation: np.ndarray
    camera_translation: np.ndarray
    offsets: np.ndarray

    def frames(self, index):
        """The same with some of the frames."""
        pose = self.rotation[index], self.translation[index], self.expression[index]
        return replace(self, rotation=pose[0], translation=pose[1], expression=pose[2])


@dataclass(frozen=True)
class NeutralPrior:
    """A neutral face known beforehand, in the model frame: points (N, 3) mm of a `LinearShape` of N."""

    shape: LinearShape
    points: np.ndarray

    def __post_init__(self):
        expected, got = np.shape(self.shape.mean), np.shape(self.points)
        if expected != got:
            raise InputError(f"the neutral face needs points of shape {expected}; got {got}")

    @classmethod
    def from_identities(cls, shape, identities):
        """The robust mean of what was predicted frame by frame: identities (T, K), not finite where none."""
        x = np.atleast_2d(np.asarray(identities, float))
        x = x[np.isfinite(x).all(-1)]
        if not len(x):
            raise InputError("a neutral face needs at least one finite identity")
        mean = np.median(x, 0)
        # Weiszfeld's steps to the geometric median.
        for _ in range(30):
            w = 1 / np.maximum(np.linalg.norm(x - mean, axis=-1), 1e-6)
            mean = w @ x / w.sum()
        return cls(shape, np.array(shape.neutral(mean), float))

    def quadratic(self, weight):
        """weight / 2 times the mean squared distance as c + g.a + a.H.a / 2: (c, g (K,), H (K, K))."""
        n = len(self.points)
        basis = np.asarray(self.shape.identity_basis, float).reshape(len(self.shape.identity_basis), -1)
        away = (np.asarray(self.shape.mean, float) - self.points).ravel()
        w = weight / n
        return w / 2 * away @ away, w * basis @ away, w * basis @ basis.T


@dataclass(frozen=True)
class Shared:
    """Which of the unknowns that all frames share are fitted, and their places in the step.

    identity: (K,) or none of it; focal: C; cameras: 6 (C - 1), all cameras but the first; offsets: 3 M.
    """

    identity: slice
    focal: slice
    cameras: slice
    offsets: slice

    @classmethod
    def of(cls, identity, focal, cameras, offsets):
        """From the number of unknowns of each kind, 0 where it is held."""
        ends = np.cumsum([0, identity, focal, cameras, offsets])
        return cls(*(slice(int(a), int(b)) for a, b in pairwise(ends)))

    @property
    def count(self):
        return self.offsets.stop
