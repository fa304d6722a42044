"""The shipped form of a local motion network: ONNX that gives landmarks, and what is known of them."""

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..align.face_square import BELOW, FACE_SIDE_MM
from ..errors import InputError, OutputError
from ..output import replacing
from .onnx_graph import store_half, trace

#: How weights may be stored: as trained; large ones in half precision; those of the fully connected and
#: recurrent layers as 8-bit integers, with which onnxruntime also computes, the rest in half precision.
WEIGHTS = ("single", "half", "int8")
#: Largest difference allowed over random pictures, sides of the square, by how weights are stored.
TOLERANCE = {"single": 1e-4, "half": 2e-3, "int8": 4e-2}


class _Inference(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network.landmarks(images)


def export_local_motion(network, path, sigma, weights="half", metadata=None):
    """Write a `LocalMotion` as ONNX (opset 17) and check that onnxruntime agrees with torch.

    Input "images" (N, T, 3, S, S) float32 RGB 0..255, the last T frames, oldest first, which the network
    looks at; outputs "landmarks" (N, 68, 2) of the last one in sides of the square and "peak" (N, 68), the
    heatmaps' height there or 1. sigma: (68,) standard deviation of a coordinate of each landmark in sides of
    the square; weights: of `WEIGHTS`; metadata: more of it, name to text. Metadata: markup, window,
    input_size, square_mm and square_below (see `align.face_square`), landmark_sigma. Raises InputError for
    unknown weights, OutputError if the file differs by more than `TOLERANCE` or cannot be written.
    """
    import onnx

    if weights not in WEIGHTS:
        raise InputError(f"unknown weights {weights!r}: choose from {', '.join(WEIGHTS)}")
    inference = _Inference(network).eval()
    c = network.config
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, c.used_frames, 3, c.image_size, c.image_size, generator=generator) * 255
    graph = onnx.load_from_string(trace(inference, {"images": images}, ["landmarks", "peak"]))
    _join_copies(graph.graph)
    if weights == "int8":
        graph = _with_integers(graph)
    if weights != "single":
        store_half(graph.graph)
    known = {
        "markup": "ibug68",
        "window": str(c.used_frames),
        "input_size": str(c.image_size),
        "square_mm": f"{FACE_SIDE_MM:g}",
        "square_below": f"{BELOW:g}",
        "landmark_sigma": json.dumps([round(float(s), 6) for s in sigma]),
    }
    del graph.metadata_props[:]
    for key, value in {**known, **(metadata or {})}.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph)
    data = graph.SerializeToString()
    worst = _difference(inference, images, data)
    if not worst < TOLERANCE[weights]:
        raise OutputError(
            f"the exported network differs from the trained one by {worst:.2g} > {TOLERANCE[weights]}"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _join_copies(graph):
    """Give nodes the weights themselves where the tracing exporter made an alias of those used before."""
    weights = {tensor.name for tensor in graph.initializer}
    copies = [n for n in graph.node if n.op_type == "Identity" and n.input[0] in weights]
    original = {n.output[0]: n.input[0] for n in copies}
    for node in copies:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [original.get(name, name) for name in node.input]


def _with_integers(graph):
    """Its matrix products in 8-bit integers, ranges of activations taken anew in every run."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "integer.onnx"
        onnx.save(graph, str(source))
        quiet = logging.getLogger()
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            quantize_dynamic(
                str(source),
                str(target),
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            quiet.setLevel(level)
        quantized = onnx.load(str(target))
    # What it replaced in several places it leaves behind.
    used = {name for node in quantized.graph.node for name in node.input}
    kept = [tensor for tensor in quantized.graph.initializer if tensor.name in used]
    del quantized.graph.initializer[:]
    quantized.graph.initializer.extend(kept)
    return quantized


def _difference(inference, images, data):
    """Largest difference of a landmark; for one window too, other than the traced batch.

    Of heatmaps the 90th percentile: where two peaks are as high, the landmark jumps from one to the other.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (2, 1):
        ours = np.asarray(session.run(["landmarks"], {"images": images[:count].numpy()})[0])
        with torch.no_grad():
            theirs = inference(images[:count])[0].numpy()
        share = 0.9 if inference.network.config.heatmaps else 1.0
        worst = max(worst, float(np.quantile(np.abs(ours - theirs), share)))
    return worst
