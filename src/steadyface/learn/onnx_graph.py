"""ONNX graphs of torch modules, and how their weights are stored."""

import io
import logging
import warnings

import numpy as np
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


def store_half(graph, least=1000):
    """Store the graph's float32 matrices of at least so many numbers as float16; onnxruntime turns them back
    once, when it opens the file."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1 and values.size >= least:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
