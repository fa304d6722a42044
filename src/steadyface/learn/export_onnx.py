"""The shipped form of a regressor: ONNX in real units, and its card."""

import platform
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import OutputError
from ..networks.complexity import multiply_adds, parameter_count
from ..output import replacing
from .onnx_graph import store_half, trace
from .parameters import CROP_SIDE_MM


class _Inference(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        r = self.network(image)
        return r.params, r.log_sigma, torch.sigmoid(r.confidence_logit)


def export(network, path, face_model_name, tolerance=1e-3, half=False):
    """Write a `FaceRegressor` or `DisplacementRegressor` as ONNX, and check it against torch.

    Input "image" (N, 3, size, size) float32 RGB 0..255; outputs "params" (N, P) in real units, "log_sigma"
    (N, 68) and "confidence" (N,). Metadata: face_model, crop_side_mm and input_size, the side. Weights keep
    their names, so that `start_weights` can read them back. half: store large weights in half precision;
    tolerance: largest difference allowed, relative to the outputs' deviation over random pictures. Raises
    OutputError if it is exceeded or the file cannot be written.
    """
    import onnx

    network = network.eval()
    image = torch.rand(2, 3, network.size, network.size) * 255
    # The tracing exporter keeps the parameters' names if it may not fold them.
    unfolded = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    outputs = ["params", "log_sigma", "confidence"]
    graph = onnx.load_from_string(trace(_Inference(network), {"image": image}, outputs, **unfolded))
    if half:
        store_half(graph.graph)
    metadata = {
        "face_model": face_model_name,
        "crop_side_mm": f"{CROP_SIDE_MM:g}",
        "input_size": f"{network.size}",
    }
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph)
    data = graph.SerializeToString()
    worst = _difference(network, image, data)
    if not worst < tolerance:
        raise OutputError(f"the exported network differs from the trained one by {worst:.2g} > {tolerance}")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _difference(network, image, data):
    """Largest difference between onnxruntime's outputs and torch's, over the outputs' deviations."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = map(np.asarray, session.run(None, {"image": image.numpy()}))
    with torch.no_grad():
        expected = _Inference(network)(image)
    scales = (network.params_std.numpy() + 1e-5, 1.0, 1.0)
    return max(
        float(np.abs((ours - theirs.numpy()) / scale).max())
        for ours, theirs, scale in zip(outputs, expected, scales, strict=True)
    )


def write_card(path, config, trainer, results):
    """Write what the weights are: data, settings, time, measurements, as markdown."""
    network = trainer.average.module
    parameters = parameter_count(network) - parameter_count(network.landmarks_head)
    image = torch.zeros(1, 3, network.size, network.size)
    operations = multiply_adds(network.backbone, image, normalizations=False)
    lines = [
        "# Face regressor",
        "",
        f"MobileNet width {config.width:g} at {config.batches.image_size} px, `{config.pooling}` pooling, "
        f"face model `{trainer.model.name}`; trained by `python -m steadyface.learn.train`.",
        "",
        f"- size: {parameters:,} parameters, {operations / 1e6:.0f} M multiply-adds a crop",
        f"- iterations: {trainer.iteration} of {config.batches.size} crops",
        f"- time: {trainer.seconds / 60:.1f} min, {config.threads} threads, {platform.machine()}",
        "- data: " + ", ".join(f"{Path(k).name} {v:g}" for k, v in config.batches.sets.items()),
        f"- objective: {config.objective}" + (", landmark-regression regularization" if config.lrr else ""),
        f"- started from: {Path(config.init_from).name if config.init_from else 'random weights'}",
        "",
        "| held-out set | error, % inter-ocular | 95th percentile | labels' own residual | eyes | mouth |",
        "|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        lines.append(
            f"| {name} | {r['error']:.2f} | {r['error_95']:.2f} | {r['label_residual']:.2f} | "
            f"{r['eye_correlation']:.3f} | {r['mouth_correlation']:.3f} |"
        )
    lines += ["", "Settings:", "", "```"]
    settings = asdict(config)
    settings["batches"]["sets"] = {Path(k).name: v for k, v in config.batches.sets.items()}
    settings["heldout"] = {k: Path(v).name for k, v in config.heldout.items()}
    lines += [f"{k}: {v}" for k, v in settings.items() if k not in ("out", "init_from")]
    Path(path).write_text("\n".join([*lines, "```", ""]))
