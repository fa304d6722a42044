"""Learned positional encoding of the UV square (FlowFace, section 3.1.1)."""

import torch
from torch import nn
from torch.nn import functional

TEXTURE_CHANNELS, TEXTURE_LEVELS = 32, 4


class UVPosition(nn.Module):
    """One module G of eq. 3: a pyramid of trainable textures and a pixel-wise linear layer.

    size: D_uv, a multiple of 8: textures of `channels` channels at size, size / 2, size / 4, and size / 8 are
    enlarged bilinearly and concatenated, so that neighbours in UV share most of their features.
    forward: () -> (1, outputs, size, size).
    """

    def __init__(self, size, outputs, channels=TEXTURE_CHANNELS):
        super().__init__()
        if size % 2 ** (TEXTURE_LEVELS - 1):
            raise ValueError(f"the UV square's side must be a multiple of 8 texels, got {size}")
        self.size = size
        self.textures = nn.ParameterList(
            torch.randn(1, channels, size >> level, size >> level) for level in range(TEXTURE_LEVELS)
        )
        self.linear = nn.Conv2d(channels * TEXTURE_LEVELS, outputs, 1)

    def forward(self):
        # A fixed size keeps the exported graph free of shapes to work out at run time.
        scaled = [
            functional.interpolate(t, size=(self.size, self.size), mode="bilinear", align_corners=False)
            for t in self.textures
        ]
        return self.linear(torch.cat(scaled, 1))
