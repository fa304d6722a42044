"""Direct regression of dense landmarks: FlowFace's baseline (section 4.5; Wood et al. 2022)."""

from dataclasses import dataclass

import torch
from torch import nn

from ..errors import InputError
from .mobilenet import MobileNet
from .uv_flow import DensePrediction

#: Layers of torch's and transformers' ResNet (He et al. 2016): blocks and channels a stage, kind of block.
RESNETS = {
    "resnet-101": ((3, 4, 23, 3), (256, 512, 1024, 2048), 64, "bottleneck"),
    "resnet-18-narrow": ((2, 2, 2, 2), (40, 80, 160, 320), 40, "basic"),
}
NAMES = (*RESNETS, "mobile-0.5")


@dataclass(frozen=True)
class DenseRegressorConfig:
    """encoder: a name of `NAMES`; image_size: side of the input, pixels. The defaults are the paper's."""

    encoder: str = "resnet-101"
    image_size: int = 512


#: The baseline of table 4, and one that costs no more than `uv_flow.TINY` may.
FULL_DIRECT = DenseRegressorConfig()
TINY_DIRECT = DenseRegressorConfig("resnet-18-narrow", 256)


class _ResNet(nn.Module):
    def __init__(self, name):
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        depths, channels, stem, kind = RESNETS[name]
        self.network = ResNetModel(
            ResNetConfig(
                depths=list(depths), hidden_sizes=list(channels), embedding_size=stem, layer_type=kind
            )
        )
        self.feature_count = channels[-1]

    def forward(self, image):
        return self.network(image).pooler_output.flatten(1)


class DenseRegressor(nn.Module):
    """A picture's pooled features and one linear layer to each vertex' position and log sigma.

    config: `DenseRegressorConfig`; vertex_count: n. forward: (N, 3, image_size, image_size) float RGB 0..255
    and, to be called as `UVFlow` is, a guess that it has no use for -> `DensePrediction` with K = 1. The
    first prediction is `set_start`'s, or the middle of the picture.
    Raises InputError for unknown encoders.
    """

    def __init__(self, config, vertex_count):
        super().__init__()
        self.config = config
        if config.encoder in RESNETS:
            self.encoder = _ResNet(config.encoder)
        elif config.encoder == "mobile-0.5":
            self.encoder = MobileNet(0.5, config.image_size, "depthwise")
        else:
            raise InputError(f"unknown encoder {config.encoder!r}: choose from {', '.join(NAMES)}")
        self.head = nn.Linear(self.encoder.feature_count, 3 * vertex_count)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def set_start(self, position):
        """Start from positions (n, 2), pixels."""
        values = self.head.bias.data.view(-1, 3)
        size = self.config.image_size
        values[:, :2] = (torch.as_tensor(position, dtype=torch.float32) + 0.5) / size - 0.5

    def forward(self, image, guess=None):
        values = self.head(self.encoder((image - 127.5) / 64)).unflatten(1, (1, -1, 3))
        size = self.config.image_size
        # Positions in picture sides around its middle; log sigma around a tenth of a side.
        position = (values[..., :2] + 0.5) * size - 0.5
        sigma = (values[..., 2].clamp(-6, 2)).exp() * (size / 10)
        return DensePrediction(position, sigma, image.new_zeros((len(image), 0, *position.shape[2:])))
