"""FlowFace's dense 2D alignment: an iterated flow from UV space to the image (Taubner et al. 2024)."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ..errors import InputError
from .correlation import CorrelationPyramid, read_patches, sample_map
from .flow_update import FlowUpdate, UpdateConfig
from .image_encoder import image_encoder
from .uv_chart import texel_weights
from .uv_position import TEXTURE_CHANNELS, UVPosition

#: log sigma, texels, is kept within plus and minus this: from a hundredth of a texel to the whole picture.
LOG_SIGMA_LIMIT = 5.0


@dataclass(frozen=True)
class UVFlowConfig:
    """Sizes of the network; the defaults are the paper's.

    encoder: a name of `image_encoder`; image_size: D_img, pixels; uv_size: D_uv, texels of the UV square and
    of the pooled image features; channels: of Z_img and Z_uv; textures: channels of each positional texture;
    levels, radius, first_level: of the correlation lookup (`CorrelationPyramid`); iterations: N_iter; start:
    one of `STARTS`; patch: channels of the unpooled image features that are read, 3 by 3 pixels of them,
    where the flow ends (none in the paper): what a pooled correlation blurs.
    """

    encoder: str = "segformer-b5"
    image_size: int = 512
    uv_size: int = 64
    channels: int = 128
    textures: int = TEXTURE_CHANNELS
    levels: int = 4
    radius: int = 4
    first_level: int = 0
    iterations: int = 3
    start: Literal["fixed", "match", "guess"] = "fixed"
    patch: int = 0
    update: UpdateConfig = field(default_factory=UpdateConfig)


#: Where the flow starts: at zero, as in the paper, or another fixed map (`set_start`); at the best match of
#: all the picture, which is taught too; or at a guess given with the picture, the track of a faster network,
#: from which little is left to learn and to compute.
STARTS = ("fixed", "match", "guess")
#: The paper's choice (table 4, last but one row), for a GPU.
FULL = UVFlowConfig()
#: For one core of a CPU: an update of RAFT-S's kind behind the live regressor's MobileNet. A guess is wrong
#: by a few pixels, which patches show; what is farther away a coarse correlation tells. From there a second
#: iteration gains nothing.
TINY = UVFlowConfig(
    encoder="mobile-0.5",
    image_size=256,
    uv_size=32,
    channels=64,
    levels=1,
    radius=3,
    first_level=1,
    iterations=1,
    start="guess",
    patch=24,
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
    forward: (N, 3, D_img, D_img) float RGB 0..255, the guessed positions (N, n, 2) in its pixels where the
    flow starts at a guess, and the number of iterations if not the configured one -> `DensePrediction`.
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
        if config.start == "match":
            # Sharp enough from the start that the softmax over the picture is no mere average.
            self.uv_features.linear.weight.data.mul_(4)
        self.uv_context = UVPosition(size, update.context, config.textures)
        self.uv_hidden = UVPosition(size, update.hidden, config.textures)
        self.correlation = CorrelationPyramid(config.levels, config.radius, config.first_level)
        self.patch = nn.Conv2d(config.channels, config.patch, 1) if config.patch else None
        self.update = FlowUpdate(update, self.correlation.channels + 9 * config.patch)
        chart = torch.as_tensor(chart, dtype=torch.float32)
        self.chart = nn.Buffer(chart)
        texel = torch.arange(size, dtype=torch.float32)
        x, y = torch.meshgrid(texel, texel, indexing="xy")
        self.identity = nn.Buffer(torch.stack([x, y], -1)[None], persistent=False)
        self.start = nn.Buffer(torch.zeros(1, 2, size, size))
        if config.start == "guess":
            near, weight = texel_weights(chart.numpy(), size)
            self.near = nn.Buffer(torch.from_numpy(near), persistent=False)
            self.near_weight = nn.Buffer(torch.from_numpy(weight), persistent=False)

    @property
    def is_fixed(self):
        """Whether the flow starts at a fixed map, `set_start`'s."""
        return self.config.start == "fixed"

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
        """The encoder's feature map (N, channels, h, w), and its maps for training alone, likewise."""
        return self.encoder((image - 127.5) / 64)

    def pooled(self, features):
        """Z_img of eq. 2, (N, channels, D_uv, D_uv), of a feature map."""
        size = self.config.uv_size
        if features.shape[-1] < size:
            return functional.interpolate(features, (size, size), mode="bilinear")
        return functional.avg_pool2d(features, features.shape[-1] // size)

    def at_vertices(self, values):
        """A map over the UV square, (N, C, u D_uv, u D_uv), at the vertices: (N, n, C)."""
        place = (self.chart * values.shape[-1] - 0.5).expand(values.shape[0], 1, -1, 2)
        return sample_map(values, place)[:, :, 0].transpose(1, 2)

    def forward(self, image, guess=None, iterations=None):
        n = image.shape[0]
        uv_features = self.uv_features()
        features, *further = self.image_features(image)
        pyramid = self.correlation.volumes(uv_features, self.pooled(features))
        patches = None if self.patch is None else self.patch(features)
        context = self.update.prepare(torch.relu(self.uv_context()))
        hidden = torch.tanh(self.uv_hidden()).expand(n, -1, -1, -1)
        texels = self.chart * self.config.uv_size - 0.5
        base, place = self._start(n, pyramid, guess)
        guesses = []
        flow = start = place - self.identity.permute(0, 3, 1, 2)
        if self.config.start == "match" and self.training:
            guesses.append(self.at_vertices(place))
        sigma = torch.ones_like(flow[:, :1])
        positions, sigmas = [], []
        for _ in range(iterations or self.config.iterations):
            # Each step is taught to improve what it is given, not to undo the step before (RAFT).
            flow, sigma = flow.detach(), sigma.detach()
            at = self.identity + flow.permute(0, 2, 3, 1)
            windows = self.correlation(pyramid, at)
            if patches is not None:
                windows = torch.cat([windows, read_patches(patches, at, self.config.uv_size)], 1)
            hidden, change, log_sigma = self.update(hidden, context, windows, flow, sigma)
            flow = flow + change
            log_sigma = log_sigma.clamp(-LOG_SIGMA_LIMIT, LOG_SIGMA_LIMIT)
            sigma = log_sigma.exp()
            moved = flow if base is None else flow - start
            read = self.at_vertices(self.update.enlarge(torch.cat([moved, sigma], 1), hidden))
            positions.append((texels if base is None else base) + read[..., :2])
            sigmas.append(read[..., 2])
        for maps in further:
            place = self._match(self.correlation.volumes(uv_features, self.pooled(maps))[0])
            guesses.append(self.at_vertices(place))
        shape = (n, 0, *self.chart.shape)
        return DensePrediction(
            self._pixels(torch.stack(positions, 1)),
            torch.stack(sigmas, 1) * self.pixels_per_texel,
            self._pixels(torch.stack(guesses, 1)) if guesses else image.new_zeros(shape),
        )

    def _start(self, n, pyramid, guess):
        """Where the flow starts: vertices (N, n, 2) to which its change is added, or None if the flow itself
        is read at them; the place of each texel (N, 2, D_uv, D_uv), in texels."""
        size = self.config.uv_size
        if self.config.start == "guess":
            base = (guess + 0.5) / self.pixels_per_texel - 0.5
            # A change is smooth over the chart where positions are not, so that a coarse map holds it.
            place = (base[:, self.near] * self.near_weight[..., None]).sum(2)
            return base, place.transpose(1, 2).reshape(-1, 2, size, size)
        if self.config.start == "match":
            return None, self._match(pyramid[0])
        return None, (self.start + self.identity.permute(0, 3, 1, 2)).expand(n, -1, -1, -1)

    def _pixels(self, texels):
        return (texels + 0.5) * self.pixels_per_texel - 0.5

    def _match(self, volume):
        """Where each UV texel correlates best: the softmax-weighted mean place, (N, 2, D_uv, D_uv) texels."""
        size = self.config.uv_size
        place = torch.softmax(volume.flatten(2), 2) @ self.identity.reshape(-1, 2)
        return place.transpose(1, 2).reshape(-1, 2, size, size)
