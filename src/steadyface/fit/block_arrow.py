"""Normal equations of a sequence, solved in time linear in its length.

Each frame has a few unknowns of its own, is coupled to the two frames before it, and to a few unknowns that
all frames share. Ordered in time the frames' part is a band of blocks, factored as L D L^T frame by frame;
the shared unknowns border it like an arrow and are solved for through their Schur complement. The couplings
of frames come from second differences, which tie every unknown to itself: they are diagonal.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ArrowSystem:
    """A quadratic in T frames of P unknowns and S shared ones: g.x + x.H.x / 2.

    diagonal: (T, P, P); near: (T - 1, P), diagonals of the blocks (t + 1, t); far: (T - 2, P), of the blocks
    (t + 2, t); cross: (T, P, S) frames to shared; corner: (S, S); gradient: (T, P); shared_gradient: (S,).
    """

    diagonal: np.ndarray
    near: np.ndarray
    far: np.ndarray
    cross: np.ndarray
    corner: np.ndarray
    gradient: np.ndarray
    shared_gradient: np.ndarray

    def apply(self, frames, shared):
        """H x: frames (T, P) and shared (S,) in, the same out."""
        out = (self.diagonal @ frames[..., None])[..., 0] + self.cross @ shared
        for coupling, k in ((self.near, 1), (self.far, 2)):
            out[k:] += coupling * frames[:-k]
            out[:-k] += coupling * frames[k:]
        return out, np.einsum("tps,tp->s", self.cross, frames, optimize=True) + self.corner @ shared

    def dense(self):
        """H (N, N) and g (N,) in full, frames first, N = T P + S: for tests and small problems."""
        t, p = self.gradient.shape
        s = len(self.shared_gradient)
        h = np.zeros((t * p + s, t * p + s))
        block = h[: t * p, : t * p].reshape(t, p, t, p)
        n, i = np.arange(t), np.arange(p)
        block[n, :, n] = self.diagonal
        for coupling, k in ((self.near, 1), (self.far, 2)):
            block[n[k:, None], i, n[:-k, None], i] = coupling
            block[n[:-k, None], i, n[k:, None], i] = coupling
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
    # Block (i, i + 1) of the frame last done, from the end.
    next_near = np.zeros((p, p))
    for i in range(t - 1, -1, -1):
        block, near = f.inverse[i].copy(), np.zeros((p, p))
        if i + 1 < t:
            near = -(f.lower[i + 1].T @ out[i + 1])
            if i + 2 < t:
                lower2 = f.far[i][:, None] * f.inverse[i]
                near -= lower2.T @ next_near.T
                block += (f.lower[i + 1].T @ next_near + lower2.T @ out[i + 2]) @ lower2
            block -= near @ f.lower[i + 1]
        out[i] = (block + block.T) / 2
        next_near = near
    if free is not None:
        out *= free[:, :, None] & free[:, None, :]
    return out


@dataclass(frozen=True)
class _Factors:
    """L D L^T of the band: inverse (T, P, P) of D; lower (T, P, P), blocks (t, t - 1) of L; its blocks
    (t, t - 2) are the diagonal far (T - 2, P) times inverse."""

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
    near, far = system.near, system.far
    if free is not None:
        blocks *= free[:, :, None]
        blocks *= free[:, None, :]
        np.einsum("tii->ti", blocks)[...] += ~free
        near, far = near * (free[1:] & free[:-1]), far * (free[2:] & free[:-2])
    inverse, lower = np.empty((t, p, p)), np.zeros((t, p, p))
    invert = _TriangularInverse(p)
    coupling, product = np.zeros((p, p)), np.empty((p, p))
    tie = np.einsum("ii->i", coupling)
    for i in range(t):
        block = blocks[i]
        if i >= 2:
            # The second block below the diagonal of L is far / D, and leaves far / D * far on the diagonal.
            f = far[i - 2]
            np.multiply(inverse[i - 2], f, out=product)
            product *= f[:, None]
            block -= product
            np.multiply(lower[i - 1].T, -f[:, None], out=coupling)
        if i >= 1:
            tie += near[i - 1]
            np.matmul(coupling, inverse[i - 1], out=lower[i])
            np.matmul(lower[i], coupling.T, out=product)
            block -= product
        # Through the triangular factor, so that the inverse is symmetric to the last bit: rounding that
        # is not grows from frame to frame.
        root = invert(np.linalg.cholesky(block))
        np.matmul(root.T, root, out=inverse[i])
    return _Factors(inverse, lower, far)


class _TriangularInverse:
    """Inverse of lower triangular matrices (P, P) by doubling blocks: numpy has none that uses the zeros.

    What it returns is overwritten by its next call.
    """

    def __init__(self, p):
        size = 1 << (p - 1).bit_length()
        padded, out = np.eye(size), np.zeros((size, size))
        self.into, self.result = padded[:p, :p], out[:p, :p]
        self.diagonals = np.einsum("ii->i", padded), np.einsum("ii->i", out)
        self.levels = []
        q = 1
        while q < size:
            # Pairs of neighbouring blocks, of which those on the diagonal are inverted already.
            known = (_pairs(out, q, 0, 0), _pairs(out, q, q, q))
            self.levels.append((_pairs(padded, q, q, 0), *known, _pairs(out, q, q, 0)))
            q *= 2

    def __call__(self, lower):
        self.into[...] = lower
        np.divide(1, self.diagonals[0], out=self.diagonals[1])
        for below, first, second, out in self.levels:
            np.matmul(second, below @ first, out=out)
            np.negative(out, out=out)
        return self.result


def _pairs(x, q, row, column):
    """View (N, q, q) of the blocks at (row, column) of each square of 2 q along the diagonal of x."""
    down, right = x.strides
    shape = (len(x) // (2 * q), q, q)
    return np.lib.stride_tricks.as_strided(
        x[row:, column:], shape, (2 * q * (down + right), down, right), writeable=True
    )


def _forward(f, right):
    """Solve L y = right, (T, P, N), in place. Returns y and D^-1 y."""
    scaled = np.empty_like(right)
    for i in range(len(right)):
        if i >= 1:
            right[i] -= f.lower[i] @ right[i - 1]
        if i >= 2:
            right[i] -= f.far[i - 2][:, None] * scaled[i - 2]
        np.matmul(f.inverse[i], right[i], out=scaled[i])
    return right, scaled


def _backward(f, x):
    """Solve L^T y = x, (T, P), in place."""
    for i in range(len(x) - 2, -1, -1):
        x[i] -= f.lower[i + 1].T @ x[i + 1]
        if i + 2 < len(x):
            x[i] -= f.inverse[i] @ (f.far[i] * x[i + 2])
    return x
