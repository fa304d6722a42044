"""Batch normalization and ReLU in one, for training on a CPU.

MobileNet's training is bound by memory: apart, the two read and write every activation fourteen times a
step, fused eight times.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from torch import nn
from torch.nn import functional

# Rows summed in single precision before the sum goes into double.
_BLOCK = 128
# Single precision, so that comparing with it does not turn the loops to double.
_ZERO = np.float32(0)


_compiled = numba.njit(nogil=True, fastmath=True, cache=True)


@_compiled
def _moments(x, sums):
    rows, channels = x.shape
    total, squares = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for start in range(0, rows, _BLOCK):
        total[:] = _ZERO
        squares[:] = _ZERO
        for i in range(start, min(start + _BLOCK, rows)):
            for c in range(channels):
                v = x[i, c]
                total[c] += v
                squares[c] += v * v
        for c in range(channels):
            sums[0, c] += total[c]
            sums[1, c] += squares[c]


@_compiled
def _scale_shift_relu(x, out, scale, shift):
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            out[i, c] = max(x[i, c] * scale[c] + shift[c], _ZERO)


@_compiled
def _gradient_sums(x, gradient, sums, scale, shift, mean):
    rows, channels = x.shape
    total, product = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for start in range(0, rows, _BLOCK):
        total[:] = _ZERO
        product[:] = _ZERO
        for i in range(start, min(start + _BLOCK, rows)):
            for c in range(channels):
                v = x[i, c]
                g = gradient[i, c] if v * scale[c] + shift[c] > _ZERO else _ZERO
                total[c] += g
                product[c] += g * (v - mean[c])
        for c in range(channels):
            sums[0, c] += total[c]
            sums[1, c] += product[c]


@_compiled
def _input_gradient(x, gradient, out, scale, shift, a, b):
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            v = x[i, c]
            g = gradient[i, c] if v * scale[c] + shift[c] > _ZERO else _ZERO
            out[i, c] = scale[c] * g - a[c] * v - b[c]


_pool = ThreadPoolExecutor(8)


def _by_chunks(kernel, arrays, values, sums=None):
    """Run a kernel on as many row ranges of the arrays as torch has threads; sums: (threads, 2, C), one each.

    Not numba's own threads: they spin between calls, which starves torch's on the same cores.
    """
    count = torch.get_num_threads()
    jobs = []
    for i in reversed(range(count)):
        rows = slice(len(arrays[0]) * i // count, len(arrays[0]) * (i + 1) // count)
        own = () if sums is None else (sums[i],)
        arguments = (*(a[rows] for a in arrays), *own, *values)
        if i:
            jobs.append(_pool.submit(kernel, *arguments))
        else:
            kernel(*arguments)
    for job in jobs:
        job.result()


def _sums(kernel, arrays, values=()):
    sums = np.zeros((torch.get_num_threads(), 2, arrays[0].shape[1]))
    _by_chunks(kernel, arrays, values, sums)
    return torch.from_numpy(sums.sum(0))


def _rows(tensor):
    """(N, C, H, W) channels-last as a (N H W, C) array of the same memory."""
    return tensor.permute(0, 2, 3, 1).reshape(-1, tensor.shape[1]).numpy()


class _NormReLUFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        x = x.contiguous(memory_format=torch.channels_last)
        count = x.numel() // x.shape[1]
        rows = _rows(x.detach())
        total, squares = _sums(_moments, (rows,))
        mean = total / count
        variance = (squares / count - mean**2).clamp_min(0)
        inverse = (variance + eps).rsqrt()
        scale = (weight.double() * inverse).float()
        shift = (bias.double() - weight.double() * inverse * mean).float()
        out = torch.empty_like(x)
        _by_chunks(_scale_shift_relu, (rows, _rows(out)), (scale.detach().numpy(), shift.detach().numpy()))
        ctx.save_for_backward(x, scale, shift, mean, inverse)
        mean, variance = mean.float(), (variance * (count / max(count - 1, 1))).float()
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx, gradient, *_):
        x, scale, shift, mean, inverse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        rows, gradient_rows = _rows(x.detach()), _rows(gradient)
        s, t = scale.detach().numpy(), shift.detach().numpy()
        total, product = _sums(_gradient_sums, (rows, gradient_rows), (s, t, mean.float().numpy()))
        count = len(rows)
        # dx = scale (g - mean(g) - xhat mean(g xhat)), collected as scale g - a x - b.
        a = scale.double() * inverse**2 * product / count
        b = scale.double() * total / count - a * mean
        out = torch.empty_like(x)
        _by_chunks(
            _input_gradient, (rows, gradient_rows, _rows(out)), (s, t, a.float().numpy(), b.float().numpy())
        )
        return out, (product * inverse).float(), total.float(), None


class NormReLU(nn.BatchNorm2d):
    """ReLU(BatchNorm(x)): torch's own outside training, fused in training on a CPU.

    Weights, statistics and their names are `nn.BatchNorm2d`'s. forward: (N, C, H, W) -> the same.
    """

    def forward(self, input):
        if not (self.training and input.device.type == "cpu" and input.dtype == torch.float32):
            return functional.relu(super().forward(input), inplace=True)
        out, mean, variance = _NormReLUFunction.apply(input, self.weight, self.bias, self.eps)
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        return out
