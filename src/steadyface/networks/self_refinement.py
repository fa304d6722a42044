"""The three networks that SR-VFA trains on each video by itself (Yang et al. 2024, section 2.1).

The paper names them - M_t and M_ir of gated convolutions, M_id a transformer without positional encoding -
and leaves their sizes to its project page; those here are ours. All start at what is known without them: M_t
at the mean of the sampled textures, M_id at the mean identity, M_ir at an irradiance of 1, so that the
optimization starts at the coarse faces.
"""

from dataclasses import dataclass

import torch
from torch import nn

from .gated_convolution import GatedUNet

#: Largest irradiance (section 2.1).
MAX_IRRADIANCE = 10.0
# Textures are kept this far from black and white, where the logit would be infinite.
_MARGIN = 1e-3


@dataclass(frozen=True)
class SelfRefinementConfig:
    """Sizes of the networks.

    texture_size: side of the UV square, texels; texture_width, texture_levels: channels at full size and
    halvings of M_t; irradiance_width, irradiance_levels: of M_ir; irradiance_channels: 1, the brightness that
    the paper speaks of, or 3, which lets the light have a colour; identity_width, identity_heads,
    identity_layers: of M_id.
    """

    texture_size: int = 256
    texture_width: int = 32
    texture_levels: int = 4
    irradiance_width: int = 8
    irradiance_levels: int = 3
    irradiance_channels: int = 1
    identity_width: int = 128
    identity_heads: int = 4
    identity_layers: int = 2


def weighted_texture(textures, visibility):
    """Mean of what was seen of each texel, and how much was seen.

    textures: (*, N, 3, S, S) in [0, 1] of N frames; visibility: (*, N, 1, S, S) >= 0, the weight of each.
    Returns (*, 3, S, S), grey where nothing was seen, and (*, 1, S, S), the mean weight.
    """
    weight = visibility.sum(-4)
    mean = (textures * visibility).sum(-4) / weight.clamp_min(1e-8)
    return torch.where(weight > 1e-8, mean, torch.full_like(mean, 0.5)), visibility.mean(-4)


class TextureNetwork(nn.Module):
    """M_t: the sampled textures of a video to its one texture T.

    What the frames agree on enters as their visibility-weighted mean, with the spread around it, so that any
    number of frames in any order gives the same texture; the gates shut out what no frame has seen, and the
    dilated middle layers fill it in from around and across.
    forward: textures (*, N, 3, S, S) in [0, 1] and visibility (*, N, 1, S, S) in [0, 1] -> (*, 3, S, S) in
    [0, 1]; S a multiple of 2^texture_levels.
    """

    def __init__(self, config=SelfRefinementConfig()):
        super().__init__()
        self.network = GatedUNet(8, 3, config.texture_width, config.texture_levels, (1, 2, 4))

    def forward(self, textures, visibility):
        mean, seen = weighted_texture(textures, visibility)
        spread, _ = weighted_texture((textures - mean.unsqueeze(-4)) ** 2, visibility)
        known = torch.cat([mean - 0.5, torch.where(seen > 0, spread, 0.0).sqrt(), (seen > 0) * 1.0, seen], -3)
        change = self.network(known.flatten(0, -4) if known.ndim > 3 else known[None])
        return torch.sigmoid(torch.logit(mean, _MARGIN) + change.reshape(mean.shape))


class IdentityTransformer(nn.Module):
    """M_id: the identities that N frames tell to the one of the video.

    A transformer without positional encoding, for the selected frames have no order that matters: each frame
    is compared with all others, and the mean of what comes out corrects the mean of the identities.
    forward: (*, N, K) -> (*, K), the same for any order of the frames.
    """

    def __init__(self, identity_count, config=SelfRefinementConfig()):
        super().__init__()
        width = config.identity_width
        self.embed = nn.Linear(identity_count, width)
        layer = nn.TransformerEncoderLayer(
            width, config.identity_heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.frames = nn.TransformerEncoder(layer, config.identity_layers, enable_nested_tensor=False)
        self.correct = nn.Linear(width, identity_count)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, identities):
        mean = identities.mean(-2)
        told = self.frames(self.embed(identities).reshape(-1, identities.shape[-2], self.embed.out_features))
        return mean + self.correct(told.mean(-2)).reshape(mean.shape)


class IrradianceNetwork(nn.Module):
    """M_ir: the sampled texture of a frame to its texture-free irradiance I_i.

    forward: (N, 3, S, S) in [0, 1] and visibility (N, 1, S, S) in [0, 1] -> (N, irradiance_channels, S, S) in
    [0, 10]; S a multiple of 2^irradiance_levels. It starts at 1, where the texture is as bright as the face.
    """

    def __init__(self, config=SelfRefinementConfig()):
        super().__init__()
        outputs = config.irradiance_channels
        self.network = GatedUNet(4, outputs, config.irradiance_width, config.irradiance_levels)
        self.start = nn.Buffer(torch.logit(torch.tensor(1 / MAX_IRRADIANCE)), persistent=False)

    def forward(self, textures, visibility):
        change = self.network(torch.cat([(textures - 0.5) * visibility, visibility], 1))
        return MAX_IRRADIANCE * torch.sigmoid(self.start + change)
