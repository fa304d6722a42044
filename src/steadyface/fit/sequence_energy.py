"""The energy of a sequence (FlowFace, section 3.2): its terms, and their quadratic model about a state.

E = E_A + E_model + E_temp + E_neutral + E_deform over T frames and C cameras, as a sum of squares and of
robust losses, which enter the quadratic model with their iteratively-reweighted weights.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..rotation import matrix_from_axis_angle
from . import residuals as res
from .block_arrow import ArrowSystem
from .sequence_terms import POSE


class SequenceEnergy:
    """The energy of observed points, as a function of a `SequenceState`.

    points: (T, C, L, 2) px, finite; root_weight: (T, C, L), 1 / sigma and 0 where a point is not seen;
    shape: `LinearShape` of L points; center: (C, 2) px; log_focal: (C,), the guess; time_s: (T,), or None
    for frames that do not follow each other; prior: `NeutralPrior` or None; moved: (M,) indices of points
    with offsets; shared: what is fitted.
    """

    def __init__(
        self,
        points,
        root_weight,
        shape,
        *,
        center,
        log_focal,
        time_s,
        weights,
        prior,
        moved,
        shared,
        threads=1,
    ):
        # Axis before point: whole rows of x, y and z are what numpy is fast with.
        self.points = np.ascontiguousarray(np.swapaxes(points, -1, -2))
        self.root, self.center = root_weight, center
        self.focal_guess, self.weights, self.moved, self.shared = log_focal, weights, moved, shared
        self.t, self.c, self.l = root_weight.shape
        self.mean = np.asarray(shape.mean, float)
        self.identity_basis = np.asarray(shape.identity_basis, float)
        self.expression_basis = np.asarray(shape.expression_basis, float)
        self.k, self.e = len(self.identity_basis), len(self.expression_basis)
        self.p = POSE + self.e
        # An expression of either sign is in standard-normal units; an activation has a cost to appear.
        self.low, self.high = (np.asarray(b, float) for b in np.asarray(shape.bounds).T)
        signed = self.low < 0
        self.l2 = np.where(signed, weights.identity**2, weights.expression_l2)
        self.l1 = np.where(signed, 0.0, weights.expression_l1)
        self.with_identity = shared.identity.stop > shared.identity.start
        # Points whose offsets are unknowns; held offsets still move their points.
        self.freed = moved if shared.offsets.stop > shared.offsets.start else moved[:0]
        basis = [self.expression_basis, self.identity_basis][: 1 + self.with_identity]
        # Point by point; Jacobians need no more than single precision: they steer the steps, and the
        # gradient and the cost, in double precision, decide where those end.
        self.basis = np.ascontiguousarray(np.concatenate(basis).transpose(1, 2, 0), np.float32)
        self.expression_rows = self.expression_basis.transpose(0, 2, 1).reshape(self.e, self.mean.size)
        self.share = min(1.0, weights.independent_points / self.l)
        # Priors of the face that all frames share, for so many times as many frames as are independent.
        held = max(1.0, self.t / weights.independent_frames)
        self.identity_weight = weights.identity * held**0.5
        self.deform_sigma = weights.deform_mm / held**0.5
        self.neutral = None
        if prior is not None and weights.neutral > 0:
            self.neutral = prior.quadratic(weights.neutral * held)
        self.coefficients = None
        if time_s is not None and self.t >= 3:
            # A sum over frames for the integral over time: what it smooths does not depend on the rate.
            step = (time_s[2:] - time_s[:-2]) / 2
            self.coefficients = res.acceleration_coefficients(time_s) * np.sqrt(30 * step)[:, None]
        self.threads = threads
        # Many small products a call, and Jacobians that stay near.
        self.chunk = int(np.clip(1.5e6 / (2 * self.l * self.p), 8, 64))

    # ---- the cost

    def cost(self, state):
        """The energy, a float; infinite where a seen point is behind its camera."""
        neutral = self.neutral_points(state)
        parts = self._map(lambda a, b: self._alignment_cost(state, neutral, a, b))
        total = self.share * sum(parts) + self._prior_cost(state) + self._smoothness(state)[0]
        return float(total) if np.isfinite(total) else np.inf

    def neutral_points(self, state):
        """The shape without expression, with offsets: (L, 3) mm."""
        neutral = self.mean + np.tensordot(state.identity, self.identity_basis, 1)
        if len(self.moved):
            neutral[self.moved] += state.offsets
        return neutral

    def _map(self, function):
        starts = range(0, self.t, self.chunk)
        if self.threads == 1 or len(starts) == 1:
            return [function(a, min(a + self.chunk, self.t)) for a in starts]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda a: function(a, min(a + self.chunk, self.t)), starts))

    def _model_points(self, state, neutral, a, b):
        """Points turned by the head's rotation (n, 3, L) mm, and in the world (n, 3, L) mm."""
        s = (neutral.T.ravel() + state.expression[a:b] @ self.expression_rows).reshape(-1, 3, self.l)
        turned = state.rotation[a:b] @ s
        return turned, turned + state.translation[a:b, :, None]

    def _observe(self, state, world, c, a, b):
        """Errors of the points in camera c: image / focal (n, 2, L), 1/z, error (n, 2, L) px, robust
        distance in sigmas (n, L), and the points in the camera (n, 3, L) mm."""
        x = state.camera_rotation[c] @ world + state.camera_translation[c][:, None]
        root = self.root[a:b, c]
        z = x[:, 2]
        if not (z > 0).all():
            z = np.where((z > 0) | (root == 0), z, np.nan)
            z = np.where(z == 0, 1, z)
        inverse = 1 / z
        ray = x[:, :2] * inverse[:, None]
        error = np.exp(state.log_focal[c]) * ray
        error += self.center[c][:, None] - self.points[a:b, c]
        return ray, inverse, error, np.sqrt(error[:, 0] ** 2 + error[:, 1] ** 2) * root, x

    def _alignment_cost(self, state, neutral, a, b):
        world = self._model_points(state, neutral, a, b)[1]
        w = self.weights
        total = 0.0
        for c in range(self.c):
            distance = self._observe(state, world, c, a, b)[3]
            if w.robust == "none":
                total += (distance**2).sum() / 2
            else:
                loss = res.huber_loss if w.robust == "huber" else res.geman_mcclure_loss
                total += loss(distance, w.robust_threshold).sum()
        return total

    def robust_weight(self, distance):
        """Weight (*, L) in (0, 1] of points so many sigmas away."""
        w = self.weights
        if w.robust == "none":
            return np.ones_like(distance)
        weigh = res.huber_weight if w.robust == "huber" else res.geman_mcclure_weight
        return weigh(distance, w.robust_threshold)

    def inliers(self, state):
        """Robust weight of every point, 0 where it is not seen: (T, C, L)."""
        world = self._model_points(state, self.neutral_points(state), 0, self.t)[1]
        distance = [self._observe(state, world, c, 0, self.t)[3] for c in range(self.c)]
        return self.robust_weight(np.stack(distance, 1)) * (self.root > 0)

    def _prior_cost(self, state):
        w = self.weights
        expression = res.expression_prior(state.expression, self.l2, self.l1)
        total = (expression**2).sum() + (res.identity_prior(state.identity, self.identity_weight) ** 2).sum()
        if w.focal_log_sigma > 0:
            total += (((state.log_focal - self.focal_guess) / w.focal_log_sigma) ** 2).sum()
        total += ((state.offsets / self.deform_sigma) ** 2).sum()
        if self.neutral is not None:
            constant, g, h = self.neutral
            total += 2 * (constant + g @ state.identity) + state.identity @ h @ state.identity
        return total / 2

    def _smoothness(self, state):
        """E_temp, then the turns of the head, the residuals in standard deviations and their weights: of
        rotation and translation (T - 2, 3) and (T - 2, 1), of expression (T - 2, E) both."""
        if self.coefficients is None:
            return 0.0, np.zeros((0, 3)), [], []
        w, limit = self.weights, self.weights.acceleration_threshold
        turn = res.turns(state.rotation)
        terms = [
            res.rotation_acceleration(turn, self.coefficients) / w.rotation_acceleration,
            res.acceleration(state.translation, self.coefficients) / w.translation_acceleration,
            res.acceleration(state.expression, self.coefficients) / w.expression_acceleration,
        ]
        size = [
            np.linalg.norm(terms[0], axis=-1, keepdims=True),
            np.linalg.norm(terms[1], axis=-1, keepdims=True),
        ]
        size.append(np.abs(terms[2]))
        if np.isinf(limit):
            cost = sum((d**2).sum() / 2 for d in size)
            return cost, turn, terms, [np.ones_like(d) for d in size]
        cost = sum(res.huber_loss(d, limit).sum() for d in size)
        return cost, turn, terms, [res.huber_weight(d, limit) for d in size]

    # ---- its quadratic model

    def linearize(self, state):
        """The `ArrowSystem` of the energy about a state; gradients are exact, H is Gauss-Newton's."""
        t, p, s = self.t, self.p, self.shared.count
        diagonal, cross = np.zeros((t, p, p)), np.zeros((t, p, s))
        gradient = np.zeros((t, p))
        neutral = self.neutral_points(state)
        parts = self._map(lambda a, b: self._align(state, neutral, a, b, diagonal, cross, gradient))
        corner, shared_gradient = (np.sum(x, 0) for x in zip(*parts, strict=True))
        corner, shared_gradient = self._corner(corner), shared_gradient * self.share
        diagonal *= self.share
        cross *= self.share
        gradient *= self.share
        self._add_priors(state, diagonal, gradient, corner, shared_gradient)
        near, far = self._add_smoothness(state, diagonal, gradient)
        return ArrowSystem(diagonal, near, far, cross, corner, gradient, shared_gradient)

    def _align(self, state, neutral, a, b, diagonal, cross, gradient):
        """Add frames a to b of E_A to the frames' blocks; returns what they add to the shared ones."""
        n, p, sh = b - a, self.p, self.shared
        columns = p + (self.k if self.with_identity else 0)
        turned, world = self._model_points(state, neutral, a, b)
        narrow = slice(sh.focal.start, sh.cameras.stop)
        width = narrow.stop - narrow.start
        outer = np.zeros((self.l, 3, 3))
        tie = np.zeros((self.k if self.with_identity else 0, width))
        corner = np.zeros((width, width))
        moved = np.zeros((len(self.freed), 3, width))
        shared_gradient = np.zeros(sh.count)
        # Rows of the Jacobian: frame, image axis, point; those of a point are built by one small product.
        jacobian = np.empty((n, 2, self.l, columns + width), np.float32)
        by_rows = jacobian.reshape(2 * n, self.l, -1).transpose(1, 0, 2)
        for c in range(self.c):
            ray, inverse, error, distance, x = self._observe(state, world, c, a, b)
            focal = np.exp(state.log_focal[c])
            weight = self.robust_weight(distance) * self.root[a:b, c] ** 2
            root = np.sqrt(weight)
            view, slant = (focal * inverse * root).astype(np.float32), ray.astype(np.float32)
            to_model = _image_slope(view, slant, state.camera_rotation[c] @ state.rotation[a:b])
            by_point = np.ascontiguousarray(to_model.transpose(3, 0, 1, 2)).reshape(self.l, 2 * n, 3)
            np.matmul(by_point, self.basis, out=by_rows[..., POSE:columns])
            w = _image_slope(view, slant, state.camera_rotation[c][None])
            _arms(turned.astype(np.float32), w, jacobian[..., :3])
            jacobian[..., 3:POSE] = w.transpose(0, 1, 3, 2)
            self._narrow_columns(state, c, view, slant, root, focal, x, jacobian[..., columns:])

            rows = jacobian.reshape(n, 2 * self.l, -1)
            product = np.swapaxes(rows[..., :p], -1, -2) @ rows
            diagonal[a:b] += product[..., :p]
            if self.with_identity:
                cross[a:b, :, sh.identity] += product[..., p:columns]
            cross[a:b, :, narrow] += product[..., columns:]
            flat = jacobian.reshape(2 * n * self.l, -1)
            if width:
                tail = flat[:, columns:].T @ flat[:, p:]
                tie += tail[:, : len(tie)].T
                corner += tail[:, len(tie) :]
            if self.with_identity or len(self.freed):
                outer += np.swapaxes(by_point, -1, -2) @ by_point
            if len(self.freed):
                m = by_point.reshape(self.l, n, 2, 3)[self.freed]
                kept = jacobian[:, :, self.freed].transpose(2, 0, 1, 3)
                block = np.einsum("mnap,mnai->npmi", kept[..., :p], m, optimize=True)
                cross[a:b, :, sh.offsets] += block.reshape(n, p, -1)
                moved += np.einsum("mnai,mnaw->miw", m, kept[..., columns:], optimize=True)

            pull = error * weight[:, None]
            in_camera = np.empty_like(x)
            in_camera[:, :2] = pull * (focal * inverse)[:, None]
            in_camera[:, 2] = -(in_camera[:, :2] * ray).sum(1)
            in_world = state.camera_rotation[c].T @ in_camera
            in_model = np.swapaxes(state.rotation[a:b], -1, -2) @ in_world
            gradient[a:b, :3] += _turning(turned, in_world)
            gradient[a:b, 3:6] += in_world.sum(-1)
            gradient[a:b, POSE:] += in_model.reshape(n, -1) @ self.expression_rows.T
            total = in_model.sum(0).T
            if self.with_identity:
                shared_gradient[sh.identity] += self.identity_basis.reshape(self.k, -1) @ total.ravel()
            if len(self.freed):
                shared_gradient[sh.offsets] += total[self.freed].ravel()
            if sh.focal.stop > sh.focal.start:
                shared_gradient[sh.focal.start + c] += (pull * focal * ray).sum()
            if c and sh.cameras.stop > sh.cameras.start:
                at = sh.cameras.start + 6 * (c - 1)
                arm = x - state.camera_translation[c][:, None]
                shared_gradient[at : at + 3] += _turning(arm, in_camera).sum(0)
                shared_gradient[at + 3 : at + 6] += in_camera.sum((0, 2))
        sums = np.concatenate([outer.ravel(), tie.ravel(), corner.ravel(), moved.ravel()])
        return sums, shared_gradient

    def _narrow_columns(self, state, c, view, slant, root, focal, x, out):
        """Columns of camera c's focal length and place, whitened: out (n, 2, L, width)."""
        sh = self.shared
        if not out.shape[-1]:
            return
        out[...] = 0
        if sh.focal.stop > sh.focal.start:
            out[..., c] = focal * slant * root[:, None]
        if c and sh.cameras.stop > sh.cameras.start:
            at = sh.cameras.start - sh.focal.start + 6 * (c - 1)
            w = _image_slope(view, slant, np.eye(3)[None])
            _arms(x - state.camera_translation[c][:, None], w, out[..., at : at + 3])
            out[..., at + 3 : at + 6] = w.transpose(0, 1, 3, 2)

    def _corner(self, sums):
        """The shared block of E_A from the sums of `_align`: (S, S)."""
        sh, m = self.shared, len(self.freed)
        k = self.k if self.with_identity else 0
        width = sh.cameras.stop - sh.focal.start
        ends = np.cumsum([9 * self.l, k * width, width * width, 3 * m * width])
        outer, tie, narrow, moved = (x * self.share for x in np.split(sums, ends[:-1]))
        outer = outer.reshape(self.l, 3, 3)
        h = np.zeros((sh.count, sh.count))
        n = slice(sh.focal.start, sh.cameras.stop)
        # The same product of Jacobians at a point serves all columns of the identity.
        felt = outer @ self.identity_basis.transpose(1, 2, 0)
        if k:
            h[sh.identity, sh.identity] = self.identity_basis.reshape(k, -1) @ felt.reshape(-1, k)
            h[sh.identity, n] = tie.reshape(k, width)
        h[n, n] = narrow.reshape(width, width)
        if m:
            block = np.zeros((m, 3, m, 3))
            block[np.arange(m), :, np.arange(m)] = outer[self.freed]
            h[sh.offsets, sh.offsets] = block.reshape(3 * m, 3 * m)
            h[n, sh.offsets] = moved.reshape(3 * m, width).T
            if k:
                h[sh.identity, sh.offsets] = felt[self.freed].reshape(3 * m, k).T
        upper = np.triu(h)
        return upper + np.triu(upper, 1).T

    def _add_priors(self, state, diagonal, gradient, corner, shared_gradient):
        w, sh = self.weights, self.shared
        n = np.arange(POSE, self.p)
        slope = res.J_expression_prior(state.expression, self.l2)
        gradient[:, POSE:] += slope * res.expression_prior(state.expression, self.l2, self.l1)
        diagonal[:, n, n] += slope**2
        i = np.arange(sh.count)
        if self.with_identity:
            slope = res.J_identity_prior(state.identity, self.identity_weight)
            shared_gradient[sh.identity] += slope * res.identity_prior(state.identity, self.identity_weight)
            corner[i[sh.identity], i[sh.identity]] += slope**2
            if self.neutral is not None:
                _, g, h = self.neutral
                shared_gradient[sh.identity] += g + h @ state.identity
                corner[sh.identity, sh.identity] += h
        if sh.focal.stop > sh.focal.start:
            shared_gradient[sh.focal] += (state.log_focal - self.focal_guess) / w.focal_log_sigma**2
            corner[i[sh.focal], i[sh.focal]] += 1 / w.focal_log_sigma**2
        if len(self.freed):
            shared_gradient[sh.offsets] += state.offsets.ravel() / self.deform_sigma**2
            corner[i[sh.offsets], i[sh.offsets]] += 1 / self.deform_sigma**2

    def _add_smoothness(self, state, diagonal, gradient):
        """Add E_temp to the frames' blocks; returns the couplings of neighbours and of second neighbours.

        In the matrix, not in the gradient, a turn from frame to frame is taken for a small one, so that
        rotations are coupled axis by axis as all else is.
        """
        t = self.t
        near, far = np.zeros((max(t - 1, 0), self.p)), np.zeros((max(t - 2, 0), self.p))
        if self.coefficients is None:
            return near, far
        w = self.weights
        _, turn, terms, robust = self._smoothness(state)
        turning = res.J_rotation_acceleration(turn, self.coefficients) / w.rotation_acceleration
        weighted = turning * robust[0][:, None, :, None]
        sigma = np.repeat(
            [w.rotation_acceleration, w.translation_acceleration, w.expression_acceleration], [3, 3, self.e]
        )
        weight = np.concatenate([np.repeat(robust[0], 3, -1), np.repeat(robust[1], 3, -1), robust[2]], -1)
        residual = np.concatenate(terms[1:], -1) * weight[:, 3:]
        slope = self.coefficients[:, :, None] / sigma
        n = np.arange(self.p)
        for i in range(3):
            at = slice(i, t - 2 + i)
            gradient[at, :3] += np.einsum("tij,ti->tj", weighted[:, i], terms[0])
            gradient[at, 3:] += slope[:, i, 3:] * residual
            diagonal[at, n, n] += slope[:, i] ** 2 * weight
            for j in range(i):
                pull = slope[:, i] * slope[:, j] * weight
                if i - j == 1:
                    near[j : j + t - 2] += pull
                else:
                    far += pull
        return near, far

    def retract(self, state, frames, shared):
        """The state after a step: frames (T, P), shared (S,)."""
        sh = self.shared
        change = {
            "rotation": matrix_from_axis_angle(frames[:, :3]) @ state.rotation,
            "translation": state.translation + frames[:, 3:6],
            "expression": np.clip(state.expression + frames[:, POSE:], self.low, self.high),
        }
        if self.with_identity:
            change["identity"] = state.identity + shared[sh.identity]
        if sh.focal.stop > sh.focal.start:
            change["log_focal"] = state.log_focal + shared[sh.focal]
        if sh.cameras.stop > sh.cameras.start:
            step = np.concatenate([np.zeros((1, 6)), shared[sh.cameras].reshape(-1, 6)])
            change["camera_rotation"] = matrix_from_axis_angle(step[:, :3]) @ state.camera_rotation
            change["camera_translation"] = state.camera_translation + step[:, 3:]
        if len(self.freed):
            change["offsets"] = state.offsets + shared[sh.offsets].reshape(-1, 3)
        return replace(state, **change)


def _image_slope(view, ray, rotation):
    """Derivative of whitened image points to points of a frame: (n, 2, 3, L) float32.

    view: focal / z over sigma (n, L); ray: image / focal (n, 2, L); rotation: that frame to the camera,
    (n or 1, 3, 3).
    """
    r = rotation.astype(np.float32)[..., None]
    out = ray[:, :, None] * r[:, None, 2]
    np.subtract(r[:, :2], out, out=out)
    out *= view[:, None, None]
    return out


def _arms(v, w, out):
    """v x w of points v (n, 3, L) and slopes w (n, 2, 3, L), into out (n, 2, L, 3)."""
    v = v[:, None]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        out[..., i] = v[:, :, j] * w[:, :, k] - v[:, :, k] * w[:, :, j]


def _turning(v, w):
    """Sum over points of v x w: (n, 3, L) both to (n, 3)."""
    m = v @ np.swapaxes(w, -1, -2)
    return np.stack([m[:, 1, 2] - m[:, 2, 1], m[:, 2, 0] - m[:, 0, 2], m[:, 0, 1] - m[:, 1, 0]], -1)
