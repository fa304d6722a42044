"""The shipped form of a dense alignment network: ONNX with the vertices that it tells of."""

import json

import numpy as np
import torch
from torch import nn

from ..errors import OutputError
from ..output import replacing
from .onnx_graph import store_half, trace
from .parameters import CROP_SIDE_MM


class _Inference(nn.Module):
    def __init__(self, network, iterations):
        super().__init__()
        self.network, self.iterations = network, iterations

    def forward(self, image, guess=None):
        options = {"iterations": self.iterations} if self.iterations else {}
        r = self.network(image, guess, **options)
        return r.position[:, -1], r.sigma[:, -1]


def export_flow(network, path, model_name, vertices, iterations=None, tolerance=0.1):
    """Write a `UVFlow` or `DenseRegressor` as ONNX (opset 17) and check that onnxruntime agrees with torch.

    Inputs "image" (N, 3, size, size) float32 RGB 0..255 and, of a network that starts at a guess, "guess"
    (N, n, 2) in pixels of it; outputs "position" (N, n, 2) and "sigma" (N, n) in
    pixels of it, of the last iteration. Metadata: face_model, crop_side_mm, and vertices, the n indices into
    the model as JSON. Large weights are stored in half precision, and computed with in single. iterations: of
    the flow, if not the configured ones; tolerance: largest difference allowed, pixels, over random pictures.
    Raises OutputError if it is exceeded or the file cannot be written.
    """
    import onnx

    network = network.eval()
    size = network.config.image_size
    generator = torch.Generator().manual_seed(0)
    inputs = {"image": torch.rand(2, 3, size, size, generator=generator) * 255}
    if getattr(network.config, "start", None) == "guess":
        inputs["guess"] = torch.rand(2, len(vertices), 2, generator=generator) * size
    inference = _Inference(network, iterations).eval()
    graph = onnx.load_from_string(trace(inference, inputs, ["position", "sigma"]))
    store_half(graph.graph)
    metadata = {
        "face_model": model_name,
        "crop_side_mm": f"{CROP_SIDE_MM:g}",
        "vertices": json.dumps(np.asarray(vertices).tolist()),
    }
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph)
    data = graph.SerializeToString()
    worst = _difference(inference, inputs, data)
    if not worst < tolerance:
        raise OutputError(
            f"the exported network differs from the trained one by {worst:.2g} > {tolerance} px"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _difference(inference, inputs, data):
    """Largest difference of a position or sigma, pixels; for one picture too, other than the traced batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (2, 1):
        some = {name: tensor[:count] for name, tensor in inputs.items()}
        outputs = session.run(None, {name: tensor.numpy() for name, tensor in some.items()})
        with torch.no_grad():
            expected = inference(**some)
        for ours, theirs in zip(outputs, expected, strict=True):
            worst = max(worst, float(np.abs(np.asarray(ours) - theirs.numpy()).max()))
    return worst
