"""Fit one face, its cameras and a smooth motion to the 2D points of a whole sequence.

(FlowFace, section 3.2: 3D model fitting; minimised by Gauss-Newton instead of AdamW.)
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ..camera import Pinhole
from ..errors import InputError
from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle
from ..track import Track
from .blas_threads import one_blas_thread
from .block_arrow import frame_covariances
from .gauss_newton import SolverConfig
from .rig import Rig
from .sequence_energy import SequenceEnergy
from .sequence_solver import minimise
from .sequence_start import interpolated, start_from_points, view_features, well_spread
from .sequence_terms import POSE, SequenceState, SequenceWeights, Shared

#: Cost tolerances of a stage of a long sequence, and of frames that catch up before all moves, over that of
#: the solver.
STAGE, CATCH_UP = 10, 300


@dataclass(frozen=True)
class SequenceConfig:
    """How the energy is minimised. Raises InputError for values out of range."""

    solver: SolverConfig = field(
        default_factory=lambda: SolverConfig(
            max_iterations=15,
            cost_tolerance=5e-4,
            step_tolerance=1e-6,
            initial_damping=1e-4,
            active_set_passes=2,
        )
    )
    """When the solver stops, where all is fitted at once. Long sequences, fitted in stages, end each stage
    at `STAGE` times its cost tolerance: what that leaves is far below what noise does."""
    key_frames: int = 64
    """Well-spread frames from which the identity, the focal lengths and the cameras are found first."""
    start_frames: int = 24
    """Frames that are fitted one by one where no start is given."""
    stride: int = 4
    """Where no start is given, every so many frames are fitted before all of them are."""
    window: int = 1500
    """Sequences longer than this are fitted in windows of so many frames with the identity, focal lengths
    and cameras of the key frames: memory stays bounded."""
    overlap: int = 30
    """Frames at either side of a window that are fitted again by its neighbour; the error left by cutting
    the sequence there falls off within them."""
    threads: int = 1
    """Threads that linearise the energy."""
    covariance: bool = True
    """Whether covariances are computed at the end."""

    def __post_init__(self):
        for name in ("key_frames", "start_frames", "stride", "window", "overlap", "threads"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} must be >= 1; got {getattr(self, name)}")


@dataclass(frozen=True)
class SequenceFit:
    """A fitted sequence of T frames, C cameras and L points.

    rotation: (T, 3) axis-angle, head to world; translation: (T, 3) mm; expression: (T, E) in [0, 1];
    identity: (K,); rig: the fitted `Rig`; offsets: (M, 3) mm of the points `moved` (M,), in the model frame;
    seen: (T,) number of points the frame was fitted to, 0 for a frame that is interpolated; inlier:
    (T, C, L) robust weight of each point, 0 where it is not seen; confidence: (T,) in [0, 1], mean of that
    over the frame's seen points; covariance: (T, 6 + E, 6 + E) of rotation increment, translation and
    expression, given the identity and the cameras, or None; costs: energy of the start and after each
    accepted step (of the last window); iterations: steps tried in all; converged: whether every stage was.
    """

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    identity: np.ndarray
    rig: Rig
    offsets: np.ndarray
    moved: np.ndarray
    seen: np.ndarray
    inlier: np.ndarray
    confidence: np.ndarray
    covariance: np.ndarray | None
    costs: list[float]
    iterations: int
    converged: bool

    def __len__(self):
        return len(self.rotation)

    @property
    def focal(self):
        """(C,) px."""
        return self.rig.focal

    def world_points(self, shape, frames=slice(None)):
        """Points of a `LinearShape`, without offsets, in the world: (T, P, 3) mm."""
        expression = self.expression[frames]
        s = shape.neutral(self.identity) + (
            expression.astype(shape.mean.dtype) @ shape.expression_basis.reshape(-1, shape.mean.size)
        ).reshape(*expression.shape[:-1], *shape.mean.shape)
        r = matrix_from_axis_angle(self.rotation[frames])
        return s @ np.swapaxes(r, -1, -2) + self.translation[frames][..., None, :]

    def project(self, shape, camera=0, frames=slice(None)):
        """Points of a `LinearShape`, without offsets, in a camera's image: (T, P, 2) px."""
        return self.rig.project(self.world_points(shape, frames), camera)

    def point_sigma(self, shape, camera=0, chunk=64):
        """Standard deviation of a shape's points in a camera's image, root mean square of x and y.

        Returns (T, P) px. Raises InputError if the fit was made without covariances.
        """
        if self.covariance is None:
            raise InputError("the fit was made without covariances: set SequenceConfig.covariance")
        out = np.empty((len(self), len(shape.mean)))
        basis = np.asarray(shape.expression_basis, float).transpose(1, 2, 0)
        for a in range(0, len(self), chunk):
            at = slice(a, a + chunk)
            world = self.world_points(shape, at)
            x = world @ self.rig.rotation[camera].T + self.rig.translation[camera]
            d = (
                Pinhole(self.rig.focal[camera], self.rig.center[camera]).J_project(x)
                @ self.rig.rotation[camera]
            )
            rotation = matrix_from_axis_angle(self.rotation[at])
            turned = world - self.translation[at, None]
            pose = np.concatenate([np.cross(turned[:, :, None], d), d], -1)
            jacobian = np.concatenate([pose, (d @ rotation[:, None]) @ basis], -1).astype(np.float32)
            flat = jacobian.reshape(len(x), -1, jacobian.shape[-1])
            variance = ((flat @ self.covariance[at]) * flat).sum(-1).reshape(len(x), -1, 2)
            out[at] = np.sqrt(np.maximum(variance.mean(-1), 0))
        return out

    def to_track(self, model, *, image_size, fps, frame_index=None, time_s=None):
        """The `Track` in camera 0, with its focal length; offsets, which a track lacks, are left out.

        model: the `MorphableModel`; image_size: (width, height) px; frame_index: (T,), None for 0 to T - 1;
        time_s: (T,), None for frame_index / fps.
        """
        index = np.arange(len(self)) if frame_index is None else np.asarray(frame_index)
        rotation = self.rig.rotation[0] @ matrix_from_axis_angle(self.rotation)
        translation = self.translation @ self.rig.rotation[0].T + self.rig.translation[0]
        if self.covariance is None:
            sigma = np.full((len(self), 68), np.nan)
        else:
            sigma = self.point_sigma(model.landmarks("ibug68"))
        return Track(
            frame_index=index,
            time_s=index / fps if time_s is None else np.asarray(time_s, float),
            rotation=axis_angle_from_matrix(rotation),
            translation=translation,
            scale=self.rig.focal[0] / translation[:, 2],
            center=self.rig.center[0],
            identity=self.identity,
            expression=self.expression,
            sigma=sigma,
            confidence=self.confidence,
            image_size=(int(image_size[0]), int(image_size[1])),
            fps=float(fps),
            model=model,
            focal=float(self.rig.focal[0]),
        )


@one_blas_thread()
def fit_sequence(
    points,
    sigma,
    shape,
    *,
    rig,
    time_s=None,
    point_weights=None,
    weights=None,
    initial=None,
    neutral=None,
    moved=None,
    config=None,
):
    """Fit pose and expression of every frame, one identity and the cameras, to 2D points with sigmas.

    points: (T, C, L, 2) px, or (T, L, 2) for one camera; sigma: (T, C, L) or (T, L) px, inf or NaN for a
    point that is not seen (so is a point that is not finite); shape: `LinearShape` of the same L points, for
    instance ``model.landmarks("ibug68")``; rig: the cameras, `Rig.single(image_size)` for one; time_s: (T,)
    increasing, None for 30 frames a second; point_weights: (L,) >= 0, lambda of each point; initial:
    `SequenceStart`, None to start from the points; neutral: `NeutralPrior` of a neutral face known
    beforehand; moved: (M,) indices of points with offsets of their own, for several cameras.

    Sequences of up to ``config.window`` frames are fitted whole, longer ones in windows. Returns
    `SequenceFit`. Raises InputError if shapes do not match, times do not increase, or nothing is seen.
    """
    weights, config = weights or SequenceWeights(), config or SequenceConfig()
    points, root = _checked(points, sigma, shape, rig)
    t, c, count = points.shape[:3]
    time_s = np.arange(t) / 30 if time_s is None else np.asarray(time_s, float)
    if time_s.shape != (t,) or not np.isfinite(time_s).all() or not (np.diff(time_s) > 0).all():
        raise InputError(f"time_s must be ({t},) increasing seconds; got shape {time_s.shape}")
    if point_weights is not None:
        factor = np.asarray(point_weights, float)
        if factor.shape != (count,) or not (np.isfinite(factor).all() and (factor >= 0).all()):
            raise InputError(f"point_weights must be ({count},) finite and >= 0; got shape {factor.shape}")
        root *= np.sqrt(factor).astype(root.dtype)
    moved = np.zeros(0, int) if moved is None else np.unique(np.asarray(moved, int))
    if len(moved) and (c < 2 or moved[0] < 0 or moved[-1] >= count):
        raise InputError(f"offsets need at least 2 cameras and point indices in 0 to {count - 1}")
    if not (root > 0).any():
        raise InputError("a sequence fit needs points that are seen: every sigma is missing")
    rough = initial is None
    if initial is None:
        initial, rig = start_from_points(points, root, shape, rig, config.start_frames)
    elif not rig.known:
        _, rig = start_from_points(points, root, shape, rig, 1)
    sizes = (len(initial.rotation), initial.expression.shape[-1], len(initial.identity))
    if sizes != (t, len(shape.expression_basis), len(shape.identity_basis)):
        raise InputError(
            f"the start has {sizes[0]} frames, {sizes[1]} expressions and {sizes[2]} identity components; "
            f"points and shape have {t}, {len(shape.expression_basis)} and {len(shape.identity_basis)}"
        )
    state = SequenceState(
        matrix_from_axis_angle(initial.rotation),
        initial.translation,
        initial.expression,
        initial.identity,
        np.log(rig.focal),
        rig.rotation,
        rig.translation,
        np.zeros((len(moved), 3)),
    )
    problem = _Problem(points, root, shape, rig, time_s, weights, neutral, moved, config)
    return problem.fit(state, rough)


def _checked(points, sigma, shape, rig):
    """points (T, C, L, 2), 0 where not seen, and 1 / sigma (T, C, L), 0 there."""
    points, sigma = np.asarray(points), np.asarray(sigma)
    kind = np.float32 if points.dtype == np.float32 else float
    if points.ndim == 3 and len(rig) == 1:
        points, sigma = points[:, None], sigma[:, None] if sigma.ndim == 2 else sigma
    count = len(shape.mean)
    if points.ndim != 4 or points.shape[1:] != (len(rig), count, 2) or not len(points):
        raise InputError(
            f"points must be (T, {len(rig)}, {count}, 2) pixels for this rig and shape; got {points.shape}"
        )
    if sigma.shape != points.shape[:-1]:
        raise InputError(f"sigma must be {points.shape[:-1]} px, one a point; got {sigma.shape}")
    seen = np.isfinite(points).all(-1) & np.isfinite(sigma)
    if (sigma[seen] <= 0).any():
        raise InputError("sigma must be > 0 px; give points that are not seen an infinite one")
    root = np.zeros(sigma.shape, kind)
    root[seen] = 1 / sigma[seen]
    return np.where(seen[..., None], points, 0).astype(kind), root


class _Problem:
    """The data of a fit, cut into key frames and windows."""

    def __init__(self, points, root, shape, rig, time_s, weights, neutral, moved, config):
        self.points, self.root, self.shape, self.rig, self.time_s = points, root, shape, rig, time_s
        self.weights, self.neutral, self.moved, self.config = weights, neutral, moved, config
        self.guess = np.log(rig.focal)
        self.all_shared = Shared.of(
            len(shape.identity_basis),
            len(rig) if weights.focal_log_sigma > 0 else 0,
            0 if rig.known else 6 * (len(rig) - 1),
            3 * len(moved),
        )

    def energy(self, frames, *, shared=True, ordered=True):
        """The energy of some frames; shared: whether the identity and the cameras are fitted; ordered:
        whether the frames follow each other."""
        return SequenceEnergy(
            self.points[frames],
            self.root[frames],
            self.shape,
            center=self.rig.center,
            log_focal=self.guess,
            time_s=self.time_s[frames] if ordered else None,
            weights=self.weights,
            prior=self.neutral,
            moved=self.moved,
            shared=self.all_shared if shared else Shared.of(0, 0, 0, 0),
            threads=self.config.threads,
        )

    def fit(self, state, rough):
        """The `SequenceFit` from a state; rough: whether its frames are only a guess."""
        c, t = self.config, len(self.points)
        if t <= c.key_frames:
            parts = [minimise(self.energy(slice(None)), state, c.solver)]
            return self.result(parts[-1].state, self.covariance(parts[-1]), parts)
        keys, found, solution = self.fit_key_frames(state)
        parts = [solution]
        state = self.following(state, keys, found, rough)
        if rough and t > c.stride * 3:
            some = np.unique(np.append(np.arange(0, t, c.stride), t - 1))
            parts.append(minimise(self.energy(some, shared=False), state.frames(some), self.until(CATCH_UP)))
            state = self.following(state, some, parts[-1].state, rough)
        if t > c.window:
            state, covariance, solutions = self.fit_windows(state)
            return self.result(state, covariance, parts + solutions)
        # The frames catch up with the identity by themselves, which is cheaper, before all moves.
        parts.append(minimise(self.energy(slice(None), shared=False), state, self.until(CATCH_UP)))
        parts.append(minimise(self.energy(slice(None)), parts[-1].state, self.until(STAGE)))
        return self.result(parts[-1].state, self.covariance(parts[-1]), parts)

    def until(self, factor):
        """The solver's configuration with so many times its cost tolerance."""
        solver = self.config.solver
        return replace(solver, cost_tolerance=factor * solver.cost_tolerance)

    def fit_key_frames(self, state):
        """Identity and cameras from well-spread frames: their indices, state and solution."""
        usable = (self.root > 0).any((1, 2))
        keys = well_spread(view_features(state.rotation, state.translation), self.config.key_frames, usable)
        solution = minimise(self.energy(keys, ordered=False), state.frames(keys), self.until(STAGE))
        return keys, solution.state, solution

    def following(self, state, some, found, rough):
        """All frames after some of them were fitted: what those moved by is interpolated for the others.

        rough: whether the expressions of the others are worth less than what interpolation gives.
        """
        at, t = some.astype(float), np.arange(len(self.points), dtype=float)
        turn = found.rotation @ np.swapaxes(state.rotation[some], -1, -2)
        moved = found.translation - state.translation[some]
        expression = found.expression if rough else found.expression - state.expression[some]
        turn, moved, expression = interpolated(at, t, turn, moved, expression)
        if not rough:
            expression = np.clip(state.expression + expression, *np.asarray(self.shape.bounds, float).T)
        rotation, translation = turn @ state.rotation, state.translation + moved
        for x, y in (
            (rotation, found.rotation),
            (translation, found.translation),
            (expression, found.expression),
        ):
            x[some] = y
        return replace(found, rotation=rotation, translation=translation, expression=expression)

    def fit_windows(self, state):
        """Windows over a long sequence, the shared unknowns held: the state, covariances and solutions."""
        c, t = self.config, len(self.points)
        p = POSE + state.expression.shape[-1]
        covariance = np.empty((t, p, p), np.float32) if c.covariance else None
        pose = [np.array(x) for x in (state.rotation, state.translation, state.expression)]
        solutions = []
        for a in range(0, t, c.window):
            b = min(a + c.window, t)
            near = slice(max(a - c.overlap, 0), min(b + c.overlap, t))
            energy = self.energy(near, shared=False)
            # Two frames before the window are done, and tie it to what came before.
            held = np.zeros(near.stop - near.start, bool)
            held[:2] = a > 0
            start = replace(
                state, rotation=pose[0][near], translation=pose[1][near], expression=pose[2][near]
            )
            solutions.append(minimise(energy, start, self.until(STAGE), held))
            found = solutions[-1].state
            inside = slice(a - near.start, b - near.start)
            for x, y in zip(pose, (found.rotation, found.translation, found.expression), strict=True):
                x[a:b] = y[inside]
            spread = self.covariance(solutions[-1])
            if covariance is not None and spread is not None:
                covariance[a:b] = spread[inside]
        return (
            replace(state, rotation=pose[0], translation=pose[1], expression=pose[2]),
            covariance,
            solutions,
        )

    def covariance(self, solution):
        if not self.config.covariance or solution.system is None:
            return None
        return frame_covariances(solution.system).astype(np.float32)

    def result(self, state, covariance, parts):
        t = len(self.root)
        inlier = np.zeros(self.root.shape, np.float32)
        for a in range(0, t, 256):
            at = slice(a, min(a + 256, t))
            inlier[at] = self.energy(at, shared=False, ordered=False).inliers(state.frames(at))
        number = (self.root > 0).sum((1, 2))
        rig = replace(
            self.rig,
            focal=np.exp(state.log_focal),
            rotation=state.camera_rotation,
            translation=state.camera_translation,
        )
        return SequenceFit(
            axis_angle_from_matrix(state.rotation),
            state.translation,
            state.expression,
            state.identity,
            rig,
            state.offsets,
            self.moved,
            number,
            inlier,
            inlier.sum((1, 2)) / np.maximum(number, 1),
            covariance,
            parts[-1].costs,
            sum(p.iterations for p in parts),
            all(p.converged for p in parts),
        )
