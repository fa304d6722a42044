"""Size of a network: parameters and multiply-adds."""

import torch
from torch import nn


def parameter_count(module):
    """Learned values of a module."""
    return sum(p.numel() for p in module.parameters())


def multiply_adds(module, *inputs, normalizations=True):
    """Multiply-adds of one forward pass of a module on the inputs.

    Convolutions and linear layers count one product per output value and value of its filter. Batch
    normalizations count four operations a value, as in the usual counter, which the figures of 3DDFA_V2
    (183 M, table 2) agree with; with normalizations=False they count nothing, as when folded for inference.
    """
    total = 0

    def count(layer, _, output):
        nonlocal total
        per_value = 4 if isinstance(layer, nn.BatchNorm2d) else layer.weight[0].numel()
        total += output.numel() * per_value

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d) if normalizations else (nn.Conv2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, kinds)]
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(*inputs)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return total
