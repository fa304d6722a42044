"""The shipped form of the displacement network: ONNX in half precision, and its card."""

import platform
from dataclasses import asdict
from pathlib import Path

import torch

from ..networks.complexity import multiply_adds, parameter_count
from .export_onnx import export


def export_displacement(network, path, face_model_name):
    """Write a `DisplacementRegressor` as `export_onnx.export` does, its large weights in half precision.

    They differ from the trained ones by a two-thousandth, and its outputs from the trained network's by at
    most a twentieth of a deviation.
    """
    export(network, path, face_model_name, tolerance=0.05, half=True)


def paper_parameter_count(network):
    """Learned values of a `DisplacementRegressor`, without the heads that the paper does not have."""
    return parameter_count(network) - sum(map(parameter_count, network.extra_heads()))


def write_card(path, config, trainer, results):
    """Write what the weights are: data, settings, time, measurements, as markdown."""
    network = trainer.average.module
    image = torch.zeros(1, 3, network.size, network.size)
    operations = multiply_adds(network, image, normalizations=False)
    c, d = config, config.discriminators
    whole = parameter_count(network)
    on = ", ".join(d.on) if d.on else "none"
    lines = [
        "# Displacement network",
        "",
        f"ResNet-18 width {c.width:g} at {c.batches.image_size} px, face model `{trainer.model.name}`; "
        "trained by `python -m steadyface.learn.displacement_train`.",
        "",
        f"- size: {paper_parameter_count(network):,} parameters as in the paper, {whole:,} with "
        f"sigma and confidence, {operations / 1e6:.0f} M multiply-adds a crop; features split "
        f"{network.split[0]} / {network.split[1]}",
        f"- discriminators: {on}; supervision: {c.supervision}",
        f"- iterations: {trainer.iteration} of {c.batches.size} pairs",
        f"- time: {trainer.seconds / 60:.1f} min, {c.threads} threads, {platform.machine()}",
        "- data: " + ", ".join(f"{Path(k).name} {v:g}" for k, v in c.batches.sets.items()),
        f"- started from: {Path(c.init_from).name if c.init_from else 'random weights'}",
        "",
        "| held-out set | figures |",
        "|---|---|",
    ]
    lines += [
        f"| {name} | {', '.join(f'{k} {v:.3g}' for k, v in r.items())} |" for name, r in results.items()
    ]
    lines += ["", "Settings:", "", "```"]
    settings = asdict(c)
    settings["batches"]["sets"] = {Path(k).name: v for k, v in c.batches.sets.items()}
    settings["heldout"] = {k: Path(v).name for k, v in c.heldout.items()}
    lines += [f"{k}: {v}" for k, v in settings.items() if k not in ("out", "init_from")]
    Path(path).write_text("\n".join([*lines, "```", ""]))
