"""The texture of a face at the samples of its surface, and how each frame agrees with it.

A frame is first looked at with the pose known so far; then texture and light are fitted in turn, in closed
form, and what agrees with neither counts less: hands, hair, microphones, and where the pose is wrong.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..fit.residuals import geman_mcclure_weight
from ..render.rasterize import depth_image
from .irradiance import IrradianceBasis, irradiance
from .patch import Patch
from .samples import spread_samples

#: Cosine between a sample's normal and the ray to the camera at which it begins to count, and counts fully.
FACING = 0.15, 0.5
#: Side of the depth image in which hidden samples are found, pixels, and what may lie before one, mm.
DEPTH_SIZE, BEFORE_MM = 96, 6.0
#: Times that texture and light are fitted in turn.
TURNS = 4
#: Share of what a face of one colour leaves unexplained that a texture may leave to be called telling.
TELLING = 0.85
#: Least sum of weights over the frames for a sample's texture to be called known.
LEAST_SEEN = 0.3


@dataclass(frozen=True)
class PhotometricWeights:
    """What the photometric error counts for.

    noise: least standard deviation of a grey level, 0..255; threshold: standard deviations at which a sample
    begins to count less (Geman and McClure), patch_threshold: the same of the root mean square of a patch;
    independent_samples: errors of neighbouring samples go together, so that all samples of a frame weigh as
    many would.
    """

    noise: float = 2.0
    threshold: float = 3.0
    patch_threshold: float = 2.5
    independent_samples: float = 2000.0


@dataclass(frozen=True)
class View:
    """A frame as the samples see it at some pose.

    patch: `Patch`; visible: (N,) in [0, 1], 0 where a sample faces away, is hidden or outside; basis: (N, B)
    of the irradiance; grey: (N,) 0..255 what is seen there.
    """

    patch: Patch
    visible: np.ndarray
    basis: np.ndarray
    grey: np.ndarray


@dataclass(frozen=True)
class Judged:
    """A view beside the texture.

    light: (B,) coefficients of the irradiance; visible: (N,) in [0, 1], 0 also where the texture is not
    known; weight: (N,) in [0, 1], visible and in agreement; noise: robust standard deviation of the grey
    level; error: (N,) grey levels.
    """

    light: np.ndarray
    visible: np.ndarray
    weight: np.ndarray
    noise: float
    error: np.ndarray


class Surface:
    """The samples of a face model, and what is the same for every face of it.

    samples: `SurfaceSamples`; basis: `IrradianceBasis`.
    """

    def __init__(self, model, count):
        self.model = model
        self.samples = spread_samples(model, count)
        self.basis = IrradianceBasis.of(model)
        self._bumps = self.basis.bumps(self.samples.shape.mean)
        outer = np.ones(model.vertex_count, bool)
        if "outer" in model.regions:
            outer = model.regions["outer"].copy()
            for eye in ("eyeball_left", "eyeball_right"):
                outer |= model.regions.get(eye, False)
        self._triangles = model.triangles[outer[model.triangles].all(1)]

    def view(self, patch, rotation, translation, identity, expression, focal, center):
        """The `View` of a frame at a pose: rotation (3, 3), translation (3,) mm, focal px, center (2,) px."""
        vertices = self.model.shape(identity, expression) @ rotation.T.astype(np.float32)
        vertices += translation.astype(np.float32)
        s = self.samples.embedding
        corners = self.model.triangles[s.triangle]
        points = (vertices[corners] * s.barycentric[..., None]).sum(1)
        image = focal * points[:, :2] / points[:, 2:] + center
        normals = self.samples.normals(self.model, vertices)
        facing = -(normals * points).sum(1) / np.linalg.norm(points, axis=-1)
        visible = np.clip((facing - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)
        visible *= patch.contains(image) & ~self._hidden(vertices, points, focal)
        basis = self.basis(normals, self._bumps)
        return View(patch, visible.astype(np.float32), basis, patch.read(image)[:, 0])

    def _hidden(self, vertices, points, focal):
        """(N,) bool: samples with something of the head before them."""
        flat = focal * vertices[:, :2] / vertices[:, 2:]
        low = flat.min(0)
        unit = max(float((flat.max(0) - low).max()) / (DEPTH_SIZE - 3), 1e-6)
        scaled = np.column_stack([(flat - low) / unit + 1, vertices[:, 2]]).astype(np.float32)
        depth = depth_image(scaled, self._triangles, (DEPTH_SIZE, DEPTH_SIZE))
        at = ((focal * points[:, :2] / points[:, 2:] - low) / unit + 1).astype(np.float32)
        before = cv2.remap(depth, at[:, :1], at[:, 1:], cv2.INTER_NEAREST)[:, 0]
        return points[:, 2] > before + BEFORE_MM


def judge(view, texture, prior, weights, before=None):
    """Fit the light of a view and weigh its samples against the texture (N,), 0 where it is not known.

    prior: (B,) of the irradiance; before: (N,) weights to start from. Returns `Judged`.
    """
    visible = view.visible * (texture > 0)
    weight = visible if before is None else before * (texture > 0)
    shown = texture[:, None] * view.basis
    lit = shown * weight[:, None]
    light = np.linalg.solve(lit.T @ shown + np.diag(prior), lit.T @ view.grey)
    error = view.grey - texture * irradiance(view.basis, light).astype(np.float32)
    seen = np.abs(error[visible > 0.1])
    noise = max(weights.noise, 1.4826 * float(np.median(seen))) if len(seen) else weights.noise
    weight = visible * geman_mcclure_weight(np.abs(error), weights.threshold * noise)
    return Judged(light, visible, weight.astype(np.float32), noise, error)


def agreeing(judged, samples, weights):
    """(N,) weights of a judged view, patches that disagree as a whole taken down."""
    # Single samples far off tell no more than that they are.
    square = np.minimum(np.abs(judged.error) / judged.noise, 2 * weights.threshold) ** 2
    rough = np.sqrt(samples.patch_means(square, judged.visible))
    return judged.weight * geman_mcclure_weight(rough, weights.patch_threshold)[samples.patch].astype(
        np.float32
    )


def tells(view, texture, judged, prior):
    """Whether the texture explains a view better than a face of one colour under any light does.

    It does not where the face is hidden, dark or overexposed, whatever the noise is taken for.
    """
    visible = judged.visible > 0.1
    if not visible.any():
        return False
    plain = np.where(texture > 0, np.float32(texture[texture > 0].mean()), 0)
    shown = plain[:, None] * view.basis
    lit = shown * judged.visible[:, None]
    light = np.linalg.solve(lit.T @ shown + np.diag(prior), lit.T @ view.grey)
    left = np.abs(view.grey - plain * irradiance(view.basis, light))
    return bool(np.median(np.abs(judged.error[visible])) < TELLING * np.median(left[visible]))


def learn_texture(views, prior, weights):
    """The grey texture of a face from V views, and each view `Judged` beside it.

    Returns texture (N,), 0..255 and 0 where no view shows it, and the list of judged views. The robust mean
    over the views of what is seen over the irradiance; the two are fitted in turn.
    """
    grey = np.stack([v.grey for v in views])
    weight = np.stack([v.visible for v in views])
    bright = (weight * grey).sum(1) / np.maximum(weight.sum(1), 1e-6)
    shine = np.repeat((bright / max(bright.mean(), 1e-6))[:, None], grey.shape[1], 1).astype(np.float32)
    judged: list[Judged] = []
    texture = _mean(grey, shine, weight)
    for _ in range(TURNS):
        judged = [judge(v, texture, prior, weights, w) for v, w in zip(views, weight, strict=True)]
        weight = np.stack([j.weight for j in judged])
        for row, (v, j) in enumerate(zip(views, judged, strict=True)):
            # Where hardly any light falls, noise would become texture.
            shine[row] = np.maximum(irradiance(v.basis, j.light), 0.02)
        # A view that shows something else all over agrees with no texture, however much noise explains it.
        noise = np.array([j.noise for j in judged])
        trust = np.minimum(np.median(noise) / noise, 1).astype(np.float32) ** 2
        texture = _mean(grey, shine, weight * trust[:, None])
    return texture, judged


def _mean(grey, shine, weight):
    known = weight.sum(0) > LEAST_SEEN
    mean = (weight * shine * grey).sum(0) / np.maximum((weight * shine * shine).sum(0), 1e-6)
    return np.where(known, np.maximum(mean, 1.0), 0).astype(np.float32)
