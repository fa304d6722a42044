import pytest
import torch
from torch import nn

from steadyface.networks.norm_relu import NormReLU


def pair(channels, seed=0):
    torch.manual_seed(seed)
    fused = NormReLU(channels)
    nn.init.normal_(fused.weight)
    nn.init.normal_(fused.bias)
    plain = nn.BatchNorm2d(channels)
    plain.load_state_dict(fused.state_dict())
    return fused, nn.Sequential(plain, nn.ReLU())


@pytest.mark.parametrize("shape", [(3, 16, 20, 20), (6, 24, 1, 1), (5, 7, 9, 4)])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_is_batch_norm_and_relu(shape, memory_format):
    fused, plain = pair(shape[1])
    x = (3 * torch.randn(shape) + 1).contiguous(memory_format=memory_format)
    gradient = torch.randn(shape)
    outputs, gradients = [], []
    for module in (fused, plain):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = module(leaf)
        out.backward(gradient)
        outputs.append(out.detach())
        gradients.append([leaf.grad, *(p.grad for p in module.parameters())])
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fused.state_dict(), plain[0].state_dict(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x), atol=1e-5, rtol=1e-5)
