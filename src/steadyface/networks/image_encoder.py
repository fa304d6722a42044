"""The image encoders by name."""

from ..errors import InputError
from .bisenet_v2 import BiSeNetV2
from .mobile_pyramid import MobilePyramid
from .segformer import VARIANTS, SegFormer

NAMES = ("mobile-0.5", "mobile-1", "bisenet-v2", *(f"segformer-{v}" for v in VARIANTS))


def image_encoder(name, channels):
    """The encoder F of FlowFace's eq. 2 before its pooling: (N, 3, H, W) to maps (N, channels, H/s, W/s).

    name: one of `NAMES`. The first map, s = 4 for SegFormer and 8 for the others, is the feature map; maps
    after it exist in training alone, to be taught as if they were it (BiSeNet-v2's boosters). Raises
    InputError for unknown names.
    """
    kind, _, variant = name.partition("-")
    if name not in NAMES:
        raise InputError(f"unknown image encoder {name!r}: choose from {', '.join(NAMES)}")
    if kind == "segformer":
        return SegFormer(variant, channels)
    if kind == "bisenet":
        return BiSeNetV2(channels)
    return MobilePyramid(channels, float(variant))
