"""ONNX graphs of torch modules."""

import io
import logging
import warnings

import torch


def trace(module, inputs, outputs, **options):
    """The ONNX graph of a module, as bytes, for any number of rows of each input and output.

    inputs: name to example tensor, in the order of the module's arguments; outputs: names; options: more
    arguments of `torch.onnx.export`. Its warnings concern choices made here on purpose, and are kept quiet.
    """
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                buffer,  # pyright: ignore[reportArgumentType]
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={k: {0: "N"} for k in (*inputs, *outputs)},
                opset_version=17,
                dynamo=False,
                **options,
            )
    finally:
        quiet.setLevel(level)
    return buffer.getvalue()
