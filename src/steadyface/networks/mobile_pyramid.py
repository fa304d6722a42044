"""MobileNet with a feature pyramid: the image encoder of small networks on a CPU."""

from torch import nn
from torch.nn import functional

from .mobilenet import BLOCKS, MobileNet


class MobilePyramid(nn.Module):
    """`MobileNet`'s maps at strides 8, 16 and 32, added from coarse to fine (Lin et al. 2017).

    width: of MobileNet, whose weights a trained face regressor can lend. forward: (N, 3, H, W), sides a
    multiple of 32, -> one map (N, outputs, H / 8, W / 8), in a list.
    """

    def __init__(self, outputs=64, width=0.5):
        super().__init__()
        self.backbone = MobileNet(width)
        #: The last blocks before the map shrinks: strides 8, 16 and 32.
        ends = [i for i in range(len(BLOCKS)) if i + 1 == len(BLOCKS) or BLOCKS[i + 1][1] == 2][-3:]
        self.laterals = nn.ModuleDict(
            {str(i): nn.Conv2d(max(8, round(BLOCKS[i][0] * width)), outputs, 1) for i in ends}
        )
        self.smooth = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, image):
        features, maps = self.backbone.stem(image), []
        for i, block in enumerate(self.backbone.blocks):
            features = block(features)
            if str(i) in self.laterals:
                maps.append(self.laterals[str(i)](features))
        total = maps.pop()
        while maps:
            total = maps.pop() + functional.interpolate(total, scale_factor=2.0, mode="nearest")
        return [self.smooth(functional.relu(total))]
