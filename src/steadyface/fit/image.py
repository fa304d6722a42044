"""Fit the face model to one image's 2D points: pose, identity and expression, many faces at once."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..camera import Pinhole, WeakPerspective
from ..errors import InputError
from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle
from . import residuals as res
from .gauss_newton import SolverConfig, levenberg_marquardt


@dataclass(frozen=True)
class FitConfig:
    """Strengths of the fit. Point errors are measured in mm on the head, so image size does not matter."""

    point_sigma_mm: float = 3.0
    """Standard deviation of a point of weight 1. Neighbouring points err together, so it is larger than
    the error of any one of them."""
    identity_strength: float = 1.0
    """Residual per standard deviation of identity, and of expressions that may be negative."""
    expression_l2: float = 4.0
    """Curvature of the expression prior."""
    expression_l1: float = 0.5
    """Slope of the expression prior at 0: what an activation must gain before it appears."""
    robust: Literal["none", "huber", "geman_mcclure"] = "none"
    """Down-weight points far from the fit."""
    robust_threshold_mm: float = 4.0
    """Distance at which the robust weight sets in."""
    robust_rounds: int = 3
    """Times the robust weights are set anew and the fit continued."""
    focal: float | None = None
    """Pinhole focal length in px; None: the longer side of the image."""
    focal_log_sigma: float = 0.0
    """Standard deviation of the logarithm of the focal length; 0 keeps it fixed."""
    solver: SolverConfig = field(default_factory=lambda: SolverConfig(max_iterations=20, cost_tolerance=1e-4))
    """When the solver stops."""
    chunk: int = 16
    """Faces solved together: small enough to stay in the cache."""

    def __post_init__(self):
        positive = ("point_sigma_mm", "identity_strength", "expression_l2", "robust_threshold_mm", "chunk")
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be > 0; got {getattr(self, name)}")
        for name in ("expression_l1", "focal_log_sigma", "robust_rounds"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0; got {getattr(self, name)}")
        if self.robust not in ("none", "huber", "geman_mcclure"):
            raise InputError(f"robust must be none, huber or geman_mcclure; got {self.robust!r}")


@dataclass(frozen=True)
class ImageFit:
    """The fitted face, or a batch of them (*).

    rotation: (*, 3) axis-angle; translation: (*, 3) mm, of the model origin in the camera frame (zero under
    weak perspective, whose ``camera.center`` is the origin's image); camera: `WeakPerspective` or `Pinhole`;
    identity: (*, K); expression: (*, E) within its bounds; residual: (*,) px, weighted root mean square
    distance of the points; converged: (*,) bool.
    """

    rotation: np.ndarray
    translation: np.ndarray
    camera: WeakPerspective | Pinhole
    identity: np.ndarray
    expression: np.ndarray
    residual: np.ndarray
    converged: np.ndarray

    @property
    def scale(self):
        """Pixels per mm at the model origin: (*,)."""
        if isinstance(self.camera, WeakPerspective):
            return self.camera.scale
        return self.camera.focal / self.translation[..., 2]

    def points(self, shape):
        """Points of a `LinearShape` in the camera frame: (*, P, 3) mm."""
        r = matrix_from_axis_angle(self.rotation)
        s = shape(self.identity, self.expression)
        return s @ np.swapaxes(r, -1, -2) + self.translation[..., None, :]

    def project(self, shape):
        """Points of a `LinearShape` in the image: (*, P, 2) px."""
        return self.camera.project(self.points(shape))


def weak_perspective_pose(points, reference, weights=None):
    """Closed-form scaled orthographic pose: the best affine map of the points, made orthogonal.

    points: (*, L, 2) px; reference: (L, 3) mm; weights: (*, L) or None. Returns rotation
    (*, 3, 3), scale (*,) px per mm, translation (*, 2) px.
    """
    w = np.ones(points.shape[:-1]) if weights is None else np.broadcast_to(weights, points.shape[:-1])
    w = w / w.sum(-1, keepdims=True)
    mean3 = w @ reference
    mean2 = np.einsum("...l,...lc->...c", w, points)
    x = reference - mean3[..., None, :]
    y = points - mean2[..., None, :]
    xw = np.swapaxes(x * w[..., None], -1, -2)
    # Points of one plane leave the affine map open across it: the smallest one will do for a start.
    affine = np.swapaxes(np.linalg.pinv(xw @ x, rcond=1e-12, hermitian=True) @ (xw @ y), -1, -2)
    u, d, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.concatenate([rows, np.cross(rows[..., 0, :], rows[..., 1, :])[..., None, :]], -2)
    scale = d.mean(-1)
    translation = mean2 - scale[..., None] * np.einsum("...ij,...j->...i", rows, mean3)
    return rotation, scale, translation


def fit_image(points, shape, *, weights=None, camera="weak_perspective", image_size=None, config=None):
    """Fit pose, identity and expression to 2D points by Levenberg-Marquardt.

    points: (*, L, 2) px; shape: `LinearShape` of the same L points; weights: (L,) or (*, L), >= 0, inverse
    variances relative to ``config.point_sigma_mm`` (0: the point is not seen); camera: "weak_perspective" or
    "pinhole", which needs image_size (width, height) px for its centre and nominal focal length.
    Returns `ImageFit`. Raises InputError if shapes do not match, a weighted point is not finite, or fewer
    than 6 points have weight.
    """
    config = config or FitConfig()
    points = np.asarray(points, float)
    count = len(shape.mean)
    if points.ndim < 2 or points.shape[-2:] != (count, 2):
        raise InputError(f"points must be (*, {count}, 2) pixels for this shape; got {points.shape}")
    if camera not in ("weak_perspective", "pinhole"):
        raise InputError(f"camera must be 'weak_perspective' or 'pinhole'; got {camera!r}")
    if camera == "pinhole" and image_size is None:
        raise InputError("the pinhole camera needs image_size=(width, height)")
    lead = points.shape[:-2]
    weights = np.ones(count) if weights is None else np.asarray(weights, float)
    if weights.shape[-1:] != (count,) or weights.ndim > points.ndim - 1:
        raise InputError(f"weights must be ({count},) or (*, {count}); got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InputError("weights must be finite and >= 0")
    try:
        weights = np.broadcast_to(weights, (*lead, count)).reshape(-1, count)
    except ValueError:
        raise InputError(f"weights {weights.shape} do not match points {points.shape}") from None
    flat = points.reshape(-1, count, 2)
    if len(flat) and (weights > 0).sum(-1).min() < 6:
        raise InputError("a fit needs at least 6 points of positive weight")
    if not np.isfinite(flat[weights > 0]).all():
        raise InputError("points of positive weight must be finite; give points that are not seen weight 0")
    flat = np.where(weights[..., None] > 0, flat, 0)

    problem = _Problem(shape, camera, image_size, config)
    starts = range(0, max(len(flat), 1), config.chunk)
    parts = [problem.fit(flat[i : i + config.chunk], weights[i : i + config.chunk]) for i in starts]
    columns = [np.concatenate(c).reshape((*lead, *c[0].shape[1:])) for c in zip(*parts, strict=True)]
    rotation, translation, scale, center, identity, expression, residual, converged = columns
    value = WeakPerspective(scale, center) if camera == "weak_perspective" else Pinhole(scale, center)
    vector = axis_angle_from_matrix(rotation)
    return ImageFit(vector, translation, value, identity, expression, residual, converged)


class _Problem:
    """The fit of one shape under one camera, with its basis laid out once.

    A state row is [rotation 9, log scale or log focal 1, translation 2 or 3, identity K, expression E];
    a step has the rotation increment, 3, in place of the matrix.
    """

    def __init__(self, shape, camera, image_size, config):
        self.shape, self.config, self.pinhole = shape, config, camera == "pinhole"
        self.mean = np.asarray(shape.mean, float)
        self.k, self.e = len(shape.identity_basis), len(shape.expression_basis)
        basis = np.concatenate([shape.identity_basis, shape.expression_basis])
        self.flat_basis = basis.reshape(len(basis), -1).astype(float)
        # Jacobians need no more than single precision: they steer the steps, the cost decides.
        self.basis = basis.astype(np.float32)
        self.known_gram = None, None
        # An expression of either sign is in standard-normal units; an activation has a cost to appear.
        self.low, self.high = shape.bounds.T
        signed = self.low < 0
        self.l2 = np.where(signed, config.identity_strength**2, config.expression_l2)
        self.l1 = np.where(signed, 0.0, config.expression_l1)
        self.columns = np.ascontiguousarray(self.basis.reshape(len(basis), -1).T)
        self.pose_count = 7 if self.pinhole else 6
        if self.pinhole:
            w, h = image_size
            self.center = np.array([(w - 1) / 2, (h - 1) / 2])
            self.focal = float(config.focal or max(w, h))

    def fit(self, points, weights):
        c = self.config
        rotation, scale, translation = weak_perspective_pose(points, self.mean, weights)
        scale = np.maximum(scale, 1e-12)
        if self.pinhole:
            depth = self.focal / scale
            translation = np.concatenate([(translation - self.center) / scale[:, None], depth[:, None]], -1)
            first = np.full(len(points), np.log(self.focal))
        else:
            first = np.log(scale)
        shape_start = np.zeros((len(points), self.k + self.e))
        state = np.concatenate([rotation.reshape(-1, 9), first[:, None], translation, shape_start], -1)
        sigma = c.point_sigma_mm * scale
        rounds = 1 if c.robust == "none" else 1 + c.robust_rounds
        root = np.sqrt(weights) / sigma[:, None]
        shared = rounds == 1 and not self.pinhole and (weights == weights[:1]).all()
        gram = self.gram(weights[0]) if shared else None
        solution = None
        for i in range(rounds):
            if i:
                distance = np.linalg.norm(self.reproject(state, points)[0], axis=-1) / scale[:, None]
                weigh = res.huber_weight if c.robust == "huber" else res.geman_mcclure_weight
                root = np.sqrt(weights * weigh(distance, c.robust_threshold_mm)) / sigma[:, None]
            solution = levenberg_marquardt(
                lambda x, n, root=root: self.cost(x, points[n], root[n]),
                lambda x, n, root=root: self.linearize(x, points[n], root[n], gram),
                state,
                retract=self.retract,
                bounds=self.bounds,
                config=c.solver,
            )
            state = solution.state
        assert solution is not None
        rotation, first, translation, identity, expression = self.split(state)
        error = (self.reproject(state, points)[0] ** 2).sum(-1)
        residual = np.sqrt((weights * error).sum(-1) / weights.sum(-1))
        if self.pinhole:
            center = np.broadcast_to(self.center, (len(points), 2))
        else:
            center, translation = translation, np.zeros((len(points), 3))
        pose = (rotation, translation, np.exp(first), center)
        return *pose, identity, expression, residual, solution.converged

    def split(self, state):
        a = 10 + self.pose_count - 4
        return (
            state[:, :9].reshape(-1, 3, 3),
            state[:, 9],
            state[:, 10:a],
            state[:, a : a + self.k],
            state[:, a + self.k :],
        )

    def retract(self, state, step):
        rotation = matrix_from_axis_angle(step[:, :3]) @ state[:, :9].reshape(-1, 3, 3)
        return np.concatenate([rotation.reshape(-1, 9), state[:, 9:] + step[:, 3:]], -1)

    def bounds(self, state):
        low = np.full((len(state), self.pose_count + self.k + self.e), -np.inf)
        high = -low
        expression = state[:, state.shape[1] - self.e :]
        low[:, low.shape[1] - self.e :] = self.low - expression
        high[:, low.shape[1] - self.e :] = self.high - expression
        if self.pinhole and self.config.focal_log_sigma == 0:
            low[:, 3] = high[:, 3] = 0
        return low, high

    def reproject(self, state, points):
        """Error (b, L, 2) px and the model points (b, L, 3) mm."""
        rotation, first, translation, *_ = self.split(state)
        s = self.mean + (state[:, -self.k - self.e :] @ self.flat_basis).reshape(-1, *self.mean.shape)
        if self.pinhole:
            return res.reprojection_pinhole(s, rotation, translation, np.exp(first), self.center, points), s
        return res.reprojection_weak(s, rotation, np.exp(first), translation, points), s

    def priors(self, state):
        c = self.config
        *_, identity, expression = self.split(state)
        prior = [
            res.identity_prior(identity, c.identity_strength),
            res.expression_prior(expression, self.l2, self.l1),
        ]
        return np.concatenate(prior, -1)

    def focal_prior(self, state):
        if not self.pinhole or self.config.focal_log_sigma == 0:
            return np.zeros(len(state))
        return (state[:, 9] - np.log(self.focal)) / self.config.focal_log_sigma

    def cost(self, state, points, root):
        error = self.reproject(state, points)[0] * root[..., None]
        squares = np.einsum("blc,blc->b", error, error) + (self.priors(state) ** 2).sum(-1)
        return 0.5 * (squares + self.focal_prior(state) ** 2)

    def linearize(self, state, points, root, gram=None):
        """Gradient (b, P) and Gauss-Newton matrix (b, P, P) of `cost`; gram: as `gram` returns it."""
        c = self.config
        rotation, first, translation, identity, expression = self.split(state)
        error, s = self.reproject(state, points)
        scale = np.exp(first)
        if self.pinhole:
            pose = res.J_reprojection_pinhole_pose(s, rotation, translation, scale)
            to_points = res.J_reprojection_pinhole_points(s, rotation, translation, scale)
        else:
            pose = res.J_reprojection_weak_pose(s, rotation, scale)
            to_points = res.J_reprojection_weak_points(rotation, scale)[:, None]
        # The weights go in before the chain rule, where the arrays are small.
        pose, to_points = pose * root[..., None, None], to_points * root[..., None, None]
        error = error * root[..., None]
        gradient, hessian = self.normal_equations(pose, to_points, error, gram)

        slope = np.concatenate(
            [
                res.J_identity_prior(identity, c.identity_strength),
                res.J_expression_prior(expression, self.l2),
            ],
            -1,
        )
        n = np.arange(self.pose_count, hessian.shape[-1])
        gradient[:, n] += slope * self.priors(state)
        hessian[:, n, n] += slope**2
        if self.pinhole and c.focal_log_sigma > 0:
            gradient[:, 3] += self.focal_prior(state) / c.focal_log_sigma
            hessian[:, 3, 3] += 1 / c.focal_log_sigma**2
        return gradient, hessian

    def gram(self, weights):
        """Products of the basis with itself over points of shared weights, and the point of most weight.

        Under weak perspective all points have the same Jacobian A (2 x 3) up to their weight, so the
        shape's block of J^T J is a sum of nine fixed matrices with the entries of A^T A for factors.
        """
        top = int(np.argmax(weights))
        key = weights.tobytes()
        if self.known_gram[0] != key:
            b = self.flat_basis.reshape(len(self.flat_basis), -1, 3).transpose(2, 0, 1)
            product = np.einsum("ikl,jml->ijkm", b * (weights / weights[top]), b, optimize=True)
            self.known_gram = key, product.reshape(9, -1)
        return top, self.known_gram[1]

    def normal_equations(self, pose, to_points, error, gram):
        """J^T r (b, P) and J^T J (b, P, P) of whitened reprojection errors.

        pose: (b, L, 2, n) Jacobian; to_points: (b, L, 2, 3); error: (b, L, 2).
        """
        b, n = len(pose), self.pose_count
        hessian = np.empty((b, n + self.k + self.e, n + self.k + self.e))
        gradient = np.empty((b, n + self.k + self.e))
        flat = pose.reshape(b, -1, n)
        hessian[:, :n, :n] = flat.transpose(0, 2, 1) @ flat
        gradient[:, :n] = np.einsum("bri,br->bi", flat, error.reshape(b, -1))
        # Columns of the pose and the error carried back to the model points meet the basis in one product.
        left = np.concatenate([pose, error[..., None]], -1)
        left = np.einsum("blij,blic->bjlc", left, to_points).astype(np.float32)
        cross = (left.reshape(b * (n + 1), -1) @ self.columns).reshape(b, n + 1, -1)
        hessian[:, :n, n:] = cross[:, :n]
        hessian[:, n:, :n] = cross[:, :n].transpose(0, 2, 1)
        gradient[:, n:] = cross[:, n]
        if gram is None:
            jacobian = res.J_shape(to_points.astype(np.float32), self.basis).reshape(b, -1, self.k + self.e)
            hessian[:, n:, n:] = jacobian.transpose(0, 2, 1) @ jacobian
        else:
            top, products = gram
            a = to_points[:, top]
            factors = a.transpose(0, 2, 1) @ a
            hessian[:, n:, n:] = (factors.reshape(b, 9) @ products).reshape(b, self.k + self.e, -1)
        return gradient, hessian
