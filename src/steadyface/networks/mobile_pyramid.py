"""MobileNet with a feature pyramid: the image encoder of small networks on a CPU."""

from torch import nn
from torch.nn import functional

from .mobilenet import BLOCKS, MobileNet


class MobilePyramid(nn.Module):
    """`MobileNet`'s maps at strides 4, 8, 16 and 32, added from coarse to fine (Lin et al. 2017).

    width: of MobileNet, whose weights a trained face regressor can lend. forward: (N, 3, H, W), sides a
    multiple of 32, -> one map (N, outputs, H / 4, W / 4), in a list.
    """

    def __init__(self, outputs=64, width=0.5):
        super().__init__()
        self.backbone = MobileNet(width)
        #: The last blocks before the map shrinks: strides 4, 8, 16 and 32.
        ends = [i for i in range(len(BLOCKS)) if i + 1 == len(BLOCKS) or BLOCKS[i + 1][1] == 2][-4:]
        self.laterals = nn.ModuleDict(
            {str(i): nn.Conv2d(max(8, round(BLOCKS[i][0] * width)), outputs, 1) for i in ends}
        )
        # Apart in space and channels: at this size a whole convolution would cost as much as the backbone.
        self.smooth = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs), nn.Conv2d(outputs, outputs, 1)
        )
        self._frozen = ()

    def freeze(self, blocks):
        """Keep the backbone's stem and first blocks as they are: their maps are the largest, and teaching
        them takes half of an encoder's time."""
        self._frozen = (self.backbone.stem, *self.backbone.blocks[:blocks])
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode=True):
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

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
