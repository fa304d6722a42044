"""Normal equations of a sequence, solved in time linear in its length.

Each frame has a few unknowns of its own, is coupled to the two frames before it, and to a few unknowns that
all frames share. Ordered in time the frames' part is a band of blocks, factored as L D L^T frame by frame;
the shared unknowns border it like an arrow and are solved for through their Schur complement. The couplings
of frames come from second differences: one small dense block (a rotation) and a diagonal for the rest.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coupling:
    """Blocks below the diagonal, one a pair of frames: the first q unknowns densely, the rest one to one.

    lead: (N, q, q); rest: (N, P - q). Row unknowns are the later frame's.
    """

    lead: np.ndarray
    rest: np.ndarray

    def dense(self):
        """The blocks in full: (N, P, P)."""
        n, q = self.lead.shape[:2]
        p = q + self.rest.shape[1]
        blocks = np.zeros((n, p, p))
        blocks[:, :q, :q] = self.lead
        diagonal = np.arange(q, p)
        blocks[:, diagonal, diagonal] = self.rest
        return blocks

    def apply(self, x):
        """Blocks times the vectors of their earlier frames: (N, P) to (N, P)."""
        q = self.lead.shape[-1]
        return np.concatenate([(self.lead @ x[:, :q, None])[..., 0], self.rest * x[:, q:]], -1)

    def apply_transposed(self, x):
        """Transposed blocks times the vectors of their later frames: (N, P) to (N, P)."""
        q = self.lead.shape[-1]
        lead = (np.swapaxes(self.lead, -1, -2) @ x[:, :q, None])[..., 0]
        return np.concatenate([lead, self.rest * x[:, q:]], -1)


@dataclass(frozen=True)
class ArrowSystem:
    """A quadratic in T frames of P unknowns and S shared ones: g.x + x.H.x / 2.

    diagonal: (T, P, P); near: T - 1 blocks (t + 1, t); far: T - 2 blocks (t + 2, t); cross: (T, P, S) frames
    to shared; corner: (S, S); gradient: (T, P); shared_gradient: (S,).
    """

    diagonal: np.ndarray
    near: Coupling
    far: Coupling
    cross: np.ndarray
    corner: np.ndarray
    gradient: np.ndarray
    shared_gradient: np.ndarray

    def apply(self, frames, shared):
        """H x: frames (T, P) and shared (S,) in, the same out."""
        out = (self.diagonal @ frames[..., None])[..., 0] + self.cross @ shared
        for coupling, k in ((self.near, 1), (self.far, 2)):
            out[k:] += coupling.apply(frames[:-k])
            out[:-k] += coupling.apply_transposed(frames[k:])
        return out, np.einsum("tps,tp->s", self.cross, frames, optimize=True) + self.corner @ shared

    def dense(self):
        """H (N, N) and g (N,) in full, frames first, N = T P + S: for tests and small problems."""
        t, p = self.gradient.shape
        s = len(self.shared_gradient)
        h = np.zeros((t * p + s, t * p + s))
        block = h[: t * p, : t * p].reshape(t, p, t, p)
        n = np.arange(t)
        block[n, :, n] = self.diagonal
        for coupling, k in ((self.near, 1), (self.far, 2)):
            blocks = coupling.dense()
            block[n[k:], :, n[:-k]] = blocks
            block[n[:-k], :, n[k:]] = np.swapaxes(blocks, -1, -2)
        h[: t * p, t * p :] = self.cross.reshape(t * p, s)
        h[t * p :, : t * p] = h[: t * p, t * p :].T
        h[t * p :, t * p :] = self.corner
        return h, np.concatenate([self.gradient.ravel(), self.shared_gradient])


def solve(system, *, free=None, damping=0.0):
    """Minimise the quadratic, cost linear in T: O(T P^2 (P + S)).

    system: `ArrowSystem`, positive definite; free: (T, P) bool, the frames' unknowns that may move (the
    others stay 0); damping: the diagonal of H is multiplied by 1 + damping. Returns the step of the frames
    (T, P) and of the shared unknowns (S,). Raises numpy's LinAlgError if H is not positive
    definite.
    """
    t, p = system.gradient.shape
    s = len(system.shared_gradient)
    factors = _factor(system, free, damping)
    right = np.concatenate([system.cross, system.gradient[..., None]], -1)
    if free is not None:
        right *= free[..., None]
    reduced, scaled = _forward(factors, right)
    # Schur complement of the frames in the shared unknowns.
    product = reduced.reshape(t * p, s + 1).T @ scaled.reshape(t * p, s + 1)
    shared = np.zeros(s)
    if s:
        corner = _damped(system.corner, damping) - product[:s, :s]
        shared = -np.linalg.solve(corner, system.shared_gradient - product[:s, s])
    frames = -(scaled[..., s] + scaled[..., :s] @ shared)
    return _backward(factors, frames), shared


def frame_covariances(system, *, free=None):
    """Diagonal blocks of the inverse of the frames' part of H: (T, P, P), the shared unknowns held.

    free: as in `solve`; what is not free has covariance 0. (Takahashi 1973's recursion on the band.)
    """
    f = _factor(system, free, 0.0)
    t, p = system.gradient.shape
    out = np.empty((t, p, p))
    # Blocks (i, i), (i, i + 1) of the two frames last done, from the end.
    next_near = np.zeros((p, p))
    for i in range(t - 1, -1, -1):
        block = f.inverse[i].copy()
        near = np.zeros((p, p))
        if i + 1 < t:
            lower1 = f.lower[i + 1]
            near = -(lower1.T @ out[i + 1])
            if i + 2 < t:
                lower2 = f.far[i] @ f.inverse[i]
                near -= lower2.T @ next_near.T
                far = -(lower1.T @ next_near + lower2.T @ out[i + 2])
                block -= far @ lower2
            block -= near @ lower1
        out[i] = (block + block.T) / 2
        next_near = near
    if free is not None:
        out *= free[:, :, None] & free[:, None, :]
    return out


@dataclass(frozen=True)
class _Factors:
    """L D L^T of the band: inverse (T, P, P) of D; lower (T, P, P), blocks (t, t - 1) of L; its blocks
    (t, t - 2) are far times inverse."""

    inverse: np.ndarray
    lower: np.ndarray
    far: np.ndarray


def _damped(matrix, damping):
    d = np.einsum("...ii->...i", matrix)
    out = np.array(matrix)
    # What the cost does not see gets a little damping of its own, so that it stays put.
    floor = 1e-12 * np.maximum(d.max(-1, keepdims=True, initial=0), 1e-300)
    np.einsum("...ii->...i", out)[...] += damping * np.maximum(d, floor) + floor * 1e-3
    return out


def _factor(system, free, damping):
    t, p = system.gradient.shape
    blocks = _damped(system.diagonal, damping)
    near, far = system.near.dense(), system.far.dense()
    if free is not None:
        blocks *= free[:, :, None] & free[:, None, :]
        np.einsum("tii->ti", blocks)[...] += ~free
        near *= free[1:, :, None] & free[:-1, None, :]
        far *= free[2:, :, None] & free[:-2, None, :]
    inverse, lower = np.empty((t, p, p)), np.zeros((t, p, p))
    for i in range(t):
        block = blocks[i]
        if i >= 2:
            # The second block below the diagonal of L is far / D, and leaves far / D * far^T on the diagonal.
            block -= far[i - 2] @ inverse[i - 2] @ far[i - 2].T
            near[i - 1] -= far[i - 2] @ lower[i - 1].T
        if i >= 1:
            np.matmul(near[i - 1], inverse[i - 1], out=lower[i])
            block -= lower[i] @ near[i - 1].T
        # Through the triangular factor, so that the inverse is symmetric to the last bit: rounding that
        # is not grows from frame to frame.
        root = _inverse_triangular(np.linalg.cholesky(block))
        np.matmul(root.T, root, out=inverse[i])
    return _Factors(inverse, lower, far)


def _inverse_triangular(lower):
    """Inverse of a lower triangular matrix (P, P), by halves: numpy has none that makes use of the zeros."""
    p = len(lower)
    if p % 2 or p < 8:
        return np.linalg.inv(lower)
    h = p // 2
    out = np.zeros_like(lower)
    out[:h, :h], out[h:, h:] = np.linalg.inv(np.stack([lower[:h, :h], lower[h:, h:]]))
    out[h:, :h] = -out[h:, h:] @ (lower[h:, :h] @ out[:h, :h])
    return out


def _forward(f, right):
    """Solve L y = right, (T, P, N), in place. Returns y and D^-1 y."""
    scaled = np.empty_like(right)
    for i in range(len(right)):
        if i >= 1:
            right[i] -= f.lower[i] @ right[i - 1]
        if i >= 2:
            right[i] -= f.far[i - 2] @ scaled[i - 2]
        np.matmul(f.inverse[i], right[i], out=scaled[i])
    return right, scaled


def _backward(f, x):
    """Solve L^T y = x, (T, P), in place."""
    for i in range(len(x) - 2, -1, -1):
        x[i] -= f.lower[i + 1].T @ x[i + 1]
        if i + 2 < len(x):
            x[i] -= f.inverse[i] @ (f.far[i].T @ x[i + 2])
    return x
