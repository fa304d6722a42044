"""From an exported regressor back into training, the shipped one included."""

import re

import numpy as np
import torch

from ..errors import InputError
from ..networks.norm_relu import NormReLU

#: The extra head of section 2.3 of 3DDFA_V2, which is not exported.
_DROPPED = "landmarks_head."
# What onnxruntime calls weights into which a normalization was folded, and that normalization's bias.
_NAME = re.compile(r"(?:ConvBnFusion_(?:W|(?P<folded>BN_B))_)?network\.(?P<name>.+)")


def read_weights(path):
    """Weights of an exported regressor.

    Returns name to float32 array, integers multiplied out, and the names of the normalizations that were
    folded into the convolutions before them (`quantize`). Raises InputError if the file is not one.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as e:
        raise InputError(f"{path} is not an ONNX regressor: {e}") from e
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights, folded = {}, set()
    for key, value in arrays.items():
        # What is stored in half precision (flow_export.py) is named so.
        found = _NAME.fullmatch(key.removesuffix("_quantized").removesuffix(".half"))
        if found is None or key.endswith(("_scale", "_zero_point")):
            continue
        if key.endswith("_quantized"):
            # Of weights the scale is named after the array, of biases after its integers.
            stem = key if f"{key}_scale" in arrays else key.removesuffix("_quantized")
            column = (-1, *[1] * (value.ndim - 1))
            scale, zero = (arrays[f"{stem}_{part}"].reshape(column) for part in ("scale", "zero_point"))
            value = (value.astype(np.float32) - zero) * scale
        weights[found["name"]] = np.array(value, np.float32)
        if found["folded"]:
            folded.add(found["name"].removesuffix(".bias"))
    return weights, folded


def load_weights(network, path, images):
    """Start a `FaceRegressor` from an exported ONNX.

    images: (N, 3, size, size) RGB 0..255, crops like those of training, to measure folded normalizations
    by. The z-score statistics are the file's; the landmark-regression head, which is not exported, keeps
    its start. Raises InputError if sizes or names do not fit.
    """
    weights, folded = read_weights(path)
    state = network.state_dict()
    for name in folded:
        ones = np.ones_like(weights[f"{name}.bias"])
        weights |= {f"{name}.weight": ones, f"{name}.running_mean": 0 * ones, f"{name}.running_var": ones}
    missing = [k for k in state if k not in weights and not k.startswith(_DROPPED) and "num_batches" not in k]
    wrong = [k for k, v in weights.items() if k not in state or state[k].shape != v.shape]
    if missing or wrong:
        raise InputError(
            f"{path} does not fit this network (width, pooling or face model differ): "
            f"{(missing + wrong)[0]!r} is {'missing' if missing else 'of another shape'}"
        )
    with torch.no_grad():
        for key, value in weights.items():
            state[key].copy_(torch.from_numpy(value))
    if folded:
        unfold(network, images)


@torch.no_grad()
def unfold(network, images):
    """Give every normalization the statistics of its inputs, and scale and bias that undo them.

    network: whose normalizations were folded, so that they only add their bias; its outputs on images stay
    the same, and training, which normalizes by its batches' own statistics, can go on from there.
    """

    def measure(layer, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        layer.weight.copy_((variance + layer.eps).sqrt())
        layer.bias.add_(mean)

    layers = [m for m in network.modules() if isinstance(m, NormReLU)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    training = network.training
    try:
        network.eval()(images)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
