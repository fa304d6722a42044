"""The six networks of local motion (Belmonte et al. 2019): windows of frames to 68 landmarks.

One design with three choices: convolutions in 2D or 3D (early temporal connectivity, eq. 3), with or without
an LSTM (late connectivity, eq. 4), and coordinates (fig. 1) or heatmaps (fig. 2). The paper prints a padding
of 2 everywhere; its maps of 2x2x512 and its table 7 come about with 'same' padding and a depth in time that
stays that of the window, which is what is built here.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

LANDMARKS = 68


@dataclass(frozen=True)
class LocalMotionConfig:
    """One of the networks.

    early: 3D convolutions; late: an LSTM; heatmaps: a decoder to one map a landmark instead of coordinates;
    window: frames; image_size: side of the crops, px; channels: of the coordinate networks' convolutions,
    each followed by pooling to half the side; units: of the layer behind them; filters, layers: of the
    heatmap networks' strided convolutions and of as many transposed ones; head_filters: of the last layer
    but one; dropout: of the feed-forward and the recurrent connections.
    """

    early: bool = False
    late: bool = False
    heatmaps: bool = False
    window: int = 3
    image_size: int = 64
    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    units: int = 1024
    filters: int = 256
    layers: int = 5
    head_filters: int = 512
    dropout: float = 0.2

    @property
    def used_frames(self):
        """How many of the window's frames are looked at: the last ones."""
        return self.window if self.early or self.late else 1


#: The networks by the paper's names (table 7).
NETWORKS = {
    "2D": LocalMotionConfig(),
    "3D": LocalMotionConfig(early=True),
    "2DRNN": LocalMotionConfig(late=True),
    "3DRNN": LocalMotionConfig(early=True, late=True),
    "2DFCRNN": LocalMotionConfig(late=True, heatmaps=True),
    "3DFCRNN": LocalMotionConfig(early=True, late=True, heatmaps=True),
}
#: Parameters in millions and frames a second on a CPU by table 7.
PAPER_PARAMETERS = {"2D": 3.8, "3D": 11.1, "2DRNN": 14.2, "3DRNN": 17.4, "2DFCRNN": 10.2, "3DFCRNN": 14.9}
PAPER_CPU_FPS = {"2D": 178, "3D": 40, "2DRNN": 60, "3DRNN": 36, "2DFCRNN": 14, "3DFCRNN": 11}


class _Encoder(nn.Module):
    """Convolutions over each frame, or over space and time.

    forward: (N, T, 3, S, S) -> (N, T, C, S / 2^n, S / 2^n) after n convolutions: padded so that they keep
    the sides, then pooled, or with a stride of 2. In time nothing shrinks.
    """

    def __init__(self, channels, is_3d, strided):
        super().__init__()
        self.is_3d = is_3d
        convolution, norm = (nn.Conv3d, nn.BatchNorm3d) if is_3d else (nn.Conv2d, nn.BatchNorm2d)
        two: Any = (1, 2, 2) if is_3d else 2
        layers = []
        for inputs, outputs in zip((3, *channels), channels, strict=False):
            layers += [
                convolution(inputs, outputs, 3, two if strided else 1, 1),
                norm(outputs),
                nn.ELU(inplace=True),
            ]
            if not strided:
                layers.append(nn.MaxPool3d(two) if is_3d else nn.MaxPool2d(two))
        self.layers = nn.Sequential(*layers)
        # Maps in this order are half the work on a CPU; they take it over from the weights.
        self.to(memory_format=torch.channels_last_3d if is_3d else torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images):
        if self.is_3d:
            return self.layers(images.transpose(1, 2)).transpose(1, 2)
        return self.layers(images.flatten(0, 1)).unflatten(0, (-1, images.shape[1]))


class PeepholeLSTM(nn.Module):
    """A long short-term memory whose gates see the cell (eq. 4), over vectors or maps (Shi et al. 2015).

    kernel: None for vectors, else the side of the convolutions from input and state. dropout: of the
    recurrent connections, one mask for all steps. forward: (N, T, inputs, *) -> the last state
    (N, units, *).
    """

    def __init__(self, inputs, units, kernel=None, dropout=0.2):
        super().__init__()
        self.units, self.dropout = units, dropout
        if kernel is None:
            self.from_input, self.from_state = (
                nn.Linear(inputs, 4 * units),
                nn.Linear(units, 4 * units, bias=False),
            )
        else:
            self.from_input = nn.Conv2d(inputs, 4 * units, kernel, padding=kernel // 2)
            self.from_state = nn.Conv2d(units, 4 * units, kernel, padding=kernel // 2, bias=False)
        #: Weights of the cell in the input, forget and output gate; a map's have one for all places.
        self.peepholes = nn.Parameter(torch.zeros(3, units, *(() if kernel is None else (1, 1))))

    def forward(self, inputs):
        steps = inputs.shape[1]
        driven = self.from_input(inputs.flatten(0, 1)).unflatten(0, (-1, steps))
        state = cell = mask = None
        for t in range(steps):
            gates = driven[:, t]
            if state is not None:
                if self.training and mask is None:
                    mask = functional.dropout(torch.ones_like(state), self.dropout)
                gates = gates + self.from_state(state if mask is None else state * mask)
            i, f, c, o = gates.chunk(4, 1)
            if cell is None:
                cell = torch.sigmoid(i) * torch.tanh(c)
            else:
                i, f = i + self.peepholes[0] * cell, f + self.peepholes[1] * cell
                cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
            state = torch.sigmoid(o + self.peepholes[2] * cell) * torch.tanh(cell)
        return state


class LocalMotion(nn.Module):
    """One of the six networks: a window of crops to the landmarks of its last frame.

    forward: (N, T, 3, S, S) RGB 0..255, oldest first, of which the last `used_frames` count, -> coordinates
    (N, 68, 2) in crop sides from the crop's middle, [-0.5, 0.5] inside it, or heatmaps (N, 68, S, S).
    `landmarks` gives coordinates of both.
    """

    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor

    def __init__(self, config=LocalMotionConfig()):
        super().__init__()
        c = self.config = config
        self.register_buffer("pixel_mean", torch.full((3, 1, 1), 127.5))
        self.register_buffer("pixel_std", torch.full((3, 1, 1), 64.0))
        if c.heatmaps:
            self.encoder = _Encoder((c.filters,) * c.layers, c.early, strided=True)
            inputs = c.filters * (1 if c.late else c.used_frames)
            self.memory = PeepholeLSTM(c.filters, c.filters, 3, c.dropout) if c.late else None
            layers = []
            for k in range(c.layers):
                layers += [
                    nn.ConvTranspose2d(inputs if k == 0 else c.filters, c.filters, 3, 2, 1, 1),
                    nn.BatchNorm2d(c.filters),
                    nn.ELU(inplace=True),
                ]
            layers += [
                nn.Conv2d(c.filters, c.head_filters, 1),
                nn.BatchNorm2d(c.head_filters),
                nn.ELU(inplace=True),
                nn.Conv2d(c.head_filters, LANDMARKS, 1),
            ]
            self.head = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            self.encoder = _Encoder(c.channels, c.early, strided=False)
            features = c.channels[-1] * (c.image_size >> len(c.channels)) ** 2
            if c.late:
                self.memory = PeepholeLSTM(features, c.units, None, c.dropout)
                first = []
            else:
                self.memory = None
                first = [
                    nn.Linear(features * c.used_frames, c.units),
                    nn.BatchNorm1d(c.units),
                    nn.ELU(inplace=True),
                ]
            self.head = nn.Sequential(*first, nn.Dropout(c.dropout), nn.Linear(c.units, 2 * LANDMARKS))
        self._initialize()

    def _initialize(self):
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def set_statistics(self, mean, std, landmarks):
        """Start from the training data's: mean, std (3,) of the pixels by colour, for the z-score; landmarks
        (68, 2) in crop sides.

        Xavier's weights of the last layer would make outputs of a deviation of 1.3, many times that of
        landmarks and heatmaps: an untrained network gets a hundredth of them, and starts at the mean
        landmarks or at heatmaps of zero.
        """
        self.pixel_mean.copy_(torch.as_tensor(mean).view(3, 1, 1))
        self.pixel_std.copy_(torch.as_tensor(std).view(3, 1, 1))
        last = self.head[-1]
        assert isinstance(last, (nn.Linear, nn.Conv2d))
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(0.01)
            if not self.config.heatmaps:
                last.bias.copy_(torch.as_tensor(landmarks).flatten())

    def forward(self, images):
        c = self.config
        images = (images[:, -c.used_frames :] - self.pixel_mean) / self.pixel_std
        maps = self.encoder(images)
        if not c.heatmaps:
            features = maps.flatten(2) if c.late else maps.flatten(1)
            return self.head(self.memory(features) if self.memory else features).unflatten(1, (-1, 2))
        return self.head(self.memory(maps) if self.memory else maps.flatten(1, 2))

    def landmarks(self, images):
        """Coordinates (N, 68, 2) in crop sides, and how sure each is (N, 68): a heatmap's peak, else 1."""
        return self.read(self(images))

    def read(self, output):
        """Coordinates and sureness, as `landmarks`, of what `forward` gave."""
        return read_heatmaps(output) if self.config.heatmaps else (output, torch.ones_like(output[..., 0]))


def read_heatmaps(maps):
    """Where heatmaps are highest, between pixels: (N, L, 2) in crop sides and the peaks' heights (N, L).

    maps: (N, L, S, S). The maximum is refined in each direction by the parabola through the logarithms of it
    and its two neighbours, which is exact for a Gaussian; at the border it stays on its pixel.
    """
    size = maps.shape[-1]
    flat = maps.flatten(2)
    peak, at = flat.max(-1)
    # Far from a peak a learned map may be zero or less.
    logs = torch.log(torch.clamp(flat, min=1e-4))
    x, y = at % size, torch.div(at, size, rounding_mode="floor")
    steps = []
    for place, stride in ((x, 1), (y, size)):
        inside = (place > 0) & (place < size - 1)
        index = torch.clamp(at, stride, flat.shape[-1] - 1 - stride)
        low, middle, high = (
            torch.gather(logs, 2, (index + k * stride).unsqueeze(-1)).squeeze(-1) for k in (-1, 0, 1)
        )
        curvature = torch.clamp(2 * middle - low - high, min=1e-6)
        step = torch.clamp(0.5 * (high - low) / curvature, -0.5, 0.5)
        steps.append(torch.where(inside, place + step, place.to(maps.dtype)))
    return (torch.stack(steps, -1) + 0.5) / size - 0.5, peak


def draw_heatmaps(points, size, sigma):
    """Gaussians of height 1 around points: (N, L, S, S).

    points: (N, L, 2) in crop sides; size: S, px; sigma: px.
    """
    grid = (torch.arange(size, dtype=points.dtype, device=points.device) + 0.5) / size - 0.5
    # The two directions part: exp(-(x^2 + y^2) / 2 s^2) is a product.
    x, y = torch.exp(-0.5 * ((grid - points[..., None]) * (size / sigma)) ** 2).unbind(2)
    return y[..., :, None] * x[..., None, :]
