"""Size of a network: parameters and multiply-adds."""

from itertools import chain

import torch
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(module):
    """Learned values of a module."""
    return sum(p.numel() for p in module.parameters())


def multiply_adds(module, *inputs, normalizations=True):
    """Multiply-adds of one forward pass of a module, outside training, on inputs of these shapes.

    Convolutions and products of matrices - linear layers, recurrent ones, attention, correlation - count one
    for each product. Batch normalizations count four operations a value, as in the usual counter, which the
    figures of 3DDFA_V2 (183 M, table 2) agree with; with normalizations=False they count nothing, as when
    folded for inference. What is done value by value otherwise, and sampling of maps, counts nothing.

    Nothing is computed: shapes alone go through the module, which may be of any size or on torch's device
    "meta".
    """
    normalized = 0

    def count(_, __, output):
        nonlocal normalized
        normalized += 4 * output.numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, _BatchNorm)]
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in chain(module.named_parameters(), module.named_buffers())
    }
    shapes = tuple(torch.empty_like(value, device="meta") for value in inputs)
    training = {m: m.training for m in module.modules()}
    try:
        module.eval()
        # On "meta" every layer falls apart into the operations that the counter knows.
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(module, state, shapes)
    finally:
        for m, was in training.items():
            m.training = was
        for hook in hooks:
            hook.remove()
    return counter.get_total_flops() // 2 + (normalized if normalizations else 0)
