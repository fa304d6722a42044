"""Errors of a regressor that follows held-out short videos by its own crops."""

import numpy as np
import torch

from ..align.alignment import alignment_from_output
from ..evaluate.metrics import jitter, nme, normalizer_of
from .sequences import load_sequences


class FollowHeldOut:
    """The last share of a set's videos, followed as in use: each frame cropped by the estimate before.

    folder: a set of short videos; model: MorphableModel; size: of the network's input, pixels; kept: share
    that is trained on; limit: at most so many videos. The first frame's crop is the true one.
    """

    def __init__(self, folder, model, size, kept=0.9, limit=40):
        self.videos = load_sequences(folder)
        self.model, self.size = model, size
        first = int(len(self.videos) * kept)
        self.chosen = list(range(len(self.videos)))[first:][:limit]
        self.landmarks = model.landmarks("ibug68")

    def follow(self, network):
        """Landmarks (V, T, 68, 2) px of V videos."""
        videos, count = self.videos, self.model.identity_count
        crops = [videos.crops[v * videos.frames] for v in self.chosen]
        track = np.empty((len(crops), videos.frames, 68, 2))
        for t in range(videos.frames):
            rows = [v * videos.frames + t for v in self.chosen]
            pictures = [videos.view(i, crop, self.size) for i, crop in zip(rows, crops, strict=True)]
            image = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
            with torch.inference_mode():
                r = network(image)
            params, log_sigma = r.params.numpy(), r.log_sigma.numpy()
            confidence = torch.sigmoid(r.confidence_logit).numpy()
            for i, crop in enumerate(crops):
                found = alignment_from_output(params[i], log_sigma[i], confidence[i], crop, count)
                track[i, t] = found.project(self.landmarks)[:, :2]
                # A network that loses a face finds it no more: the standard crop is where it was.
                own = videos.crops[rows[i]]
                near = np.linalg.norm(found.crop.center - own.center) < own.side
                crops[i] = found.crop if near and 0.5 < found.crop.side / own.side < 2 else own
        return track

    def __call__(self, network):
        """Mean normalized error of the 68 points (percent of the box, sqrt(h w)) and jitter beyond the
        truth's (percent of the inter-ocular distance), means of videos: a dict."""
        training = network.training
        network.eval()
        track = self.follow(network)
        network.train(training)
        errors, jitters = [], []
        for v, points in zip(self.chosen, track, strict=True):
            rows = slice(v * self.videos.frames, (v + 1) * self.videos.frames)
            truth = self.videos.landmarks68[rows].astype(float)
            errors.append(nme(points, truth, "bbox_sqrt"))
            length = normalizer_of(truth, "interocular")
            jitters.append(jitter(points, length) - jitter(truth, length))
        return {"error": float(np.mean(errors)), "jitter": float(np.mean(jitters))}
