"""The face detector's network: a small anchor-free net with one heat map at stride 8.

Objects as points (CenterNet, Zhou et al. 2019): a centre heat map and, at every cell, where the
centre is, how large the face is and how far it is rolled.
"""

import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 8
# Where log(side) = 0 in the size channel: near the geometric middle of the sides trained on.
REFERENCE_SIDE = 80.0


class _ConvBlock(nn.Sequential):
    def __init__(self, c_in, c_out, kernel, stride=1):
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
        )


class _Separable(nn.Module):
    # Depthwise 5x5 and pointwise 1x1, residual when the shape stays (BlazeFace's block): most of the
    # receptive field per multiplication, which faces as large as the frame need.
    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.depthwise = nn.Conv2d(c_in, c_in, 5, stride, 2, groups=c_in, bias=False)
        self.norm1 = nn.BatchNorm2d(c_in)
        self.pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.norm2(self.pointwise(self.norm1(self.depthwise(x))))
        return F.relu(x + y if self.residual else y)


class DetectorNet(nn.Module):
    """Image to centre heat map and face geometry at stride 8.

    Input (N, 3, H, W) RGB in 0..255, H and W multiples of 32. `forward` returns the heat map's logits
    (N, 1, H/8, W/8) and raw geometry (N, 5, H/8, W/8): centre minus the cell's centre in strides (2),
    log(side / REFERENCE_SIDE), and an unnormalised (cos roll, sin roll).
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(_ConvBlock(3, 12, 3, 2), _ConvBlock(12, 24, 3, 2), _ConvBlock(24, 48, 3, 2))
        self.stage8 = nn.Sequential(_Separable(48, 48), _Separable(48, 48))
        self.stage16 = nn.Sequential(_Separable(48, 96, 2), *[_Separable(96, 96) for _ in range(3)])
        self.stage32 = nn.Sequential(_Separable(96, 128, 2), *[_Separable(128, 128) for _ in range(4)])
        self.lateral32 = nn.Conv2d(128, 56, 1)
        self.lateral16 = nn.Conv2d(96, 56, 1)
        self.lateral8 = nn.Conv2d(48, 56, 1)
        self.smooth16 = _Separable(56, 56)
        self.smooth8 = nn.Sequential(_Separable(56, 56), _ConvBlock(56, 56, 3))
        self.heat = nn.Conv2d(56, 1, 1)
        self.geometry = nn.Conv2d(56, 5, 1)
        # The prior of a centre is rare; starting there keeps the focal loss from exploding.
        nn.init.constant_(self.heat.bias, -4.0)  # pyright: ignore[reportArgumentType]

    def forward(self, image):
        x8 = self.stage8(self.stem(image / 127.5 - 1))
        x16 = self.stage16(x8)
        x32 = self.stage32(x16)
        y16 = self.smooth16(self.lateral16(x16) + F.interpolate(self.lateral32(x32), scale_factor=2.0))
        y8 = self.smooth8(self.lateral8(x8) + F.interpolate(y16, scale_factor=2.0))
        return self.heat(y8), self.geometry(y8)


class DetectorExport(nn.Module):
    """`DetectorNet` as the runtime wants it: probabilities and pixels of the input.

    Returns heat (N, 1, h, w) in 0..1, after keeping only local maxima of 3 x 3, and geometry
    (N, 5, h, w): centre x, y (input px, integer coordinates are pixel centres), side (px), cos, sin.
    """

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image):
        logits, geometry = self.net(image)
        heat = torch.sigmoid(logits)
        heat = heat * (F.max_pool2d(heat, 3, 1, 1) == heat).float()
        offset, log_side, turn = geometry[:, :2] * STRIDE, geometry[:, 2:3], geometry[:, 3:5]
        column = torch.cumsum(torch.ones_like(logits), 3) - 1
        row = torch.cumsum(torch.ones_like(logits), 2) - 1
        cell = torch.cat([column, row], 1) * STRIDE + (STRIDE - 1) / 2
        turn = turn / torch.sqrt((turn**2).sum(1, keepdim=True) + 1e-12)
        return heat, torch.cat([cell + offset, torch.exp(log_side) * REFERENCE_SIDE, turn], 1)
