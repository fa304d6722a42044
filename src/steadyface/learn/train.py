"""Training of the face regressor: the recipe of 3DDFA_V2, resumable, within a budget of time.

``python -m steadyface.learn.train --set cache/portraits=1 --width 0.5 --minutes 60 --out runs/r1``
"""

import ctypes
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..networks.mobilenet import FaceRegressor
from . import export_onnx
from .batches import BatchConfig, BatchMaker, BatchStream
from .checkpoint import Average, load_checkpoint
from .discriminators import MM_PER_UNIT, NAMES, DiscriminatorConfig, Discriminators, clip_displacements
from .log import Log
from .meta_joint import look_ahead
from .objective import META_JOINT, STRATEGIES, Objective, TermWeights
from .parameters import CROP_SIDE_MM, statistics
from .points import FacePoints
from .run import Run
from .settings import read_shares, with_setting
from .start_weights import load_weights
from .validate import HeldOut


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    out: folder of checkpoint, log and picture; batches: the data; objective: a name of `STRATEGIES` or
    "meta-joint"; weights: of the practical terms; lrr, beta, lmk: see `Objective`; look_ahead: Algorithm
    1's k; minutes, iterations: the budget, whichever ends first; heldout: name to sample folder; threads: of
    torch; workers: processes that make batches; init_from: an exported ONNX to start from; discriminators:
    of displacements, none by default, the temporal one of the clips in a batch (not with "meta-joint").
    """

    out: str
    batches: BatchConfig
    objective: str = "distance-from-fwpdc"
    weights: TermWeights = field(default_factory=TermWeights)
    discriminators: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(()))
    lrr: bool = True
    beta: float = 0.5
    lmk: bool = False
    look_ahead: int = 100
    width: float = 0.5
    pooling: str = "multilevel"
    vertex_count: int = 800
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    clip_norm: float = 2000.0
    schedule: str = "cosine"
    warmup: float = 0.03
    minutes: float | None = None
    iterations: int | None = None
    average_decay: float = 0.998
    heldout: dict = field(default_factory=dict)
    validate_minutes: float = 3.0
    checkpoint_minutes: float = 3.0
    threads: int = 2
    workers: int = 1
    init_from: str | None = None
    seed: int = 0


def keep_memory():
    """Tell glibc to keep freed memory: giving every activation back to the kernel costs a fifth of a step."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
    libc.mallopt(m_top_pad, 64 << 20)


def make_optimizer(config, network):
    """AdamW, or SGD with Nesterov momentum; norms, biases and pooling weights do not decay.

    Each group's "factor" scales the learning rate: the pooling weights (1/16) are a tenth of the others,
    and with steps of the same size training starts twice as slowly.
    """
    decayed, plain, pooling = [], [], []
    for name, p in network.named_parameters():
        (pooling if ".pool." in name else plain if p.ndim < 2 else decayed).append(p)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "factor": 1.0},
        {"params": plain, "weight_decay": 0.0, "factor": 1.0},
        {"params": pooling, "weight_decay": 0.0, "factor": 0.1},
    ]
    groups = [g for g in groups if g["params"]]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    raise InputError(f"unknown optimizer {config.optimizer!r}: choose 'adamw' or 'sgd'")


def new_network(config, params, model):
    """An untrained `FaceRegressor` for a config. params: (N, P) training parameters for the z-score."""
    s = statistics(params)
    mean = torch.from_numpy(s.mean)[None]
    with torch.no_grad():
        landmarks = FacePoints(model, 1)(mean)["ibug68"][0, :, :2] / CROP_SIDE_MM
    return FaceRegressor(s.mean, s.std, landmarks, config.width, config.batches.image_size, config.pooling)


class Trainer(Run):
    """The training of a regressor."""

    def __init__(self, config, resume=False, model=None):
        if config.objective != "meta-joint" and config.objective not in STRATEGIES:
            names = ", ".join([*STRATEGIES, "meta-joint"])
            raise InputError(f"unknown objective {config.objective!r}: choose from {names}")
        if config.discriminators.on and config.objective == "meta-joint":
            raise InputError("discriminators learn from every step, meta-joint takes some back: choose one")
        super().__init__()
        self.config = config
        # A look-ahead of meta-joint is worth a line of its own.
        self.log_every_s = 0.0 if config.objective == "meta-joint" else Run.log_every_s
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.model = load_face_model(config.batches.face_model) if model is None else model
        self.maker = BatchMaker(config.batches, self.model)
        params = self.maker.draw_params(4000, config.seed)
        self.network = new_network(config, params, self.model)
        # Convolutions of MobileNet run about 1.3 times as fast on channels-last memory.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(config, self.network)
        self.average = Average(self.network, new_network(config, params, self.model), config.average_decay)
        self.discriminators = Discriminators(config.discriminators)
        self.losses_won = []
        checkpoint = self.out / "checkpoint.pt"
        if resume and checkpoint.is_file():
            self.restore(load_checkpoint(checkpoint))
        elif config.init_from:
            load_weights(self.network, config.init_from, self._tensors(self.maker(0))["image"])
            self.average.module.load_state_dict(self.network.state_dict())
        self.objective = Objective(
            FacePoints(self.model, config.vertex_count),
            self.network.params_mean,
            self.network.params_std,
            config.weights,
            self.maker.clip_rows,
            config.batches.clip_length,
            config.lrr,
            config.beta,
            config.lmk,
        )
        self.heldout = {
            k: HeldOut(v, self.model, config.batches.image_size) for k, v in config.heldout.items()
        }
        self.log = Log(self.out / "log.jsonl")

    def stream(self):
        c = self.config
        return BatchStream(c.batches, self.batch, c.workers, maker=self.maker)

    def state(self):
        state = {**super().state(), "losses_won": self.losses_won}
        return state | (
            {"discriminators": self.discriminators.state()} if self.discriminators.networks else {}
        )

    def restore(self, state):
        super().restore(state)
        self.losses_won = state["losses_won"]
        if self.discriminators.networks:
            self.discriminators.restore(state["discriminators"])

    def _tensors(self, arrays):
        batch = {k: torch.from_numpy(v) for k, v in arrays.items()}
        # NHWC bytes read as NCHW are channels-last already.
        batch["image"] = batch["image"].permute(0, 3, 1, 2).float()
        return batch

    def step(self, name, arrays):
        """One optimizer step with a base loss. Returns its terms."""
        batch = self._tensors(arrays)
        self.optimizer.zero_grad(set_to_none=True)
        regression = self.network(batch["image"])
        total, terms = self.objective(name, regression, batch)
        if self.config.discriminators.on:
            displacements = clip_displacements(
                self.objective.points,
                self.config.discriminators,
                regression.params,
                batch["params"],
                batch["is_face"],
                self.maker.clip_rows,
                self.config.batches.clip_length,
            )
            terms |= self.discriminators.step(displacements)
            adversarial, more = self.discriminators.generator_loss(displacements)
            # The objective is told in mm.
            total, terms = total + MM_PER_UNIT * adversarial, {**terms, **more}
        return {**terms, "gradient": self.descend(total)}

    def set_rate(self, ahead=0):
        rate = super().set_rate(ahead)
        self.discriminators.set_rate(rate / self.config.learning_rate)
        return rate

    def vertex_error(self, arrays):
        """Mean vertex distance on a batch, mm, as at inference (running statistics): the meta-test."""
        batch = self._tensors(arrays)
        self.network.eval()
        try:
            _, terms = self.objective("distance", self.network(batch["image"]), batch)
        finally:
            self.network.train()
        return float(terms["vertex_mm"])

    def advance(self, stream):
        """One iteration, or one look-ahead of meta-joint. Returns terms and the name of the loss used."""
        c = self.config
        rate = self.set_rate()
        if c.objective == "meta-joint":
            left = c.iterations - self.iteration if c.iterations else c.look_ahead
            ahead = min(c.look_ahead, left)
            batches = [next(stream) for _ in range(ahead + 1)]

            def step(name, numbered):
                number, batch = numbered
                self.set_rate(number)
                return self.step(name, batch)

            result = look_ahead(
                self.network,
                self.optimizer,
                list(enumerate(batches[:-1])),
                batches[-1],
                step,
                self.vertex_error,
                META_JOINT,
            )
            steps, terms, winner = ahead, result.terms, result.winner
            self.losses_won.append(winner)
        else:
            winner = STRATEGIES[c.objective](self.progress())
            terms, steps = self.step(winner, next(stream)), 1
        self.iteration += steps
        self.batch = stream.next
        self.average.update(steps)
        return {**terms, "rate": rate}, winner


def train(config, resume=False, show=True):
    """Train a regressor, and export its averaged weights to ``out/regressor.onnx``.

    config: `TrainConfig`; resume: go on from ``out/checkpoint.pt`` if there is one. Returns the held-out
    errors. Raises InputError for unknown names or missing data.
    """
    keep_memory()
    trainer = Trainer(config, resume)
    results = trainer.run(show)
    export_onnx.export(trainer.average.module, trainer.out / "regressor.onnx", trainer.model.name)
    export_onnx.write_card(trainer.out / "regressor.md", config, trainer, results)
    return results


def main(
    sets: Annotated[list[str], typer.Option("--set", help="Sample folder and share: cache/portraits=0.6")],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    heldout: Annotated[list[str] | None, typer.Option(help="Held-out sample folders.")] = None,
    width: Annotated[float, typer.Option(help="MobileNet width.")] = 0.5,
    minutes: Annotated[float | None, typer.Option(help="Budget of time.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Budget of iterations.")] = None,
    objective: Annotated[str, typer.Option(help="Loss or strategy.")] = "distance-from-fwpdc",
    discriminator: Annotated[
        list[str] | None, typer.Option(help=f"Displacement discriminators: {', '.join(NAMES)}.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Crops in a batch.")] = 96,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes that make batches.")] = 1,
    init_from_onnx: Annotated[str | None, typer.Option(help="Exported weights to start from.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--with", help="Any other setting: weights.motion=0.2")
    ] = None,
):
    """Train the face regressor and export it."""
    config = TrainConfig(
        out=out,
        batches=BatchConfig(read_shares(sets), size=batch),
        objective=objective,
        discriminators=DiscriminatorConfig(tuple(discriminator or ())),
        width=width,
        learning_rate=learning_rate,
        minutes=minutes,
        iterations=iterations,
        heldout={Path(folder).name: folder for folder in heldout or ()},
        threads=threads,
        workers=workers,
        init_from=init_from_onnx,
    )
    for text in setting or ():
        config = with_setting(config, text)
    for name, r in train(config, resume).items():
        print(f"{name}: {r['error']:.2f} % of inter-ocular, the labels {r['label_residual']:.2f} %")


if __name__ == "__main__":
    typer.run(main)
