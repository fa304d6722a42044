"""MobileNet with a feature pyramid: the image encoder of small networks on a CPU."""

from torch import nn
from torch.nn import functional

from .mobilenet import BLOCKS, MobileNet
from .norm_relu import NormReLU


class MobilePyramid(nn.Module):
    """`MobileNet`'s maps, added from coarse to fine (Lin et al. 2017), and finer detail beside them.

    The backbone sees the picture at half its size: faces are then as large as in the crops of the face
    regressor that lends its weights, and it costs a quarter. What that loses two shallow convolutions of
    the whole picture give back. width: of MobileNet. forward: (N, 3, H, W), sides a multiple of 64, -> one
    map (N, outputs, H / 4, W / 4), in a list.
    """

    def __init__(self, outputs=64, width=0.5, detail=16):
        super().__init__()
        self.backbone = MobileNet(width)
        #: The last blocks before the map shrinks: strides 4, 8, 16 and 32 of the halved picture.
        ends = [i for i in range(len(BLOCKS)) if i + 1 == len(BLOCKS) or BLOCKS[i + 1][1] == 2][-4:]
        self.laterals = nn.ModuleDict(
            {str(i): nn.Conv2d(max(8, round(BLOCKS[i][0] * width)), outputs, 1) for i in ends}
        )
        self.detail = nn.Sequential(
            nn.Conv2d(3, detail, 3, 2, 1, bias=False),
            NormReLU(detail),
            nn.Conv2d(detail, detail, 3, 2, 1, bias=False),
            NormReLU(detail),
            nn.Conv2d(detail, outputs, 1),
        )
        # Apart in space and channels: at this size a whole convolution would cost as much as the backbone.
        self.smooth = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs), nn.Conv2d(outputs, outputs, 1)
        )

    def forward(self, image):
        features, maps = self.backbone.stem(functional.avg_pool2d(image, 2)), [self.detail(image)]
        for i, block in enumerate(self.backbone.blocks):
            features = block(features)
            if str(i) in self.laterals:
                maps.append(self.laterals[str(i)](features))
        total = maps.pop()
        while maps:
            total = maps.pop() + functional.interpolate(total, scale_factor=2.0, mode="nearest")
        return [self.smooth(functional.relu(total))]
