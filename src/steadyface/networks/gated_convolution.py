"""Gated convolutions: what is known of a picture with holes (Yu et al. 2019)."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class GatedConvolution(nn.Module):
    """A convolution whose every value is weighted by a learned gate in (0, 1), so that holes can be shut out.

    Features and gates are made by one convolution of twice the channels. norm: normalize features over the
    map (groups of 8 channels). forward: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride), ELU of
    the features times the gate. Yu et al., "Free-Form Image Inpainting with Gated Convolution", eq. 2.
    """

    def __init__(self, inputs, outputs, kernel=3, stride=1, dilation=1, norm=True):
        super().__init__()
        self.convolution = nn.Conv2d(
            inputs, 2 * outputs, kernel, stride, dilation * (kernel // 2), dilation, padding_mode="replicate"
        )
        # Not over the batch: each video, and each frame, is a problem of its own.
        self.norm = nn.GroupNorm(max(1, outputs // 8), outputs) if norm else nn.Identity()

    def forward(self, x):
        features, gate = self.convolution(x).chunk(2, 1)
        return functional.elu(self.norm(features)) * torch.sigmoid(gate)


class GatedUNet(nn.Module):
    """Gated convolutions down to a coarse map and up again, with shortcuts at every size.

    inputs, outputs: channels; width: channels at full size, doubled at every halving up to `widest`; levels:
    halvings; dilations: of the convolutions at the coarsest size, which carry colour far into holes. The last
    layer, an ungated 1x1 convolution, starts at zero.
    forward: (N, inputs, H, W), sides multiples of 2^levels -> (N, outputs, H, W).
    """

    def __init__(self, inputs, outputs, width, levels, dilations=(), widest=128):
        super().__init__()
        sizes = [min(width << level, widest) for level in range(levels + 1)]
        self.first = GatedConvolution(inputs, sizes[0], 5, norm=False)
        self.down = nn.ModuleList(
            nn.Sequential(GatedConvolution(a, b, 3, 2), GatedConvolution(b, b)) for a, b in pairwise(sizes)
        )
        self.middle = nn.Sequential(*(GatedConvolution(sizes[-1], sizes[-1], dilation=d) for d in dilations))
        self.up = nn.ModuleList(
            GatedConvolution(a + b, a) for a, b in zip(sizes[-2::-1], sizes[:0:-1], strict=True)
        )
        self.last = nn.Conv2d(sizes[0], outputs, 1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, x):
        x = self.first(x)
        finer = []
        for down in self.down:
            finer.append(x)
            x = down(x)
        x = self.middle(x)
        for up in self.up:
            beside = finer.pop()
            x = functional.interpolate(x, size=beside.shape[-2:], mode="bilinear")
            x = up(torch.cat([x, beside], 1))
        return self.last(x)
