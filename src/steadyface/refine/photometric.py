"""The photometric error of a face in frames of a video, added to the alignment energy of the sequence fit.

A sample of the surface looks in every frame as its texture times the irradiance there. The irradiance is
linear in its coefficients, so that for any pose they are known in closed form and drop out (variable
projection: Golub and Pereyra 1973); what is left depends on pose, expression and what all frames share. Its
slopes are those of the rendered face inside its triangles: of the picture at points held by barycentrics.
"""

from dataclasses import dataclass

import numpy as np

from ..fit.sequence_terms import POSE
from .patch import Patch


@dataclass(frozen=True)
class PhotometricFrame:
    """What a frame contributes while its weights stay.

    patch: `Patch`; weight: (N,) of each sample's squared error in grey levels; shown: (N, B), texture times
    the irradiance's basis; inverse: (B, B), of the normal matrix of the light.
    """

    patch: Patch
    weight: np.ndarray
    shown: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, view, texture, weight, prior):
        """view: `View`; texture: (N,); weight: (N,); prior: (B,), in the same unit as the weights."""
        shown = (texture[:, None] * view.basis).astype(np.float32)
        normal = (shown * weight[:, None]).T @ shown + np.diag(prior)
        return cls(view.patch, weight.astype(np.float32), shown, np.linalg.inv(normal.astype(float)))

    def error(self, grey):
        """What the best light leaves of grey levels (N,)."""
        return grey - self.shown @ (self.inverse @ (self.shown.T @ (self.weight * grey))).astype(np.float32)

    def cost(self, grey):
        """Half the weighted squares of that error and what the prior asks for the light."""
        # The light solves the normal equations, so that the error's product with the picture holds both.
        return float((self.weight * grey).astype(float) @ self.error(grey)) / 2


class PhotometricEnergy:
    """A `SequenceEnergy` of one camera and the photometric error of its frames: what `minimise` asks for."""

    def __init__(self, alignment, shape, frames):
        """alignment: `SequenceEnergy` of T frames; shape: `LinearShape` of the N samples; frames: list of T
        `PhotometricFrame`, None where a frame has none."""
        self.alignment, self.shape, self.frames = alignment, shape, frames
        self.low, self.high = alignment.low, alignment.high
        basis = [shape.expression_basis, shape.identity_basis][: 1 + alignment.with_identity]
        # By axis, so that the chain rule is three multiply-adds of whole arrays.
        self.basis = np.ascontiguousarray(np.concatenate(basis).transpose(2, 1, 0), np.float32)

    def retract(self, state, frames, shared):
        """The state after a step, as the alignment energy takes it."""
        return self.alignment.retract(state, frames, shared)

    def cost(self, state):
        """The energy, a float; infinite where a point is behind the camera."""
        total = self.alignment.cost(state)
        return total + sum(self.photometric_costs(state)) if np.isfinite(total) else total

    def photometric_costs(self, state):
        """The photometric error of every frame, list of T floats, 0 where a frame has none."""

        def cost(i):
            frame = self.frames[i]
            if frame is None:
                return 0.0
            return frame.cost(frame.patch.read(self._points(state, i)[2])[:, 0])

        return [cost(i) for i in range(len(self.frames))]

    def linearize(self, state):
        """The `ArrowSystem` of the energy about a state; of the photometric error, Kaufman's (1975)."""
        system, a = self.alignment.linearize(state), self.alignment
        shared = np.r_[a.shared.identity, a.shared.focal] if a.shared.count else np.zeros(0, int)
        own = POSE + a.e
        for i, frame in enumerate(self.frames):
            if frame is None:
                continue
            h, g = self._frame(state, i)
            system.diagonal[i] += h[:own, :own]
            system.gradient[i] += g[:own]
            system.cross[i][:, shared] += h[:own, own:]
            system.corner[np.ix_(shared, shared)] += h[own:, own:]
            system.shared_gradient[shared] += g[own:]
        return system

    def _points(self, state, i):
        """Samples of frame i: turned and in the camera, (N, 3) mm float32, and in the image, (N, 2) px."""
        turned = self.shape(state.identity, state.expression[i]) @ state.rotation[i].T.astype(np.float32)
        x = turned + state.translation[i].astype(np.float32)
        return turned, x, np.exp(state.log_focal[0]) * x[:, :2] / x[:, 2:] + self.alignment.center[0]

    def _frame(self, state, i):
        """Gauss-Newton matrix and gradient of frame i's error to (pose, expression, identity, focal)."""
        frame, focal = self.frames[i], float(np.exp(state.log_focal[0]))
        turned, x, image = self._points(state, i)
        read = frame.patch.read(image)
        ray = x[:, :2] / x[:, 2:]
        # Slope of the grey level along the camera's axes, per mm, then along the model's.
        w = np.empty((len(x), 3), np.float32)
        w[:, :2] = read[:, 1:] * (focal / x[:, 2:])
        w[:, 2] = -(w[:, :2] * ray).sum(1)
        m = w @ state.rotation[i].astype(np.float32)
        columns = POSE + self.basis.shape[2]
        sh = self.alignment.shared
        j = np.empty((len(x), columns + sh.focal.stop - sh.focal.start), np.float32)
        _cross(turned, w, j[:, :3])
        j[:, 3:POSE] = w
        body = j[:, POSE:columns]
        np.multiply(m[:, :1], self.basis[0], out=body)
        body += m[:, 1:2] * self.basis[1]
        body += m[:, 2:] * self.basis[2]
        j[:, columns:] = focal * (read[:, 1:] * ray).sum(1)[:, None]
        weighted = j * frame.weight[:, None]
        tie = (frame.shown.T @ weighted).astype(float)
        h = (j.T @ weighted).astype(float) - tie.T @ frame.inverse @ tie
        return h, (weighted.T @ frame.error(read[:, 0])).astype(float)


def _cross(v, w, out):
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        out[:, i] = v[:, j] * w[:, k] - v[:, k] * w[:, j]
