"""What a training step minimises: a loss of 3DDFA_V2 by name, plus the practical terms."""

from dataclasses import dataclass

import torch

from . import losses
from .parameters import CROP_SIDE_MM

#: Losses of a step. "distance" is VDC without the square: the one the shipped network ends with.
BASE_LOSSES = ("vdc", "distance", "fwpdc", "wpdc", "vanilla-joint")
#: Ways to choose among them in the course of training.
STRATEGIES = {
    **{name: lambda progress, name=name: name for name in BASE_LOSSES},
    "vdc-from-fwpdc": lambda progress: "fwpdc" if progress < 0.5 else "vdc",
    "distance-from-fwpdc": lambda progress: "fwpdc" if progress < 0.1 else "distance",
}
#: The pair that meta-joint chooses from (Algorithm 1).
META_JOINT = ("fwpdc", "vdc")


@dataclass(frozen=True)
class TermWeights:
    """Weights of the practical terms beside the loss; 0 leaves a term out. Points' terms are in mm.

    landmarks: projected against measured landmarks; openings: lid and lip gaps; coefficients: z-scored
    identity and expression; pose: z-scored T; motion: steadiness in clips; sigma, confidence: the two extra
    heads.
    """

    landmarks: float = 1.0
    openings: float = 1.0
    coefficients: float = 0.3
    pose: float = 0.0
    motion: float = 0.5
    sigma: float = 0.05
    confidence: float = 0.3


class Objective:
    """Loss terms of a batch.

    points: FacePoints; mean, std: (P,) tensors of the z-score; clip_rows, clip_length: which rows of a
    batch are clips; lrr: with landmark-regression regularization (section 2.3); beta: of vanilla-joint; lmk:
    with the same constraint on the landmarks that the parameters give, the paper's comparison with it.
    """

    def __init__(self, points, mean, std, weights, clip_rows=0, clip_length=1, lrr=True, beta=0.5, lmk=False):
        self.points, self.mean, self.std, self.weights = points, mean, std, weights
        self.clip_rows, self.clip_length = clip_rows, clip_length
        self.lrr, self.beta, self.lmk = lrr, beta, lmk
        self.vertex_mean, basis = points.vertex_mean_and_basis()
        self.basis = basis.contiguous()
        self.basis_norm = self.basis.flatten(1).norm(dim=1)
        self.point_weight = losses.mediapipe_weights()

    def base(self, name, regression, predicted, batch, truth):
        """The loss `name` (see `BASE_LOSSES`)."""
        face = batch["is_face"]
        weight = self.points.vertex_weight
        if name == "vdc":
            return losses.vdc_loss(predicted["vertices"], truth["vertices"], weight, face)
        if name == "distance":
            return losses.vertex_distance_loss(predicted["vertices"], truth["vertices"], weight, face)
        if name == "vanilla-joint":
            fwpdc, vdc = (self.base(n, regression, predicted, batch, truth) for n in ("fwpdc", "vdc"))
            return losses.vanilla_joint_loss(fwpdc, vdc, self.beta)
        if name not in ("fwpdc", "wpdc"):
            raise ValueError(f"unknown loss {name!r}: choose from {', '.join(BASE_LOSSES)}")
        arguments = (regression.params, batch["params"], self.vertex_mean, self.basis)
        if name == "wpdc":
            importance = losses.wpdc_weights(*arguments)
        else:
            importance = losses.fwpdc_weights(*arguments, self.basis_norm)
        z_target = (batch["params"] - self.mean) / self.std
        return losses.weighted_parameter_loss(regression.z, z_target, importance, face)

    def __call__(self, name, regression, batch):
        """Total loss and its parts.

        name: a base loss; regression: `Regression`; batch: tensors as `BatchMaker` makes them. Returns the
        scalar to minimise and a dict of detached terms.
        """
        face, w = batch["is_face"], self.weights
        predicted = self.points(regression.params)
        with torch.no_grad():
            truth = self.points(batch["params"])
        base = self.base(name, regression, predicted, batch, truth)
        terms = {"base": base}
        total = base
        truth_68 = truth["ibug68"][..., :2]
        if self.lrr:
            terms["lrr"] = losses.landmark_regression_loss(
                regression.landmarks, truth_68 / CROP_SIDE_MM, face
            )
            total = losses.with_regularization(total, terms["lrr"])
        if self.lmk:
            points = predicted["ibug68"][..., :2]
            terms["lmk"] = losses.landmark_regression_loss(
                points / CROP_SIDE_MM, truth_68 / CROP_SIDE_MM, face
            )
            total = losses.with_regularization(total, terms["lmk"])
        seen = predicted["mediapipe478"][..., :2]
        if w.landmarks or w.openings:
            measured = batch["landmarks478"] * CROP_SIDE_MM
            reliable = batch["landmark_weight"]
        if w.landmarks:
            terms["landmarks"] = losses.projected_landmark_loss(seen, measured, self.point_weight, reliable)
        if w.openings:
            terms["openings"] = losses.opening_loss(seen, measured, reliable)
        if w.coefficients:
            terms["coefficients"] = losses.identity_expression_loss(
                regression.params, batch["params"], self.std, self.points.identity_count, face
            )
        if w.pose:
            z_target = (batch["params"] - self.mean) / self.std
            terms["pose"] = losses.pose_loss(regression.z, z_target, face)
        if w.motion and self.clip_rows:
            rows = slice(self.clip_rows)
            terms["motion"] = losses.motion_loss(
                predicted["mediapipe478"][rows], truth["mediapipe478"][rows], self.clip_length, face[rows]
            )
        if w.sigma:
            points = predicted["ibug68"][..., :2]
            terms["sigma"] = losses.sigma_loss(
                regression.log_sigma, points / CROP_SIDE_MM, truth_68 / CROP_SIDE_MM, face
            )
        if w.confidence:
            terms["confidence"] = losses.confidence_loss(regression.confidence_logit, face)
        for key, term in terms.items():
            if key not in ("base", "lrr", "lmk"):
                total = total + getattr(w, key) * term
        with torch.no_grad():
            terms["vertex_mm"] = losses.vertex_distance_loss(
                predicted["vertices"], truth["vertices"], None, face
            )
        return total, {k: v.detach() for k, v in terms.items()}
