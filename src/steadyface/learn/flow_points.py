"""Where a chart's vertices lie in a training picture, from its labels."""

import numpy as np
import torch
from torch import nn

from .parameters import split


class FlowPoints(nn.Module):
    """The chart's vertices of labelled pictures.

    model: MorphableModel; vertices: (n,) indices; size: side of the picture, pixels, which shows one crop.
    forward: p (N, P) and optionally a perspective, `inverse_distance` (N,) per mm and `principal` (N, 2) crop
    units -> (N, n, 2) pixels. Without it the picture is a weak-perspective one, as its labels are. With it a
    vertex z mm behind the model's origin is drawn toward the image of the camera's principal point by
    1 / (1 + z * inverse_distance), which is a pinhole camera's picture exactly.
    """

    def __init__(self, model, vertices, size):
        super().__init__()
        s = model.shape
        basis = np.concatenate([s.identity_basis[:, vertices], s.expression_basis[:, vertices]])
        self.identity_count, self.size = model.identity_count, size
        self.mean = nn.Buffer(torch.tensor(s.mean[vertices], dtype=torch.float32))
        self.basis = nn.Buffer(torch.tensor(basis, dtype=torch.float32).flatten(1))

    def forward(self, params, inverse_distance=None, principal=None):
        similarity, identity, expression = split(params, self.identity_count)
        alpha = torch.cat([identity, expression], -1)
        shape = self.mean + (alpha @ self.basis).unflatten(1, (-1, 3))
        points = shape @ similarity[..., :3].transpose(1, 2)
        place = points[..., :2] + similarity[:, None, :2, 3]
        if inverse_distance is not None and principal is not None:
            scale = similarity[:, 2, :3].norm(dim=-1, keepdim=True)
            depth = points[..., 2] / scale * inverse_distance[:, None]
            center = principal[:, None]
            place = center + (place - center) / (1 + depth)[..., None]
        return (place + 0.5) * self.size - 0.5
