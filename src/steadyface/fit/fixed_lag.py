"""The sequence fit of a stream: every frame settles a fixed number of frames after it was seen."""

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..rotation import axis_angle_from_matrix
from .blas_threads import one_blas_thread
from .gauss_newton import SolverConfig
from .sequence_energy import SequenceEnergy
from .sequence_solver import minimise
from .sequence_start import image_poses, in_world
from .sequence_terms import SequenceState, SequenceWeights, Shared


@dataclass(frozen=True)
class LagConfig:
    """How long frames wait. Raises InputError for values out of range."""

    lag: int = 20
    """Frames that follow a frame when it is settled."""
    stride: int = 5
    """Frames settled at a time: the window is solved once for so many new ones."""
    solver: SolverConfig = field(
        default_factory=lambda: SolverConfig(
            max_iterations=8, cost_tolerance=1e-3, step_tolerance=1e-6, active_set_passes=3
        )
    )
    """When the solver stops."""

    def __post_init__(self):
        for name in ("lag", "stride"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} must be >= 1; got {getattr(self, name)}")


@dataclass(frozen=True)
class SettledFrames:
    """Frames that change no more: rotation (N, 3) axis-angle, head to world; translation (N, 3) mm;
    expression (N, E); time_s (N,)."""

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    time_s: np.ndarray

    def __len__(self):
        return len(self.rotation)


class FixedLagFit:
    """Fits a stream of one face of known identity with known cameras: `push` frames, then `finish`.

    A window moves along: the frames not settled yet, tied by the smoothness of motion to the two before
    them, which stay. Memory does not grow with the stream.
    """

    def __init__(self, shape, rig, identity, *, weights=None, config=None):
        """shape: `LinearShape` of L points; rig: the `Rig`, places known; identity: (K,), for instance of
        `fit_sequence` on the first seconds. Raises InputError if the places or the identity do not fit."""
        if not rig.known:
            raise InputError("a stream needs cameras of known places: fit_sequence finds them")
        if np.shape(identity) != (len(shape.identity_basis),):
            raise InputError(f"the identity must be ({len(shape.identity_basis)},); got {np.shape(identity)}")
        self._shape, self._rig = shape, rig
        self._identity = np.array(identity, float)
        self._weights, self._config = weights or SequenceWeights(), config or LagConfig()
        self._neutral = np.array(shape.neutral(self._identity), float)
        self._points, self._root, self._time = [], [], []
        self._pose: list[tuple] = []
        self._settled = 0

    def push(self, points, sigma, time_s):
        """Take in a frame: points (C, L, 2) px, sigma (C, L) px, inf or NaN where not seen; time_s: seconds.

        Returns the `SettledFrames` that this completes, often none. Raises InputError if shapes do not match
        or time does not increase.
        """
        points, sigma = np.asarray(points, float), np.asarray(sigma, float)
        expected = (len(self._rig), len(self._neutral), 2)
        if points.shape != expected or sigma.shape != expected[:2]:
            raise InputError(
                f"a frame needs points {expected} and sigma {expected[:2]}; got {points.shape}, {sigma.shape}"
            )
        if not np.isfinite(time_s) or (self._time and time_s <= self._time[-1]):
            raise InputError(f"the time of frames must increase; got {time_s}")
        seen = np.isfinite(points).all(-1) & np.isfinite(sigma)
        if (sigma[seen] <= 0).any():
            raise InputError("sigma must be > 0 px; give points that are not seen an infinite one")
        self._points.append(np.where(seen[..., None], points, 0))
        self._root.append(np.where(seen, 1 / np.where(seen, sigma, 1), 0))
        self._time.append(float(time_s))
        self._pose.append(self._guess())
        if len(self._points) - self._settled < self._config.lag + self._config.stride:
            return self._taken(0)
        self._solve()
        return self._taken(self._config.stride)

    def finish(self):
        """Settle what is left: `SettledFrames`."""
        left = len(self._points) - self._settled
        if left:
            self._solve()
        return self._taken(left)

    def _guess(self):
        """Pose of the newest frame in closed form, and the expression of the one before."""
        before = self._pose[-1] if self._pose else None
        rest = np.clip(0.0, *np.asarray(self._shape.bounds, float).T)
        expression = rest if before is None else before[2]
        moved = np.tensordot(expression, np.asarray(self._shape.expression_basis, float), 1)
        reference = self._neutral + moved
        points, root, rig = self._points[-1][None], self._root[-1][None], self._rig
        poses = [
            image_poses(points[:, c], root[:, c], reference, rig.focal[c], rig.center[c])
            for c in range(len(rig))
        ]
        rotation, translation, has = in_world(rig, poses)
        if has[0] or before is None:
            return rotation[0], translation[0], expression
        return before

    @one_blas_thread()
    def _solve(self):
        rotation, translation, expression = (np.stack(x) for x in zip(*self._pose, strict=True))
        rig = self._rig
        state = SequenceState(
            rotation=rotation,
            translation=translation,
            expression=expression,
            identity=self._identity,
            log_focal=np.log(rig.focal),
            camera_rotation=rig.rotation,
            camera_translation=rig.translation,
            offsets=np.zeros((0, 3)),
        )
        energy = SequenceEnergy(
            np.stack(self._points),
            np.stack(self._root),
            self._shape,
            center=rig.center,
            log_focal=np.log(rig.focal),
            time_s=np.array(self._time),
            weights=self._weights,
            prior=None,
            moved=np.zeros(0, int),
            shared=Shared.of(0, 0, 0, 0),
        )
        held = np.arange(len(self._points)) < self._settled
        found = minimise(energy, state, self._config.solver, held).state
        self._pose = list(zip(found.rotation, found.translation, found.expression, strict=True))

    def _taken(self, count):
        """The next frames, now settled; all but the last two of those are forgotten."""
        done = slice(self._settled, self._settled + count)
        expressions = len(self._shape.expression_basis)
        frames = SettledFrames(
            axis_angle_from_matrix(np.array([p[0] for p in self._pose[done]]).reshape(-1, 3, 3)),
            np.array([p[1] for p in self._pose[done]]).reshape(-1, 3),
            np.array([p[2] for p in self._pose[done]]).reshape(-1, expressions),
            np.array(self._time[done]),
        )
        if count:
            self._settled += count
            drop = max(self._settled - 2, 0)
            for values in (self._points, self._root, self._time, self._pose):
                del values[:drop]
            self._settled -= drop
        return frames
