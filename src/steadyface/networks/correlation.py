"""RAFT's all-pairs correlation pyramid and its lookup (Teed and Deng 2020, sections 3.2 and 3.3)."""

import torch
from torch import nn
from torch.nn import functional


def sample_map(features, position):
    """A map read bilinearly, its border repeated.

    features: (N, C, H, W); position: (N, h, w, 2) as x, y in texels, integers at the texels' centres.
    Returns (N, C, h, w).
    """
    height, width = features.shape[-2:]
    scale = torch.tensor([2 / width, 2 / height], dtype=position.dtype, device=position.device)
    grid = (position + 0.5) * scale - 1
    return functional.grid_sample(features, grid, padding_mode="border", align_corners=False)


def read_patches(features, position, size):
    """Three by three pixels of a feature map around places.

    features: (N, C, h, w); position: (N, H, W, 2) in texels of a map of size x size texels over the same
    picture. Returns (N, 9 C, H, W).
    """
    height, width = position.shape[1:3]
    offset = torch.arange(-1, 2, dtype=position.dtype, device=position.device)
    window = torch.stack(torch.meshgrid(offset, offset, indexing="ij")[::-1], -1).reshape(9, 2)
    scale = features.shape[-1] / size
    at = (position.flatten(1, 2).unsqueeze(2) + 0.5) * scale - 0.5 + window
    return sample_map(features, at).transpose(2, 3).reshape(-1, 9 * features.shape[1], height, width)


class CorrelationPyramid(nn.Module):
    """Dot products of every UV feature with every image feature, looked up around a flow's end points.

    levels: image sizes, each half of the one before, the first 2^first times as coarse as the features;
    radius: of the window, texels of each level.
    `volumes` makes the pyramid, forward looks it up; `channels` values a UV texel.
    """

    def __init__(self, levels=4, radius=4, first=0):
        super().__init__()
        self.levels, self.radius, self.first = levels, radius, first
        self.channels = levels * (2 * radius + 1) ** 2
        offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="ij")[::-1], -1)
        self.window = nn.Buffer(window[None], persistent=False)

    def volumes(self, uv_features, image_features):
        """The pyramid C^1 ... C^levels (first = 0).

        uv_features: (1 or N, C, H, W); image_features: (N, C, h, w). Returns `levels` tensors
        (N, H * W, h / 2^l, w / 2^l), l from `first`.
        """
        channels = image_features.shape[1]
        queries = (uv_features / channels**0.5).flatten(2).transpose(1, 2)
        # A product of equal batches: broadcasting one would copy the whole volume to put its axes in order.
        queries = queries.expand(image_features.shape[0], -1, -1)
        pyramid = []
        for level in range(self.first + self.levels):
            if level:
                # The mean of correlations is the correlation with the mean.
                image_features = functional.avg_pool2d(image_features, 2)
            if level < self.first:
                continue
            volume = torch.bmm(queries, image_features.flatten(2))
            # Not unflattened: an exported graph would keep the batch's size.
            pyramid.append(volume.reshape(-1, queries.shape[1], *image_features.shape[2:]))
        return pyramid

    def forward(self, pyramid, position):
        """Windows around position (N, H, W, 2), texels of the features. Returns (N, `channels`, H, W)."""
        height, width = position.shape[1:3]
        side = 2 * self.radius + 1
        found = []
        for level, volume in enumerate(pyramid, self.first):
            # grid_sample counts from -1 to 1 across a level, from edge to edge.
            unit = 2 / volume.shape[-1]
            center = (position.reshape(-1, 1, 1, 2) + 0.5) * (unit / 2**level) - 1
            flat = volume.flatten(0, 1).unsqueeze(1)
            # Outside the picture nothing correlates: zeros, as in RAFT.
            values = functional.grid_sample(flat, center + self.window * unit, align_corners=False)
            found.append(values.reshape(-1, height, width, side * side))
        return torch.cat(found, -1).permute(0, 3, 1, 2)
