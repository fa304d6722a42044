"""MobileNet (V1) and the 3DDFA_V2 regressor built on it (Guo et al. 2020, fig. 2)."""

from typing import NamedTuple

import torch
from torch import nn

from .norm_relu import NormReLU

#: (output channels at width 1, stride) of the depthwise-separable blocks.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
STEM_CHANNELS = 32


def _channels(count, width):
    return max(8, round(count * width))


def _normalized_convolution(inputs, outputs, kernel, stride, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        NormReLU(outputs),
    )


class Reading(nn.Module):
    """Values read off an early feature map: `copies` learned weightings of the crop's places per channel.

    forward: (N, C, side, side) -> (N, copies * C).
    """

    def __init__(self, channels, side, copies):
        super().__init__()
        pools = [nn.Conv2d(channels, channels, side, groups=channels, bias=False) for _ in range(copies)]
        for pool in pools:
            nn.init.normal_(pool.weight, std=1 / side)
        self.pool = nn.ModuleList(pools)

    def forward(self, features):
        return torch.cat([pool(features).flatten(1) for pool in self.pool], 1)


class MobileNet(nn.Module):
    """MobileNet features: thirteen depthwise-separable blocks, then one value per channel.

    width: multiplier of every channel count. size: side of the square input, pixels. pooling: "average",
    the paper's global average; "depthwise", a learned weight per channel and place (it starts as the
    average): an average forgets where in the crop a feature was seen, which is what alignment asks; or
    "multilevel", that and a `Reading` of each map in `EARLY`: in a crop of 120 px an open eye is five
    pixels high, less than one at the last stride. forward: (N, 3, size, size) -> (N, `feature_count`).
    """

    #: Blocks after which early maps are read (strides 4 and 8), and how many weightings of each.
    EARLY = ((2, 2), (4, 2))

    def __init__(self, width=1.0, size=120, pooling="average"):
        super().__init__()
        if pooling not in ("average", "depthwise", "multilevel"):
            raise ValueError(f"pooling must be 'average', 'depthwise' or 'multilevel', got {pooling!r}")
        inputs = _channels(STEM_CHANNELS, width)
        self.stem = _normalized_convolution(3, inputs, 3, 2)
        blocks, early, side = [], {}, -(-size // 2)
        for i, (count, stride) in enumerate(BLOCKS):
            outputs = _channels(count, width)
            side = -(-side // stride)
            blocks.append(
                nn.Sequential(
                    _normalized_convolution(inputs, inputs, 3, stride, groups=inputs),
                    _normalized_convolution(inputs, outputs, 1, 1),
                )
            )
            inputs = outputs
            if pooling == "multilevel" and i in dict(self.EARLY):
                early[str(i)] = Reading(outputs, side, dict(self.EARLY)[i])
        self.blocks = nn.Sequential(*blocks)
        self.early = nn.ModuleDict(early)
        self.feature_count = inputs + sum(len(r.pool) * r.pool[0].in_channels for r in early.values())
        if pooling == "average":
            self.pool = nn.AdaptiveAvgPool2d(1)
        else:
            self.pool = nn.Conv2d(inputs, inputs, side, groups=inputs, bias=False)
            nn.init.constant_(self.pool.weight, 1 / side**2)

    def forward(self, image):
        features, read = self.stem(image), []
        for i, block in enumerate(self.blocks):
            features = block(features)
            if str(i) in self.early:
                read.append(self.early[str(i)](features))
        return torch.cat([self.pool(features).flatten(1), *read], 1)


class Regression(NamedTuple):
    """What the regressor says of N crops.

    z: (N, P) z-scored parameters; params: (N, P) in real units (see learn/parameters.py); landmarks:
    (N, 68, 2) crop units, from the extra head of section 2.3, None without one; log_sigma: (N, 68) natural
    log of the standard deviation of each iBUG-68 landmark, crop units; confidence_logit: (N,).
    """

    z: torch.Tensor
    params: torch.Tensor
    landmarks: torch.Tensor | None
    log_sigma: torch.Tensor
    confidence_logit: torch.Tensor


class FaceRegressor(nn.Module):
    """A crop's face: MobileNet, z-scored 3DMM parameters, and three small heads.

    mean, std: (P,) of the parameters over the training crops. mean_landmarks: (68, 2), where the
    landmark-regression head starts. forward: (N, 3, size, size) float RGB 0..255 -> `Regression`.
    The heads' last layers start at zero, so the first prediction is the mean face.
    """

    def __init__(self, mean, std, mean_landmarks, width=1.0, size=120, pooling="average"):
        super().__init__()
        self.size = size
        self.backbone = MobileNet(width, size, pooling)
        features = self.backbone.feature_count
        self.params_head = nn.Linear(features, len(mean))
        self.landmarks_head = nn.Linear(features, 136)
        self.log_sigma_head = nn.Linear(features, 68)
        self.confidence_head = nn.Linear(features, 1)
        for head in (self.params_head, self.landmarks_head, self.log_sigma_head, self.confidence_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        # exp(-2.5) = 0.08 of the crop's side, 18 mm: about the error of the mean face.
        nn.init.constant_(self.log_sigma_head.bias, -2.5)
        with torch.no_grad():
            self.landmarks_head.bias.copy_(torch.as_tensor(mean_landmarks, dtype=torch.float32).reshape(-1))
        self.params_mean = nn.Buffer(torch.as_tensor(mean, dtype=torch.float32).clone())
        self.params_std = nn.Buffer(torch.as_tensor(std, dtype=torch.float32).clone())

    def forward(self, image):
        features = self.backbone((image - 127.5) / 64)
        z = self.params_head(features)
        return Regression(
            z=z,
            params=z * self.params_std + self.params_mean,
            landmarks=self.landmarks_head(features).unflatten(1, (68, 2)),
            log_sigma=self.log_sigma_head(features),
            confidence_logit=self.confidence_head(features)[:, 0],
        )
