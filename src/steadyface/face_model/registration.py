"""Register the embedded head to another model's mean face, to carry landmarks and regions over to it."""

from dataclasses import dataclass

import numpy as np

from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle
from .morphable import Embedding, LinearShape, load_face_model

# Points of the embedded face that are laid on the other surface.
_POINTS = 700
# Neighbours err together: all points count for so many.
_INDEPENDENT = 240
# Standard deviation of their distances; of landmarks that a file places; and of sliding along the surface,
# which keeps the steps small.
_SURFACE_SIGMA_MM = 2.0
_KNOWN_SIGMA_MM = 1.0
_SLIDE_SIGMA_MM = 15.0
# Matches farther than this, or facing away from each other, are of different parts of the head.
_REACH_MM = 30.0
_ROUNDS = 16
# A round that moves the points by less is the last.
_STILL_MM = 0.01
#: A registration is good if the embedded face lies this close to the other, median and nine tenths, ...
MEDIAN_MM, NINE_TENTHS_MM = 2.0, 6.0
#: ... and is still an upright face of a person's size: root mean square of its identity, factor, radians.
IDENTITY, SCALE, TILT = 1.5, 1.3, 0.5


@dataclass(frozen=True)
class Registration:
    """Where the embedded head lies on another mesh.

    vertices: (V, 3) of the embedded model on the other mesh's frame, mm; eyes: (3,) there, midway between
    its eyeballs' centres; embeddings: its landmark sets on the other mesh's triangles; distance: (N,) mm of
    its face from the other surface; identity: (K,); scale: factor; tilt: radians that it was turned.
    """

    vertices: np.ndarray
    eyes: np.ndarray
    embeddings: dict[str, Embedding]
    distance: np.ndarray
    identity: np.ndarray
    scale: float
    tilt: float

    @property
    def good(self):
        """Whether the faces lie on each other well enough to carry landmarks over."""
        close = np.median(self.distance) < MEDIAN_MM and np.quantile(self.distance, 0.9) < NINE_TENTHS_MM
        person = np.sqrt(np.mean(self.identity**2)) < IDENTITY and self.tilt < TILT
        return bool(close and person and 1 / SCALE < self.scale < SCALE)


def register(mean, triangles, known=None):
    """Fit the embedded head, its size, pose and identity, to a mean face.

    mean: (V, 3) mm, upright and looking into the camera, anywhere; triangles: (F, 3), outward as in
    `MorphableModel`; known: (68, 3) iBUG points on the mesh, NaN where not known, or None. Distances are
    measured from point to plane (Chen and Medioni 1992) with the identity prior of the fit. Returns
    `Registration`.
    """
    from ..evaluate.closest_point import Surface

    ours = load_face_model()
    surface = Surface(mean, triangles)
    ibug = ours.landmarks("ibug68")
    tip = ibug.mean[30]
    if known is not None and np.isfinite(known).all(1).sum() >= 4:
        pairs = np.isfinite(known).all(1)
        starts = [np.mean(known[pairs] - ibug.mean[pairs], 0)]
    else:
        known = np.full((68, 3), np.nan)
        # The nose is what stands out of a face; it may be found too high or too low.
        middle = np.abs(mean[:, 0] - np.median(mean[:, 0])) < 15
        nose = mean[middle][np.argmin(mean[middle, 2])]
        starts = [nose - tip + np.array([0, dy, 0]) for dy in (0.0, -25.0, 25.0)]
    fits = [_Fit(ours, surface, known, start) for start in starts]
    for fit in fits:
        fit.run(6, shape=False)
    best = min(fits, key=lambda f: np.minimum(f.distance, _REACH_MM).mean())
    best.run(_ROUNDS, shape=True)
    embeddings = {}
    for name in sorted(ours.embeddings):
        points = best.place(ours.landmarks(name))
        near = surface.closest(points)
        corners = surface.corners[near.triangle]
        embeddings[name] = Embedding(near.triangle.astype(np.int32), barycentric(near.point, corners))
    return Registration(
        best.place(ours.shape),
        best.translation,
        embeddings,
        best.distance,
        best.identity,
        best.scale,
        float(np.linalg.norm(axis_angle_from_matrix(best.rotation))),
    )


def barycentric(points, corners):
    """Weights (N, 3) of points (N, 3) in triangles (N, 3, 3), which they lie in."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    edges = np.stack([ab, ac], -1)
    # Triangles without area have many solutions: the least one will do.
    weights = np.linalg.pinv(edges) @ (points - corners[:, 0])[..., None]
    w = np.clip(np.concatenate([1 - weights.sum(1), weights[..., 0]], 1), 0, 1)
    return (w / w.sum(1, keepdims=True)).astype(np.float32)


def vertex_embedding(vertices, triangles):
    """The `Embedding` of vertices (L,): each a corner of one of its triangles.

    Raises ValueError if a vertex belongs to no triangle.
    """
    flat = np.asarray(triangles).ravel()
    order = np.argsort(flat, kind="stable")
    at = np.searchsorted(flat[order], vertices)
    if (at >= len(flat)).any() or (flat[order[np.minimum(at, len(flat) - 1)]] != vertices).any():
        raise ValueError("a landmark's vertex belongs to no triangle")
    corner = order[at]
    return Embedding((corner // 3).astype(np.int32), np.eye(3, dtype=np.float32)[corner % 3])


class _Fit:
    """The embedded face on a surface: x -> scale R S(identity) + translation."""

    def __init__(self, ours, surface, known, translation):
        face = np.flatnonzero(ours.region("face") & ~ours.region("tongue"))
        face = face[:: max(1, len(face) // _POINTS)]
        ibug, s = ours.landmarks("ibug68"), ours.shape
        self.seen = np.isfinite(known).all(1)
        self.known = known[self.seen]
        no_expression = np.zeros((0, len(face) + self.seen.sum(), 3))
        self.shape = LinearShape(
            np.concatenate([s.mean[face], ibug.mean[self.seen]]),
            np.concatenate([s.identity_basis[:, face], ibug.identity_basis[:, self.seen]], 1),
            no_expression,
        )
        self.count = len(face)
        self.mean_normal = _vertex_normals(s.mean, ours.triangles)[face]
        self.surface = surface
        self.rotation, self.scale = np.eye(3), 1.0
        self.translation = np.asarray(translation, float)
        self.identity = np.zeros(s.identity_basis.shape[0])
        self.guess = None
        self.match()

    def place(self, shape):
        """The points of a `LinearShape` of the embedded model, without expression: (P, 3) mm."""
        s = shape.neutral(self.identity).astype(float)
        return self.scale * s @ self.rotation.T + self.translation

    def match(self):
        """Look for the closest points of the surface: sets points, feet, normals and distances."""
        self.points = self.place(self.shape)
        near = self.surface.closest(self.points[: self.count], self.guess)
        self.guess, self.foot, self.distance = near.triangle, near.point, near.distance
        c = self.surface.corners[near.triangle]
        normal = np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0])
        self.normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    def run(self, rounds, shape):
        """Alternate matching and one Gauss-Newton step; shape: whether identity may change."""
        for i in range(rounds):
            # Far matches count at first, when all are far, and less and less.
            reach = max(5.0, _REACH_MM * 0.75**i) if shape else _REACH_MM
            before = self.points
            self.step(reach, shape)
            self.match()
            if np.abs(self.points - before).max() < _STILL_MM:
                return

    def step(self, reach, shape):
        arm = self.points - self.translation
        k = len(self.identity) if shape else 0
        jacobian = np.zeros((len(arm), 3, 7 + k))
        for axis in range(3):
            jacobian[:, :, axis] = np.cross(np.eye(3)[axis], arm)
        jacobian[:, :, 3:6] = np.eye(3)
        jacobian[:, :, 6] = arm
        if shape:
            jacobian[:, :, 7:] = self.scale * (self.rotation @ self.shape.identity_basis.transpose(1, 2, 0))
        facing = ((self.mean_normal @ self.rotation.T) * self.normal).sum(1) > 0.5
        near = np.where(facing, 1 / (1 + (self.distance / reach) ** 2) ** 2, 0.0)
        offset = self.points[: self.count] - self.foot
        on, known = jacobian[: self.count], jacobian[self.count :]
        near = near * (_INDEPENDENT / self.count)
        across, along = np.sqrt(near) / _SURFACE_SIGMA_MM, np.sqrt(near) / _SLIDE_SIGMA_MM
        blocks = [
            (
                np.einsum("pd,pdk->pk", self.normal, on) * across[:, None],
                (self.normal * offset).sum(1) * across,
            ),
            ((on * along[:, None, None]).reshape(-1, 7 + k), (offset * along[:, None]).ravel()),
            (
                known.reshape(-1, 7 + k) / _KNOWN_SIGMA_MM,
                (self.points[self.count :] - self.known).ravel() / _KNOWN_SIGMA_MM,
            ),
        ]
        hessian, gradient = np.zeros((7 + k, 7 + k)), np.zeros(7 + k)
        for j, r in blocks:
            hessian += j.T @ j
            gradient += j.T @ r
        hessian[range(7, 7 + k), range(7, 7 + k)] += 1
        gradient[7:] += self.identity[:k]
        hessian[range(7), range(7)] += 1e-6 * np.trace(hessian) / len(hessian)
        step = -np.linalg.solve(hessian, gradient)
        self.rotation = matrix_from_axis_angle(step[:3]) @ self.rotation
        self.translation = self.translation + step[3:6]
        self.scale *= float(np.exp(np.clip(step[6], -0.2, 0.2)))
        if shape:
            self.identity = self.identity + step[7:]


def _vertex_normals(vertices, triangles):
    c = vertices[triangles]
    normal = np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0])
    total = np.zeros_like(vertices, dtype=float)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
