"""Training of the dense alignment networks, FlowFace's and the direct regressor beside it; resumable.

``python -m steadyface.learn.flow_train --set cache/profiled=1 --minutes 60 --out runs/flow``
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..networks.dense_regressor import FULL_DIRECT, TINY_DIRECT, DenseRegressor, DenseRegressorConfig
from ..networks.mobilenet import MobileNet
from ..networks.uv_chart import smoothest_map, uv_chart
from ..networks.uv_flow import FULL, TINY, UVFlow, UVFlowConfig
from .batches import BatchStream
from .checkpoint import Average, load_checkpoint
from .flow_batches import FlowBatchConfig, FlowBatchMaker
from .flow_export import export_flow
from .flow_loss import alignment_loss
from .flow_points import FlowPoints
from .flow_validate import FlowHeldOut
from .log import Log
from .parameters import CROP_SIDE_MM
from .run import Run
from .settings import read_shares, with_setting
from .start_weights import read_weights, unfold
from .train import keep_memory, make_optimizer

#: Configurations by name: the flow and the direct regressor, each for one CPU core and as in the paper.
NETWORKS = {"tiny": TINY, "full": FULL, "tiny-direct": TINY_DIRECT, "full-direct": FULL_DIRECT}


@dataclass(frozen=True)
class FlowTrainConfig:
    """One training run.

    out: folder of checkpoint, log and picture; batches: the data, whose image_size must be the network's;
    network: `UVFlowConfig` or `DenseRegressorConfig`; from_mean: start the flow at the mean face instead of
    at zero; decay: weight of an iteration against the next; minutes, iterations: the budget, whichever ends
    first; heldout: name to sample folder; threads: of torch; workers: processes that make batches; init_from:
    an exported regressor (ONNX) or a checkpoint of one, whose MobileNet to start from, or a checkpoint of
    this program; device: as torch names it.
    """

    out: str
    batches: FlowBatchConfig
    network: UVFlowConfig | DenseRegressorConfig = TINY
    from_mean: bool = True
    decay: float = 0.8
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 100.0
    schedule: str = "cosine"
    warmup: float = 0.03
    minutes: float | None = None
    iterations: int | None = None
    average_decay: float = 0.998
    heldout: dict = field(default_factory=dict)
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 3.0
    threads: int = 2
    workers: int = 1
    init_from: str | None = None
    device: str = "cpu"
    seed: int = 0


def new_network(config, chart):
    """An untrained network of a `UVFlowConfig` or `DenseRegressorConfig` for a `UVChart`."""
    if isinstance(config, UVFlowConfig):
        return UVFlow(config, chart.position)
    return DenseRegressor(config, len(chart))


def start_from(network, path, images):
    """Take over weights: all of a run of this program, or the MobileNet of a face regressor.

    path: a checkpoint, or an exported regressor, whose normalizations may be folded: images (N, 3, n, n) RGB
    0..255 are to measure them by. Raises InputError if nothing fits.
    """
    folded = set()
    if str(path).endswith(".pt"):
        weights = load_checkpoint(path)["average"]
        state = network.state_dict()
        if all(k in weights and weights[k].shape == v.shape for k, v in state.items()):
            network.load_state_dict(weights)
            return
    else:
        arrays, folded = read_weights(path)
        weights = {k: torch.from_numpy(v) for k, v in arrays.items()}
        for name in folded:
            ones = torch.ones_like(weights[f"{name}.bias"])
            weights |= {f"{name}.weight": ones, f"{name}.running_mean": 0 * ones}
            weights |= {f"{name}.running_var": ones.clone()}
    encoder = network.encoder
    backbone = encoder if isinstance(encoder, MobileNet) else getattr(encoder, "backbone", None)
    if backbone is None:
        raise InputError(
            f"{path} holds no weights for this network: only a MobileNet starts from a regressor"
        )
    own = {k: v for k, v in backbone.state_dict().items() if k.startswith(("stem.", "blocks."))}
    for key, value in own.items():
        theirs = weights.get(f"backbone.{key}")
        if key.endswith("num_batches_tracked"):
            continue
        if theirs is None or theirs.shape != value.shape:
            raise InputError(f"{path} does not fit this network (its width differs): {key!r}")
        value.copy_(theirs)
    if folded:
        unfold(network, images)


class FlowTrainer(Run):
    """The training of a dense alignment network."""

    def __init__(self, config, resume=False, model=None):
        if config.network.image_size != config.batches.image_size:
            raise InputError(
                f"the network takes pictures of {config.network.image_size} px, the batches have "
                f"{config.batches.image_size}: give both the same image_size"
            )
        super().__init__()
        self.config = config
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.device = torch.device(config.device)
        self.model = load_face_model(config.batches.face_model) if model is None else model
        self.chart = uv_chart(self.model)
        self.maker = FlowBatchMaker(config.batches, self.model)
        self.points = FlowPoints(self.model, self.chart.vertices, config.batches.image_size).to(self.device)
        self.weight = torch.from_numpy(self.chart.weight).to(self.device)
        self.network = new_network(config.network, self.chart)
        if isinstance(self.network, DenseRegressor) or (config.from_mean and self.network.is_fixed):
            self.network.set_start(self._mean_positions())
        averaged = new_network(config.network, self.chart)
        for n in (self.network, averaged):
            n.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        checkpoint = self.out / "checkpoint.pt"
        state = load_checkpoint(checkpoint) if resume and checkpoint.is_file() else None
        if state is None and config.init_from:
            with torch.no_grad():
                start_from(self.network, config.init_from, self._tensors(self.maker(0))["image"])
        self.optimizer = make_optimizer(config, self.network)
        self.average = Average(self.network, averaged, config.average_decay)
        if state is not None:
            self.restore(state)
        self.heldout = {
            k: FlowHeldOut(v, self.model, self.chart, config.batches.image_size)
            for k, v in config.heldout.items()
        }
        self.log = Log(self.out / "log.jsonl")

    def _mean_positions(self):
        """Mean positions over training pictures: of the vertices (n, 2), or as a map over the UV square."""
        labels = [torch.from_numpy(a).to(self.device) for a in self.maker.draw_labels(500, self.config.seed)]
        mean = self.points(*labels).mean(0).cpu().numpy()
        if isinstance(self.config.network, DenseRegressorConfig):
            return mean
        return smoothest_map(self.chart.position, mean, self.config.network.uv_size).astype(np.float32)

    def stream(self):
        c = self.config
        return BatchStream(c.batches, self.batch, c.workers, maker=self.maker, kind=FlowBatchMaker)

    def _tensors(self, arrays):
        batch = {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}
        # NHWC bytes read as NCHW are channels-last already.
        batch["image"] = batch["image"].permute(0, 3, 1, 2).float()
        return batch

    def step(self, arrays):
        """One optimizer step. Returns the loss's terms for the log."""
        batch = self._tensors(arrays)
        truth = self.points(batch["params"], batch["inverse_distance"], batch["principal"])
        self.optimizer.zero_grad(set_to_none=True)
        guess = self.points(batch["guess"])
        prediction = self.network(batch["image"], guess)
        total, terms = alignment_loss(prediction, truth, self.weight, self.config.decay)
        norm = self.descend(total)
        millimetres = terms.pop("vertex_px") * CROP_SIDE_MM / self.config.batches.image_size
        return {**terms, "vertex_mm": millimetres, "gradient": norm}

    def advance(self, stream):
        """One iteration. Returns its terms and the name of the loss."""
        rate = self.set_rate()
        terms = self.step(next(stream))
        self.iteration += 1
        self.batch = stream.next
        self.average.update()
        return {**terms, "rate": rate}, "nll"


def train_flow(config, resume=False, show=True):
    """Train a dense alignment network, and export its averaged weights to ``out/flow.onnx``.

    config: `FlowTrainConfig`; resume: go on from ``out/checkpoint.pt`` if there is one. Returns the held-out
    errors. Raises InputError for unknown names or missing data.
    """
    keep_memory()
    trainer = FlowTrainer(config, resume)
    results = trainer.run(show)
    network = trainer.average.module.cpu()
    export_flow(network, trainer.out / "flow.onnx", trainer.model.name, trainer.chart.vertices)
    return results


def main(
    sets: Annotated[list[str], typer.Option("--set", help="Sample folder and share: cache/profiled=0.6")],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    network: Annotated[str, typer.Option(help=f"One of {', '.join(NETWORKS)}.")] = "tiny",
    refinements: Annotated[int | None, typer.Option(help="Iterations of the flow.")] = None,
    heldout: Annotated[list[str] | None, typer.Option(help="Held-out sample folders.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget of time.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Budget of training steps.")] = None,
    batch: Annotated[int, typer.Option(help="Pictures in a batch.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes that make batches.")] = 1,
    init_from: Annotated[str | None, typer.Option(help="Weights to start from.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--with", help="Any other setting: batches.background=0.3")
    ] = None,
):
    """Train a dense alignment network and export it."""
    if network not in NETWORKS:
        raise InputError(f"unknown network {network!r}: choose from {', '.join(NETWORKS)}")
    sizes = NETWORKS[network]
    if refinements is not None:
        if not isinstance(sizes, UVFlowConfig):
            raise InputError(f"{network!r} regresses directly and has no refinements: leave them out")
        sizes = replace(sizes, iterations=refinements)
    config = FlowTrainConfig(
        out=out,
        batches=FlowBatchConfig(read_shares(sets), size=batch, image_size=sizes.image_size),
        network=sizes,
        learning_rate=learning_rate,
        minutes=minutes,
        iterations=iterations,
        heldout={Path(folder).name: folder for folder in heldout or ()},
        threads=threads,
        workers=workers,
        init_from=init_from,
        device=device,
    )
    for text in setting or ():
        config = with_setting(config, text)
    for name, r in train_flow(config, resume).items():
        print(f"{name}: {r['error']:.2f} % of inter-ocular, eyes {r.get('error_eyes', r['error']):.2f} %")


if __name__ == "__main__":
    typer.run(main)
