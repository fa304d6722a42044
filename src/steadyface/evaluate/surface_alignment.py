"""Rigid and similarity alignment of a surface with points: by matching landmarks, then by closest points."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..fit.gauss_newton import SolverConfig, levenberg_marquardt
from ..rotation import matrix_from_axis_angle
from .closest_point import Surface


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale R x + translation. rotation: (3, 3); translation: (3,); scale: positive."""

    rotation: np.ndarray
    translation: np.ndarray
    scale: float = 1.0

    def apply(self, points):
        """points: (*, 3). Returns (*, 3)."""
        return self.scale * points @ self.rotation.T + self.translation

    def undo(self, points):
        """The inverse map: points (*, 3) to (*, 3)."""
        return (points - self.translation) @ self.rotation / self.scale


def align_points(source, target, scale=False):
    """The `Similarity` that brings points closest to others in the sense of least squares.

    source, target: (N, 3), N >= 3, pairs that are not finite are left out. scale: whether the size may
    change. Mirroring never helps itself in. Raises InputError if fewer than 3 pairs are left or all
    source points coincide. Source: Umeyama 1991, equations 39 to 43.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3:
        raise InputError(f"both sets of points must be the same (N, 3), got {source.shape}, {target.shape}")
    known = np.isfinite(source).all(1) & np.isfinite(target).all(1)
    if known.sum() < 3:
        raise InputError(f"an alignment needs at least 3 pairs of points, got {known.sum()}")
    source, target = source[known], target[known]
    mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - mean, target - target_mean
    if not (a**2).sum() > 0:
        raise InputError("the points to align all coincide")
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1])
    rotation = (u * sign) @ vt
    size = float((s * sign).sum() / (a**2).sum()) if scale else 1.0
    return Similarity(rotation, target_mean - size * rotation @ mean, size)


def align_surface(surface, points, start, scale=False, config=None):
    """Refine the `Similarity` that brings a surface to points, by their distances to it.

    Minimises sum_i |p_i - T(closest point of the surface)|^2 over T, that is the iterative closest point
    method (Besl and McKay 1992) with Gauss-Newton steps in place of matching, for point matching slides along
    surfaces slowly. surface: `Surface`; points: (N, 3) finite, in the target's frame and unit; start: T
    to begin with; scale: whether its size may change; config: `SolverConfig`.
    """
    assert isinstance(surface, Surface)
    middle = points.mean(0)
    last = {}

    def residuals(state):
        # The cost of a state and its linearisation ask for the same feet one after the other.
        if last.get("key") != state.tobytes():
            t = Similarity(state[:9].reshape(3, 3), state[9:12], state[12])
            near = surface.closest(t.undo(points), last.get("triangle"))
            last.update(key=state.tobytes(), triangle=near.triangle, foot=t.apply(near.point), pose=t)
        return last["foot"], last["triangle"], last["pose"]

    def cost(state, _):
        foot, _, _ = residuals(state[0])
        return np.array([0.5 * ((points - foot) ** 2).sum()])

    def linearize(state, _):
        foot, triangle, t = residuals(state[0])
        offset = points - foot
        distance = np.linalg.norm(offset, axis=1)
        # On the surface the direction of the distance is the triangle's normal, whichever way it points.
        corners = surface.corners[triangle]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ t.rotation.T
        length = np.linalg.norm(normal, axis=1)
        normal /= np.where(length > 0, length, 1)[:, None]
        touching = distance <= 1e-9 * np.ptp(points, axis=0).max()
        direction = np.where(touching[:, None], normal, offset / np.where(touching, 1, distance)[:, None])
        arm = foot - middle
        # The foot moves by w x arm + translation + growth arm; the distance loses the part along direction.
        columns = [-np.cross(arm, direction), -direction]
        if scale:
            columns.append(-(arm * direction).sum(1, keepdims=True))
        jacobian = np.concatenate(columns, 1)
        return (jacobian.T @ distance)[None], (jacobian.T @ jacobian)[None]

    def retract(state, step):
        turn = matrix_from_axis_angle(step[0, :3])
        growth = np.exp(step[0, 6]) if scale else 1.0
        rotation = turn @ state[0, :9].reshape(3, 3)
        translation = growth * turn @ (state[0, 9:12] - middle) + middle + step[0, 3:6]
        return np.concatenate([rotation.ravel(), translation, [growth * state[0, 12]]])[None]

    config = config or SolverConfig(max_iterations=100, cost_tolerance=1e-8)
    first = np.concatenate([start.rotation.ravel(), start.translation, [start.scale]])
    end = levenberg_marquardt(cost, linearize, first[None], retract=retract, config=config).state[0]
    return Similarity(end[:9].reshape(3, 3), end[9:12], float(end[12]))
