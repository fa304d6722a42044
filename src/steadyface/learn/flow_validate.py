"""Errors of a dense alignment network on a held-out sample set."""

import cv2
import numpy as np
import torch

from ..face_model.mediapipe import OUTER_EYE_CORNERS
from .augment import View, view_labels, view_pixels
from .flow_batches import read_perspectives, view_points
from .flow_points import FlowPoints
from .guess import GuessConfig, draw_guesses
from .parameters import split
from .samples import load_samples, mediapipe_flip_index

#: Parts of the face that are told apart.
REGIONS = ("face", "eyes", "nose", "mouth")


def _tensors(*arrays):
    return [torch.from_numpy(a) for a in arrays]


class FlowHeldOut:
    """A held-out set, seen through crops that miss a little, always the same ones.

    folder: a sample set; model: MorphableModel; chart: `UVChart`; size: side of the picture, pixels; limit:
    at most so many samples, evenly spread. Crops stray as those of `HeldOut`.
    """

    def __init__(self, folder, model, chart, size=256, limit=300, seed=0):
        samples = load_samples(folder)
        inverse_distance, principal = read_perspectives([folder])
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(int))
        rng = np.random.default_rng(seed)
        views = [
            View(False, float(np.exp(0.05 * n[0])), float(np.radians(5) * n[1]), 0.03 * n[2:])
            for n in rng.standard_normal((len(chosen), 4))
        ]
        cv2.setNumThreads(1)
        self.images = np.stack(
            [view_pixels(samples.images[i], v, size) for i, v in zip(chosen, views, strict=True)]
        )
        params, _ = view_labels(
            samples.params[chosen], samples.landmarks478[chosen], views, model, mediapipe_flip_index(model)
        )
        labels = _tensors(params, inverse_distance[chosen], view_points(principal[chosen], views))
        points = FlowPoints(model, chart.vertices, size)
        self.truth = points(*labels).numpy()
        self.guess = points(torch.from_numpy(draw_guesses(params, model, rng, GuessConfig())))
        similarity, identity, expression = split(params, model.identity_count)
        corners = model.landmarks("mediapipe478")(identity, expression)[:, list(OUTER_EYE_CORNERS)]
        scale = np.linalg.norm(similarity[:, 2, :3], axis=-1)
        #: Distance of the outer eye corners in space, pixels: (N,).
        self.unit = scale * size * np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1)
        self.regions = {
            name: model.regions[name][chart.vertices]
            for name in REGIONS
            if name in model.regions and model.regions[name][chart.vertices].any()
        } or {"face": np.ones(len(chart), bool)}

    def predict(self, network, batch=16):
        """Positions (N, K, n, 2) and sigmas (N, K, n), pixels, of all pictures."""
        training, device = network.training, next(network.parameters()).device
        network.eval()
        parts = []
        with torch.inference_mode():
            for first in range(0, len(self.images), batch):
                image = torch.from_numpy(self.images[first : first + batch]).to(device)
                guess = self.guess[first : first + batch].to(device)
                r = network(image.permute(0, 3, 1, 2).float(), guess)
                parts.append((r.position.cpu().numpy(), r.sigma.cpu().numpy()))
        network.train(training)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def __call__(self, network):
        """Mean errors, percent of the outer eye corners' distance in space, as a dict.

        error: of the face's vertices after the last iteration, and error_NAME of a region's; error_K after K
        iterations, error_0 of the guesses; deviation: root mean square of the face's error over sigma, per
        axis, 1 where the network knows how wrong it is (median over pictures).
        """
        position, sigma = self.predict(network)
        distance = np.linalg.norm(position - self.truth[:, None], axis=-1)
        percent = 100 * distance / self.unit[:, None, None]
        face = next(iter(self.regions.values()))
        result = {"error": float(percent[:, -1][:, face].mean())}
        result |= {f"error_{k}": float(percent[:, -1][:, v].mean()) for k, v in self.regions.items()}
        for k in range(position.shape[1]):
            result[f"error_{k + 1}"] = float(percent[:, k][:, face].mean())
        guessed = np.linalg.norm(self.guess.numpy() - self.truth, axis=-1) / self.unit[:, None]
        result["error_0"] = float(100 * guessed[:, face].mean())
        ratio = (distance[:, -1] / sigma[:, -1])[:, face]
        result["deviation"] = float(np.median(np.sqrt((ratio**2).mean(1) / 2)))
        return result
