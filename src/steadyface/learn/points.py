"""The model's points that the losses look at, as torch buffers."""

import numpy as np
import torch
from torch import nn

from .parameters import CROP_SIDE_MM, split

#: Weight of a vertex in the vertex losses by region; the last named region that holds it decides.
REGION_WEIGHTS = {"ears": 0.3, "neck": 0.2, "face": 1.0, "nose": 1.5, "mouth": 2.0, "eyes": 2.0}


class FacePoints(nn.Module):
    """A vertex subset and the two landmark sets of a face model, rebuilt from p.

    model: MorphableModel. vertex_count: size of the subset of face vertices (all of them if None or if the
    model has fewer). forward: p (N, P) -> {"vertices": (N, V, 3), "ibug68": (N, 68, 3),
    "mediapipe478": (N, 478, 3)} in mm of the crop (crop units times 220): V_3d(p) of eq. 5.
    """

    def __init__(self, model, vertex_count=800, seed=0):
        super().__init__()
        kept = np.arange(model.vertex_count)
        if "face" in model.regions:
            kept = np.flatnonzero(model.regions["face"])
        if vertex_count is not None and len(kept) > vertex_count:
            kept = np.sort(np.random.default_rng(seed).choice(kept, vertex_count, replace=False))
        weight = np.ones(model.vertex_count, np.float32)
        for name, value in REGION_WEIGHTS.items():
            if name in model.regions:
                weight[model.regions[name]] = value
        shape = model.shape
        parts = {
            "vertices": (shape.mean[kept], shape.identity_basis[:, kept], shape.expression_basis[:, kept]),
        }
        for name in ("ibug68", "mediapipe478"):
            s = model.landmarks(name)
            parts[name] = (s.mean, s.identity_basis, s.expression_basis)
        self.identity_count = model.identity_count
        self.counts = {name: len(part[0]) for name, part in parts.items()}
        mean = np.concatenate([m for m, _, _ in parts.values()])
        basis = np.concatenate([np.concatenate([a, e]) for _, a, e in parts.values()], axis=1)
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float32))
        # (K + E, P * 3): one matrix product rebuilds every point of a batch.
        self.basis = nn.Buffer(torch.tensor(basis, dtype=torch.float32).flatten(1))
        self.vertex_weight = nn.Buffer(torch.tensor(weight[kept] / weight[kept].mean()))

    def shape(self, alpha):
        """S = mean + A alpha (eq. 1) of all points, mm of the model. alpha: (N, K + E). Returns (N, P, 3)."""
        return self.mean + (alpha @ self.basis).unflatten(1, (-1, 3))

    def forward(self, params):
        similarity, identity, expression = split(params, self.identity_count)
        shape = self.shape(torch.cat([identity, expression], -1))
        points = (shape @ similarity[..., :3].mT + similarity[:, None, :, 3]) * CROP_SIDE_MM
        return dict(zip(self.counts, points.split(list(self.counts.values()), 1), strict=True))

    def ibug68(self, params):
        """The 68 landmarks alone: p (N, P) -> (N, 68, 3), as of `forward`."""
        stop = self.counts["vertices"] + self.counts["ibug68"]
        part = slice(self.counts["vertices"], stop)
        similarity, identity, expression = split(params, self.identity_count)
        alpha = torch.cat([identity, expression], -1)
        shape = self.mean[part] + (alpha @ self.basis[:, 3 * part.start : 3 * stop]).unflatten(1, (-1, 3))
        return (shape @ similarity[..., :3].mT + similarity[:, None, :, 3]) * CROP_SIDE_MM

    def vertex_mean_and_basis(self):
        """Mean (V, 3) and basis (K + E, V, 3) of the vertex subset alone."""
        v = self.counts["vertices"]
        return self.mean[:v], self.basis.unflatten(1, (-1, 3))[:, :v]
