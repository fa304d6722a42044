"""ResNet-18 (He et al. 2016, table 1) as a backbone: a picture's pooled features."""

import torch
from torch import nn

from .norm_relu import NormReLU

#: Channels of the stem and of the four stages at width 1; blocks of each stage.
STEM, STAGES, DEPTH = 64, (64, 128, 256, 512), 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which a 1x1 convolution projects where sizes change (option B)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = NormReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(self.norm2(self.conv2(self.norm1(self.conv1(x)))) + shortcut)


class ResNet18(nn.Module):
    """A 7x7 stem, eight basic blocks, and the average over what is left of the picture.

    width: multiplier of every channel count. forward: (N, 3, H, W) -> (N, `feature_count`), 512 at width 1.
    """

    def __init__(self, width=1.0):
        super().__init__()
        inputs = round(STEM * width)
        self.stem = nn.Sequential(
            nn.Conv2d(3, inputs, 7, 2, 3, bias=False), NormReLU(inputs), nn.MaxPool2d(3, 2, 1)
        )
        blocks = []
        for stage, count in enumerate(STAGES):
            outputs = round(count * width)
            for i in range(DEPTH):
                blocks.append(BasicBlock(inputs, outputs, 2 if stage and not i else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.feature_count = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image):
        return self.blocks(self.stem(image)).mean((2, 3))
