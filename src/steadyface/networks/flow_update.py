"""RAFT's recurrent update with FlowFace's uncertainty: motion encoder, ConvGRU and heads (eq. 4)."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class UpdateConfig:
    """Sizes of the update; the defaults are RAFT-L's.

    hidden, context: channels of h and c; correlation: of the motion encoder's two correlation layers; flow:
    of its two flow layers; motion: of its result; head: of the heads' inner layer; separable: RAFT-L's pair
    of 1x5 and 5x1 GRUs, or one of 3x3, RAFT-S's; upsample: factor of RAFT's convex upsampling, or 1 for none
    (the paper's flow has D_uv x D_uv texels).
    """

    hidden: int = 128
    context: int = 128
    correlation: tuple[int, int] = (256, 192)
    flow: tuple[int, int] = (128, 64)
    motion: int = 128
    head: int = 256
    separable: bool = True
    upsample: int = 1


class MotionEncoder(nn.Module):
    """Correlation windows, flow and uncertainty to motion features, which end in the latter two themselves.

    forward: (N, L, H, W), (N, 2, H, W), (N, 1, H, W) -> (N, motion, H, W).
    """

    def __init__(self, config, correlation_channels):
        super().__init__()
        (c1, c2), (f1, f2) = config.correlation, config.flow
        self.correlation = nn.Sequential(
            nn.Conv2d(correlation_channels, c1, 1), nn.ReLU(), nn.Conv2d(c1, c2, 3, padding=1), nn.ReLU()
        )
        self.flow = nn.Sequential(
            nn.Conv2d(3, f1, 7, padding=3), nn.ReLU(), nn.Conv2d(f1, f2, 3, padding=1), nn.ReLU()
        )
        self.joint = nn.Conv2d(c2 + f2, config.motion - 3, 3, padding=1)

    def forward(self, correlation, flow, sigma):
        known = torch.cat([flow, sigma], 1)
        joint = torch.cat([self.correlation(correlation), self.flow(known)], 1)
        return torch.cat([functional.relu(self.joint(joint)), known], 1)


class ConvGRU(nn.Module):
    """A convolutional gated recurrent unit whose input is motion features and a context that never changes.

    `prepare`: context (1, context, H, W) -> its share of the gates and of the candidate, worked out once for
    all iterations and pictures. forward: h (N, hidden, H, W), motion (N, motion, H, W) and that share -> new
    h.
    """

    def __init__(self, hidden, motion, context, kernel):
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        # Update and reset gate read the same values: one convolution for both.
        self.gates = nn.Conv2d(hidden + motion, 2 * hidden, kernel, padding=padding)
        self.candidate = nn.Conv2d(hidden + motion, hidden, kernel, padding=padding)
        self.context = nn.Conv2d(context, 3 * hidden, kernel, padding=padding, bias=False)
        self.hidden = hidden

    def prepare(self, context):
        return self.context(context).split((2 * self.hidden, self.hidden), 1)

    def forward(self, h, motion, share):
        gates, candidate = share
        z, r = torch.sigmoid(self.gates(torch.cat([h, motion], 1)) + gates).chunk(2, 1)
        q = torch.tanh(self.candidate(torch.cat([r * h, motion], 1)) + candidate)
        return h + z * (q - h)


def _head(hidden, inner, outputs):
    return nn.Sequential(
        nn.Conv2d(hidden, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, outputs, 3, padding=1)
    )


class FlowUpdate(nn.Module):
    """The update module U of eq. 4.

    `prepare`: context (1, context, H, W), the same for every picture -> what forward takes for it. forward:
    hidden state (N, hidden, H, W), that, correlation windows, flow (N, 2, H, W) and sigma (N, 1, H, W) in
    texels -> the new hidden state, the flow's change and log sigma.
    The uncertainty's head is a copy of the flow's with one channel. `enlarge` is the upsampling.
    """

    def __init__(self, config, correlation_channels):
        super().__init__()
        self.encoder = MotionEncoder(config, correlation_channels)
        kernels = ((1, 5), (5, 1)) if config.separable else ((3, 3),)
        self.gru = nn.ModuleList(ConvGRU(config.hidden, config.motion, config.context, k) for k in kernels)
        self.flow_head = _head(config.hidden, config.head, 2)
        self.sigma_head = _head(config.hidden, config.head, 1)
        self.upsample = config.upsample
        if self.upsample > 1:
            self.mask_head = nn.Sequential(
                nn.Conv2d(config.hidden, config.head, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(config.head, 9 * self.upsample**2, 1),
            )

    def prepare(self, context):
        return [gru.prepare(context) for gru in self.gru]  # pyright: ignore[reportCallIssue]

    def forward(self, h, context, correlation, flow, sigma):
        motion = self.encoder(correlation, flow, sigma)
        for gru, share in zip(self.gru, context, strict=True):
            h = gru(h, motion, share)
        return h, self.flow_head(h), self.sigma_head(h)

    def enlarge(self, values, h):
        """Values (N, C, H, W) at `upsample` times the size: convex means of nine neighbours (RAFT, 3.3)."""
        if self.upsample == 1:
            return values
        height, width = values.shape[2:]
        u = self.upsample
        weights = torch.softmax(self.mask_head(h).view(-1, 1, 9, u * u, height, width), 2)
        padded = functional.pad(values, (1, 1, 1, 1), mode="replicate")
        near = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
        fine = (weights * torch.stack(near, 2).unsqueeze(3)).sum(2)
        return functional.pixel_shuffle(fine.flatten(1, 2), u)
