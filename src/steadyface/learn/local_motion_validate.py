"""Errors of a local motion network on held-out short videos."""

from dataclasses import replace

import numpy as np
import torch

from ..align.face_of_landmarks import FaceOfLandmarks
from ..align.face_square import FACE_SIDE_MM
from ..evaluate.metrics import auc_fr, nme_per_frame
from ..points.ibug68_mirror import IBUG68_MIRROR
from .augment import View, draw_far_view
from .local_motion_batches import strayed, window_of
from .sequences import load_sequences


class HeldOutWindows:
    """Windows of videos that no training sees, through crops that miss a little, always the same ones.

    config: `WindowConfig`, whose folder, window and image_size are taken; first, last: the part of the
    videos; limit: at most so many windows, evenly spread; away: look beside the faces. Crops stray by 3 % of
    the side, 5 % in scale and 5 degrees (standard deviations).
    """

    def __init__(self, config, first=0.9, last=1.0, limit=300, seed=0, away=False):
        sequences = load_sequences(config.folder)
        videos = replace(config, first=first, last=last).videos(len(sequences))
        starts = range(0, sequences.frames - config.window + 1, config.window)
        windows = [v * sequences.frames + s + np.arange(config.window) for v in videos for s in starts]
        chosen = np.unique(np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(int))
        rng = np.random.default_rng(seed)
        images, landmarks = [], []
        for i in chosen:
            n = rng.standard_normal(4)
            view = View(False, float(np.exp(0.05 * n[0])), float(np.radians(5) * n[1]), 0.03 * n[2:])
            crop = strayed(sequences.crops[windows[i][-2]], draw_far_view(rng) if away else view)
            pictures, points = window_of(sequences, windows[i], crop, config.image_size)
            images.append(pictures)
            landmarks.append(points)
        self.images, self.landmarks = np.stack(images), np.stack(landmarks)

    def predict(self, network, batch=32):
        """Landmarks (N, 68, 2) in sides of the square, and how sure each is (N, 68)."""
        points, sure = [], []
        device = next(network.parameters()).device
        network.eval()
        with torch.no_grad():
            for i in range(0, len(self.images), batch):
                p, s = network.landmarks(to_network(self.images[i : i + batch]).to(device))
                points.append(p.cpu().numpy())
                sure.append(s.cpu().numpy())
        return np.concatenate(points), np.concatenate(sure)

    def __call__(self, network):
        """Percent: error and error_95 (mean and 95th percentile over windows, of the outer eye corners'
        distance in the picture), diagonal (of the box' diagonal), auc_8, fr_8, auc_4, fr_4 of that."""
        points = self.predict(network)[0].astype(float)
        eyes = nme_per_frame(points, self.landmarks, "interocular")
        diagonal = nme_per_frame(points, self.landmarks, "bbox_diagonal")
        result = {
            "error": float(eyes.mean()),
            "error_95": float(np.percentile(eyes, 95)),
            "diagonal": float(diagonal.mean()),
        }
        for threshold in (8, 4):
            auc, failures = auc_fr(diagonal, threshold)
            result |= {f"auc_{threshold}": auc, f"fr_{threshold}": failures}
        return result

    def sigma(self, network):
        """(68,) standard deviation of a coordinate of each landmark in sides of the square, one for a pair
        that mirrors; half of it at least is that of all."""
        error = self.predict(network)[0] - self.landmarks
        squares = (error**2).mean((0, 2))
        squares = 0.5 * (squares + squares[IBUG68_MIRROR])
        return np.sqrt(np.maximum(squares, 0.25 * squares.mean()))


def calibrate(network, faces, away, model):
    """What the runtime needs to know how likely landmarks are a face's: the export's metadata, name to text.

    faces, away: `HeldOutWindows` of faces and of what is none; model: `MorphableModel`. usual_mm: median
    residual of the model's fit to the landmarks of faces; doubtful_mm: between the 95th percentile of it and
    the median of what is no face, but beyond nearly all faces; usual_peak: of heatmaps on faces.
    """
    fitting = FaceOfLandmarks(model, FACE_SIDE_MM * faces.sigma(network))
    residuals, peaks = [], []
    for windows in (faces, away):
        points, peak = windows.predict(network)
        # In pixels of a square of a usual size.
        residuals.append(fitting.fit(200.0 * points.astype(float))[1])
        peaks.append(peak.mean())
    usual, high, most = np.percentile(residuals[0], [50, 95, 99])
    between = np.sqrt(high * np.median(residuals[1]))
    known = {"usual_mm": usual, "doubtful_mm": max(between, 1.3 * most)}
    if network.config.heatmaps:
        known["usual_peak"] = peaks[0]
    return {key: f"{value:.5g}" for key, value in known.items()}


def to_network(images):
    """(N, T, S, S, 3) uint8 as the networks take them: (N, T, 3, S, S) float32 tensor."""
    return torch.from_numpy(images).permute(0, 1, 4, 2, 3).float()
