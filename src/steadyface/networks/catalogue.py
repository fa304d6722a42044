"""Every network of the five methods: how it is built, what the papers say of it, and which are shipped.

``python -m steadyface.networks.catalogue`` counts them anew and writes the table that
``steadyface info --networks`` prints, for which no torch is needed.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..align.regressor import Regressor
from ..face_model.morphable import load_face_model
from ..info import ASSETS, NETWORKS
from ..output import replacing
from .complexity import multiply_adds, parameter_count
from .dense_regressor import FULL_DIRECT, DenseRegressor
from .detector import DetectorNet
from .displacement import CAMERA_COUNT, DisplacementRegressor
from .local_motion import NETWORKS as LOCAL_MOTION
from .local_motion import PAPER_CPU_FPS, PAPER_PARAMETERS, LocalMotion
from .mobilenet import MobileNet
from .resnet import STEM
from .self_refinement import IdentityTransformer, IrradianceNetwork, SelfRefinementConfig, TextureNetwork
from .uv_chart import uv_chart
from .uv_flow import FULL, TINY, UVFlow

#: Vertices of FLAME, the face model of FlowFace.
FLAME_VERTICES = 5023
#: Frames from which SR-VFA makes a texture and an identity (section 2.1).
SELECTED_FRAMES = 128
#: Frames a second on a GPU by table 7 of local motion.
_LOCAL_MOTION_GPU_FPS = {"2D": 285, "3D": 205, "2DRNN": 252, "3DRNN": 205, "2DFCRNN": 104, "3DFCRNN": 99}
#: Backbones by table 4 of FlowFace: name here, name there, parameters, milliseconds on a GPU.
_FLOWFACE = (
    ("segformer-b1", "MiT-b1", 17.3e6, 29.0),
    ("segformer-b2", "MiT-b2", 31.0e6, 46.0),
    ("segformer-b5", "MiT-b5", 88.2e6, 75.0),
    ("bisenet-v2", "BiSeNet-v2", 17.6e6, 23.0),
)


@dataclass(frozen=True)
class Published:
    """What a paper prints of a network, None for what it does not: times in milliseconds a frame."""

    parameters: float | None = None
    multiply_adds: float | None = None
    cpu_ms: float | None = None
    gpu_ms: float | None = None


@dataclass(frozen=True)
class Network:
    """One network.

    method: the published method, or "steadyface"; name: within it; shapes: of the inputs of one frame;
    build: makes it with random weights, on torch's present device; paper: what is printed of it; asset: name
    of the shipped file, None for those that are not shipped.
    """

    method: str
    name: str
    shapes: tuple[tuple[int, ...], ...]
    build: Callable[[], nn.Module]
    paper: Published = field(default_factory=Published)
    asset: str | None = None

    def inputs(self):
        """Random inputs, as large as pictures' values: what is in them does not change how long it takes."""
        return tuple(255 * torch.rand(shape) for shape in self.shapes)

    def row(self):
        """What the table says of it: a dict."""
        with torch.device("meta"):
            network, inputs = self.build(), self.inputs()
        return {
            "method": self.method,
            "network": self.name,
            "input": " + ".join(" x ".join(map(str, shape[1:] or shape)) for shape in self.shapes),
            "parameters": parameter_count(network),
            "multiply_adds": multiply_adds(network, *inputs),
            "paper_parameters": self.paper.parameters,
            "paper_multiply_adds": self.paper.multiply_adds,
            "asset": self.asset,
        }


def catalogue(model=None, assets=ASSETS):
    """List of `Network`, method by method.

    model: the `MorphableModel` of those that are ours, the embedded one by default; assets: folder of the
    shipped files, which say of what size the displacement and local motion networks in them are.
    """
    model = model or load_face_model()
    return [
        *_three_ddfa_v2(model),
        *_displacement(model, assets / "displacement.onnx"),
        *_local_motion(assets / "local_motion.onnx"),
        *_flowface(model),
        *_self_refinement(model),
        # A picture of 4:3 as the detector sees it.
        Network("steadyface", "face detector", ((1, 3, 192, 256),), DetectorNet, asset="detector.onnx"),
    ]


def _three_ddfa_v2(model):
    shapes = ((1, 3, 120, 120),)

    def network(width, outputs, pooling="average"):
        def build():
            backbone = MobileNet(width, pooling=pooling)
            return nn.Sequential(backbone, nn.Linear(backbone.feature_count, outputs))

        return build

    # Parameters, and what the tracker needs besides: 68 log sigmas and a confidence.
    outputs = 12 + model.identity_count + model.expression_count + 69
    whole = Published(3.27e6, 183e6, cpu_ms=6.2, gpu_ms=2.0)
    return (
        Network("3DDFA_V2", "MobileNet, 62 outputs", shapes, network(1.0, 62), whole),
        Network("3DDFA_V2", "MobileNet x 0.5, 62 outputs", shapes, network(0.5, 62), Published(0.85e6, 50e6)),
        Network(
            "3DDFA_V2",
            f"MobileNet x 0.5, {outputs} outputs, multilevel",
            shapes,
            network(0.5, outputs, "multilevel"),
            asset="regressor.onnx",
        ),
    )


def weight_shapes(path):
    """Shapes of a network file's weights, largest arrays first; empty if there is no such file."""
    import onnx

    if not path.is_file():
        return []
    arrays = [t for t in onnx.load(str(path)).graph.initializer if t.data_type != onnx.TensorProto.INT64]
    return sorted((tuple(t.dims) for t in arrays), key=math.prod, reverse=True)


def _displacement(model, path):
    from ..learn.discriminators import NAMES, Discriminator
    from ..learn.parameters import statistics

    def regressor(coefficients, size=256, width=1.0):
        params, camera = np.zeros((1, 12 + coefficients)), np.zeros((1, CAMERA_COUNT))
        return DisplacementRegressor(statistics(params), statistics(camera), size, width)

    ours = model.identity_count + model.expression_count
    name = f"{model.identity_count} + {model.expression_count} coefficients"
    size, width = _shipped_resnet(path) or (256, 1.0)
    return (
        Network(
            "displacement",
            "ResNet-18, 199 + 29 coefficients",
            ((1, 3, 256, 256),),
            lambda: regressor(228),
        ),
        Network(
            "displacement",
            f"ResNet-18, {name}" if width == 1 else f"ResNet-18 x {width:g}, {name}",
            ((1, 3, size, size),),
            lambda: regressor(ours, size, width),
            asset=path.name if path.is_file() else None,
        ),
        *(Network("displacement", f"discriminator, {name}", ((1, 136),), Discriminator) for name in NAMES),
    )


def _shipped_resnet(path):
    """Side of the input and width of the ResNet in a file; None if there is none."""
    stems = [shape for shape in weight_shapes(path) if shape[1:] == (3, 7, 7)]
    if not stems:
        return None
    return Regressor(path=path).size, stems[0][0] / STEM


def _local_motion(path):
    shipped, learned = None, sum(map(math.prod, weight_shapes(path)))
    if learned:
        # Their sizes are apart by a twentieth at least.
        shipped = min(PAPER_PARAMETERS, key=lambda name: abs(1e6 * PAPER_PARAMETERS[name] - learned))
    for name, config in LOCAL_MOTION.items():
        paper = Published(
            1e6 * PAPER_PARAMETERS[name],
            cpu_ms=1e3 / PAPER_CPU_FPS[name],
            gpu_ms=1e3 / _LOCAL_MOTION_GPU_FPS[name],
        )
        shape = (1, config.window, 3, config.image_size, config.image_size)
        asset = path.name if name == shipped else None
        yield Network("local motion", name, (shape,), lambda config=config: LocalMotion(config), paper, asset)


def _flowface(model):
    shapes = ((1, 3, FULL.image_size, FULL.image_size),)

    def flow(encoder):
        return UVFlow(replace(FULL, encoder=encoder), torch.rand(FLAME_VERTICES, 2))

    for encoder, name, parameters, gpu_ms in _FLOWFACE:
        paper = Published(parameters, gpu_ms=gpu_ms)
        yield Network("FlowFace", name, shapes, lambda encoder=encoder: flow(encoder), paper)
    yield Network(
        "FlowFace",
        "ResNet-101, direct",
        shapes,
        lambda: DenseRegressor(FULL_DIRECT, FLAME_VERTICES),
        Published(73.4e6, gpu_ms=9.0),
    )
    chart = uv_chart(model)

    def tiny():
        # It works with the chart's values when it is built.
        with torch.device("cpu"):
            return UVFlow(TINY, chart.position)

    shapes = ((1, 3, TINY.image_size, TINY.image_size), (1, len(chart), 2))
    yield Network("FlowFace", f"tiny, {len(chart)} vertices", shapes, tiny, asset="uv_flow.onnx")


def _self_refinement(model):
    config, count = SelfRefinementConfig(), model.identity_count
    size = config.texture_size

    def maps(frames):
        return (frames, 3, size, size), (frames, 1, size, size)

    return (
        Network("SR-VFA", f"texture M_t, {SELECTED_FRAMES} frames", maps(SELECTED_FRAMES), TextureNetwork),
        Network(
            "SR-VFA",
            f"identity M_id, {SELECTED_FRAMES} frames",
            ((SELECTED_FRAMES, count),),
            lambda: IdentityTransformer(count),
        ),
        Network("SR-VFA", "irradiance M_ir, one frame", maps(1), IrradianceNetwork),
    )


def write_table(path: Path = NETWORKS, networks=None):
    """Count the networks, the whole catalogue by default, and write the table as JSON."""
    rows = [network.row() for network in (catalogue() if networks is None else networks)]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_table()
