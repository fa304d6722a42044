"""Errors of a regressor on a held-out sample set."""

import cv2
import numpy as np
import torch

from ..face_model.mediapipe import OUTER_EYE_CORNERS
from .augment import View, view_labels, view_pixels
from .openings import openings
from .parameters import pose_from_similarity, similarity_from_pose, split
from .samples import load_samples, mediapipe_flip_index


def project_mediapipe(params, model):
    """MediaPipe points of (N, P) parameters, by the pose nearest to each T as a user gets it.

    Returns (N, 478, 2) crop units and the outer eye corners' distance in space, crop units: (N,).
    """
    similarity, identity, expression = split(params, model.identity_count)
    similarity = similarity_from_pose(*pose_from_similarity(similarity))
    shape = model.landmarks("mediapipe478")(identity, np.clip(expression, 0, 1))
    points = shape @ similarity[..., :3].swapaxes(-1, -2) + similarity[:, None, :, 3]
    right, left = OUTER_EYE_CORNERS
    return points[..., :2], np.linalg.norm(points[:, right] - points[:, left], axis=-1)


def _correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


class HeldOut:
    """A held-out set, seen through crops that miss a little, always the same ones.

    folder: a sample set; model: MorphableModel; limit: at most so many samples, evenly spread. Crops stray
    from the labelled one by 3 % of the side, 5 % in scale, and 5 degrees (standard deviations).
    """

    def __init__(self, folder, model, size=120, limit=1000, seed=0):
        samples = load_samples(folder)
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(int))
        rng = np.random.default_rng(seed)
        views = [
            View(False, float(np.exp(0.05 * n[0])), float(np.radians(5) * n[1]), 0.03 * n[2:])
            for n in rng.standard_normal((len(chosen), 4))
        ]
        cv2.setNumThreads(1)
        self.model = model
        self.images = np.stack(
            [view_pixels(samples.images[i], v, size) for i, v in zip(chosen, views, strict=True)]
        )
        self.params, self.landmarks = view_labels(
            samples.params[chosen],
            samples.landmarks478[chosen],
            views,
            model,
            mediapipe_flip_index(model),
        )
        fitted, self.unit = project_mediapipe(self.params, model)
        # Where nothing was measured (profiled pictures) the label's own points are the truth.
        measured = np.isfinite(self.landmarks).all((1, 2))
        self.landmarks = np.where(measured[:, None, None], self.landmarks, fitted)
        residual = np.linalg.norm(fitted - self.landmarks, axis=-1).mean(-1) / self.unit
        self.label_residual = float(100 * residual.mean())

    def predict(self, network, batch=64):
        """Parameters (N, P), log_sigma (N, 68) and confidence (N,) of all pictures."""
        training = network.training
        network.eval()
        parts = []
        with torch.inference_mode():
            for first in range(0, len(self.images), batch):
                image = torch.from_numpy(self.images[first : first + batch])
                r = network(image.permute(0, 3, 1, 2).float())
                parts.append(
                    (r.params.numpy(), r.log_sigma.numpy(), torch.sigmoid(r.confidence_logit).numpy())
                )
        network.train(training)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def __call__(self, network):
        """Mean and 95th percentile of the 478 points' error (percent of the outer eye corners' distance in
        space), of lids and lips alone, correlations of eye and mouth opening, mean confidence: a dict."""
        params, _, confidence = self.predict(network)
        points, _ = project_mediapipe(params, self.model)
        error = 100 * np.linalg.norm(points - self.landmarks, axis=-1) / self.unit[:, None]
        eyes, mouth = openings(points, self.unit)
        true_eyes, true_mouth = openings(self.landmarks, self.unit)
        return {
            "error": float(error.mean()),
            "error_95": float(np.percentile(error.mean(1), 95)),
            "label_residual": self.label_residual,
            "eye_correlation": _correlation(eyes, true_eyes),
            "mouth_correlation": _correlation(mouth, true_mouth),
            "confidence": float(confidence.mean()),
        }
