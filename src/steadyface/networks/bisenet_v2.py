"""BiSeNet-v2 (Yu et al. 2020) as image encoder: a detail branch, a semantic branch, and their aggregation."""

import torch
from torch import nn
from torch.nn import functional


def _convolution(inputs, outputs, kernel=3, stride=1, groups=1, relu=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Stem(nn.Module):
    """The semantic branch's start: a convolution and a pooling path, strides 4 (fig. 4a)."""

    def __init__(self, outputs):
        super().__init__()
        self.first = _convolution(3, outputs, stride=2)
        self.left = nn.Sequential(
            _convolution(outputs, outputs // 2, 1), _convolution(outputs // 2, outputs, stride=2)
        )
        self.joint = _convolution(2 * outputs, outputs)

    def forward(self, image):
        x = self.first(image)
        return self.joint(torch.cat([self.left(x), functional.max_pool2d(x, 3, 2, 1)], 1))


class Gather(nn.Module):
    """Gather-and-expansion layer, expansion 6, at stride 1 or 2 (fig. 5)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        wide = 6 * inputs
        layers = [_convolution(inputs, inputs), _convolution(inputs, wide, 3, stride, inputs, relu=False)]
        if stride == 2:
            layers.append(_convolution(wide, wide, groups=wide, relu=False))
            self.shortcut = nn.Sequential(
                _convolution(inputs, inputs, 3, 2, inputs, relu=False),
                _convolution(inputs, outputs, 1, relu=False),
            )
        else:
            self.shortcut = nn.Identity()
        self.layers = nn.Sequential(*layers, _convolution(wide, outputs, 1, relu=False))

    def forward(self, x):
        return functional.relu(self.layers(x) + self.shortcut(x))


class Context(nn.Module):
    """Context embedding: the map's mean, added to every place (fig. 4b)."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.mean = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True))
        self.joint = _convolution(channels, channels)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        # Batch statistics of one value a picture do not exist for a batch of one.
        if not (self.training and len(x) == 1):
            mean = self.norm(mean)
        return self.joint(x + self.mean(mean))


class Aggregation(nn.Module):
    """Bilateral guided aggregation of details at stride 8 and semantics at stride 32 (fig. 6)."""

    def __init__(self, channels):
        super().__init__()

        def depthwise():
            return nn.Sequential(
                _convolution(channels, channels, groups=channels, relu=False),
                nn.Conv2d(channels, channels, 1, bias=False),
            )

        self.detail_keep = depthwise()
        self.detail_down = nn.Sequential(
            _convolution(channels, channels, stride=2, relu=False), nn.AvgPool2d(3, 2, 1)
        )
        self.semantic_keep = depthwise()
        self.semantic_up = _convolution(channels, channels, relu=False)
        self.joint = _convolution(channels, channels, relu=False)

    def forward(self, detail, semantic):
        size = detail.shape[-2:]
        guide = functional.interpolate(self.semantic_up(semantic), size, mode="bilinear")
        fine = self.detail_keep(detail) * torch.sigmoid(guide)
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        return self.joint(fine + functional.interpolate(coarse, size, mode="bilinear"))


def _booster(inputs, inner, outputs):
    return nn.Sequential(
        _convolution(inputs, inner), _convolution(inner, inner), nn.Conv2d(inner, outputs, 1)
    )


class BiSeNetV2(nn.Module):
    """BiSeNet-v2 with a linear layer to `outputs` channels in place of its segmentation head.

    Its boosters, heads on the stages of the semantic branch, are used in training alone; most
    of the weights that FlowFace's table 4 counts are theirs.
    forward: (N, 3, H, W), sides a multiple of 32 -> a list: (N, outputs, H / 8, W / 8) and, in training, the
    boosters' maps at strides 4, 8, 16 and 32.
    """

    #: Inner channels of the boosters.
    BOOSTERS = (16, 64, 256, 1024)

    def __init__(self, outputs=128):
        super().__init__()
        self.detail = nn.Sequential(
            _convolution(3, 64, stride=2), _convolution(64, 64),
            _convolution(64, 64, stride=2), _convolution(64, 64), _convolution(64, 64),
            _convolution(64, 128, stride=2), _convolution(128, 128), _convolution(128, 128),
        )  # fmt: skip
        self.semantic = nn.ModuleList([
            Stem(16),
            nn.Sequential(Gather(16, 32, 2), Gather(32, 32, 1)),
            nn.Sequential(Gather(32, 64, 2), Gather(64, 64, 1)),
            nn.Sequential(Gather(64, 128, 2), *[Gather(128, 128, 1) for _ in range(3)]),
        ])  # fmt: skip
        self.context = Context(128)
        self.aggregation = Aggregation(128)
        self.linear = nn.Conv2d(128, outputs, 1)
        self.boosters = nn.ModuleList(
            _booster(inputs, inner, outputs)
            for inputs, inner in zip((16, 32, 64, 128), self.BOOSTERS, strict=True)
        )

    def forward(self, image):
        stages, x = [], image
        for stage in self.semantic:
            x = stage(x)
            stages.append(x)
        maps = [self.linear(self.aggregation(self.detail(image), self.context(x)))]
        if self.training:
            maps += [booster(stage) for booster, stage in zip(self.boosters, stages, strict=True)]
        return maps
