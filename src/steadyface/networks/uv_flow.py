"""FlowFace's dense 2D alignment: an iterated flow from UV space to the image (Taubner et al. 2024)."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ..errors import InputError
from .correlation import CorrelationPyramid, sample_map
from .flow_update import FlowUpdate, UpdateConfig
from .image_encoder import image_encoder
from .uv_position import TEXTURE_CHANNELS, UVPosition

#: log sigma, texels, is kept within plus and minus this: from a hundredth of a texel to the whole picture.
LOG_SIGMA_LIMIT = 5.0


@dataclass(frozen=True)
class UVFlowConfig:
    """Sizes of the network; the defaults are the paper's.

    encoder: a name of `image_encoder`; image_size: D_img, pixels; uv_size: D_uv, texels of the UV square and
    of the pooled image features; channels: of Z_img and Z_uv; textures: channels of each positional texture;
    levels, radius: of the correlation lookup; iterations: N_iter; matching: start the flow at the best match
    of all the picture instead of at a fixed one, and teach that match too, by which small networks learn
    several times sooner.
    """

    encoder: str = "segformer-b5"
    image_size: int = 512
    uv_size: int = 64
    channels: int = 128
    textures: int = TEXTURE_CHANNELS
    levels: int = 4
    radius: int = 4
    iterations: int = 3
    matching: bool = False
    update: UpdateConfig = field(default_factory=UpdateConfig)


#: The paper's choice (table 4, last but one row), for a GPU.
FULL = UVFlowConfig()
#: For one core of a CPU: an update of RAFT-S's kind behind the live regressor's MobileNet.
TINY = UVFlowConfig(
    encoder="mobile-0.5",
    image_size=256,
    uv_size=32,
    channels=64,
    levels=3,
    radius=3,
    matching=True,
    update=UpdateConfig(
        hidden=48, context=48, correlation=(48, 32), flow=(16, 16), motion=48, head=48, separable=False
    ),
)


class DensePrediction(NamedTuple):
    """Where a network sees n vertices in N pictures, after each of K iterations.

    position: (N, K, n, 2) pixels of the picture (integers at pixel centres), mu of eq. 1; sigma: (N, K, n)
    pixels, standard deviation of a circular Gaussian around it; guesses: (N, B, n, 2) pixels, in training
    alone, by matching without refinement (B is 0 for most networks).
    """

    position: torch.Tensor
    sigma: torch.Tensor
    guesses: torch.Tensor


class UVFlow(nn.Module):
    """The 2D alignment network (fig. 1, eq. 1-4).

    config: `UVFlowConfig`; chart: (n, 2) positions nu of the vertices in the unit square (`uv_chart`).
    forward: (N, 3, D_img, D_img) float RGB 0..255 and, if not the configured one, the number of iterations
    -> `DensePrediction`. Without matching the flow starts at `start`: zero as in the paper, or a mean face's
    (`set_start`).
    """

    def __init__(self, config, chart):
        super().__init__()
        if config.image_size % config.uv_size:
            raise InputError(
                f"image_size must be a multiple of uv_size, got {config.image_size} and {config.uv_size}"
            )
        self.config = config
        size, update = config.uv_size, config.update
        self.encoder = image_encoder(config.encoder, config.channels)
        self.uv_features = UVPosition(size, config.channels, config.textures)
        if config.matching:
            # Sharp enough from the start that the softmax over the picture is no mere average.
            self.uv_features.linear.weight.data.mul_(4)
        self.uv_context = UVPosition(size, update.context, config.textures)
        self.uv_hidden = UVPosition(size, update.hidden, config.textures)
        self.correlation = CorrelationPyramid(config.levels, config.radius)
        self.update = FlowUpdate(update, self.correlation.channels)
        chart = torch.as_tensor(chart, dtype=torch.float32)
        self.chart = nn.Buffer(chart)
        texel = torch.arange(size, dtype=torch.float32)
        x, y = torch.meshgrid(texel, texel, indexing="xy")
        self.identity = nn.Buffer(torch.stack([x, y], -1)[None], persistent=False)
        self.start = nn.Buffer(torch.zeros(1, 2, size, size))

    @property
    def pixels_per_texel(self):
        """Side of an image feature, pixels."""
        return self.config.image_size // self.config.uv_size

    def set_start(self, position):
        """Start the flow at a map of positions (D_uv, D_uv, 2), pixels, for every texel of the UV square."""
        p = self.pixels_per_texel
        texels = (torch.as_tensor(position, dtype=torch.float32) + 0.5) / p - 0.5
        self.start.copy_((texels - self.identity[0].cpu()).permute(2, 0, 1)[None])

    def image_features(self, image):
        """Z_img of eq. 2, (N, channels, D_uv, D_uv), and the encoder's maps for training alone, likewise."""
        size = self.config.uv_size
        maps = self.encoder((image - 127.5) / 64)
        return [
            functional.avg_pool2d(m, m.shape[-1] // size)
            if m.shape[-1] >= size
            else functional.interpolate(m, (size, size), mode="bilinear")
            for m in maps
        ]

    def at_vertices(self, values):
        """A map over the UV square, (N, C, u D_uv, u D_uv), at the vertices: (N, n, C)."""
        place = (self.chart * values.shape[-1] - 0.5).expand(values.shape[0], 1, -1, 2)
        return sample_map(values, place)[:, :, 0].transpose(1, 2)

    def forward(self, image, iterations=None):
        n = image.shape[0]
        uv_features = self.uv_features()
        image_features, *further = self.image_features(image)
        pyramid = self.correlation.volumes(uv_features, image_features)
        context = self.update.prepare(torch.relu(self.uv_context()))
        hidden = torch.tanh(self.uv_hidden()).expand(n, -1, -1, -1)
        guesses = []
        if self.config.matching:
            place = self._match(pyramid[0])
            flow = place - self.identity.permute(0, 3, 1, 2)
            if self.training:
                guesses.append(self.at_vertices(place))
        else:
            flow = self.start.expand(n, -1, -1, -1)
        sigma = torch.ones_like(flow[:, :1])
        texels = self.chart * self.config.uv_size - 0.5
        positions, sigmas = [], []
        for _ in range(iterations or self.config.iterations):
            # Each step is taught to improve what it is given, not to undo the step before (RAFT).
            flow, sigma = flow.detach(), sigma.detach()
            windows = self.correlation(pyramid, self.identity + flow.permute(0, 2, 3, 1))
            hidden, change, log_sigma = self.update(hidden, context, windows, flow, sigma)
            flow = flow + change
            log_sigma = log_sigma.clamp(-LOG_SIGMA_LIMIT, LOG_SIGMA_LIMIT)
            sigma = log_sigma.exp()
            read = self.at_vertices(self.update.enlarge(torch.cat([flow, sigma], 1), hidden))
            positions.append(texels + read[..., :2])
            sigmas.append(read[..., 2])
        for features in further:
            place = self._match(self.correlation.volumes(uv_features, features)[0])
            guesses.append(self.at_vertices(place))
        shape = (n, 0, *self.chart.shape)
        return DensePrediction(
            self._pixels(torch.stack(positions, 1)),
            torch.stack(sigmas, 1) * self.pixels_per_texel,
            self._pixels(torch.stack(guesses, 1)) if guesses else image.new_zeros(shape),
        )

    def _pixels(self, texels):
        return (texels + 0.5) * self.pixels_per_texel - 0.5

    def _match(self, volume):
        """Where each UV texel correlates best: the softmax-weighted mean place, (N, 2, D_uv, D_uv) texels."""
        size = self.config.uv_size
        place = torch.softmax(volume.flatten(2), 2) @ self.identity.reshape(-1, 2)
        return place.transpose(1, 2).unflatten(2, (size, size))
