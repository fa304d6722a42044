"""SegFormer (Xie et al. 2021) as image encoder: Mix Transformers b0 to b5 with the all-MLP head."""

from torch import nn

#: Blocks a stage, channels a stage, channels of the head.
_SMALL = (32, 64, 160, 256)
_LARGE = (64, 128, 320, 512)
VARIANTS = {
    "b0": ((2, 2, 2, 2), _SMALL, 256),
    "b1": ((2, 2, 2, 2), _LARGE, 256),
    "b2": ((3, 4, 6, 3), _LARGE, 768),
    "b3": ((3, 4, 18, 3), _LARGE, 768),
    "b4": ((3, 8, 27, 3), _LARGE, 768),
    "b5": ((3, 6, 40, 3), _LARGE, 768),
}


class SegFormer(nn.Module):
    """SegFormer whose classifier is a linear layer to `outputs` channels (FlowFace, section 3.1.1).

    variant: "b0" to "b5", built from its configuration with random weights. forward: (N, 3, H, W) about zero
    mean and unit deviation -> one map (N, outputs, H / 4, W / 4), in a list. Raises ValueError for unknown
    variants.
    """

    def __init__(self, variant, outputs=128):
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"unknown SegFormer {variant!r}: choose from {', '.join(VARIANTS)}")
        depths, channels, head = VARIANTS[variant]
        self.network = SegformerForSemanticSegmentation(
            SegformerConfig(
                depths=list(depths),
                hidden_sizes=list(channels),
                num_attention_heads=[1, 2, 5, 8],
                decoder_hidden_size=head,
                num_labels=outputs,  # pyright: ignore[reportCallIssue]
            )
        )

    def forward(self, image):
        return [self.network(image).logits]
