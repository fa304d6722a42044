"""Training of the local motion networks (Belmonte et al. 2019), resumable, within a budget.

``python -m steadyface.learn.local_motion_train --set cache/sequences --network 3DRNN --out runs/motion``
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ..align.face_square import FACE_SIDE_MM
from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..networks.local_motion import NETWORKS, LocalMotion, LocalMotionConfig, draw_heatmaps
from .batches import BatchStream
from .checkpoint import Average, load_checkpoint
from .local_motion_batches import WindowConfig, WindowMaker
from .local_motion_export import export_local_motion
from .local_motion_validate import HeldOutWindows, calibrate, to_network
from .log import Log
from .run import Run
from .settings import with_setting
from .train import keep_memory

#: Epochs without gain after which the paper's learning rate falls, and what it is multiplied with then.
PATIENCE, FALL = 10, 0.1
#: The paper's batches, of networks without and with 3D convolutions.
PAPER_BATCH = {False: 8, True: 4}


@dataclass(frozen=True)
class LocalMotionTrainConfig:
    """One training run; learning rate and schedule are the paper's.

    out: folder of checkpoint, log and export; batches: the data; network: which; schedule: "plateau" (the
    rate falls to a tenth after 10 epochs without gain on the held-out videos) or, for short budgets,
    "cosine" or "step" (see `schedule`); heatmap_sigma: of the Gaussians, px: the paper's bandwidth of 3 x 3
    as the variance; minutes, iterations: the budget, whichever ends first; weights: how the export stores
    them; threads: of torch; workers: processes that make batches; device: as torch names it.
    """

    out: str
    batches: WindowConfig
    network: LocalMotionConfig = field(default_factory=LocalMotionConfig)
    learning_rate: float = 1e-4
    schedule: str = "plateau"
    warmup: float = 0.03
    heatmap_sigma: float = 3**0.5
    clip_norm: float = 1e9
    minutes: float | None = None
    iterations: int | None = None
    average_decay: float = 0.998
    weights: str = "half"
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 2.0
    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    seed: int = 0


class LocalMotionTrainer(Run):
    """The training of one of the six networks."""

    def __init__(self, config, resume=False):
        c = config
        if (c.network.window, c.network.image_size) != (c.batches.window, c.batches.image_size):
            raise InputError(
                f"the network takes {c.network.window} pictures of {c.network.image_size} px, the batches "
                f"have {c.batches.window} of {c.batches.image_size}: give both the same"
            )
        if c.schedule not in ("plateau", "cosine", "step"):
            raise InputError(f"unknown schedule {c.schedule!r}: choose 'plateau', 'cosine' or 'step'")
        super().__init__()
        self.config = c
        self.out = Path(c.out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(c.seed)
        torch.set_num_threads(c.threads)
        self.device = torch.device(c.device)
        self.maker = WindowMaker(c.batches)
        self.network = LocalMotion(c.network)
        self.network.set_statistics(*self._statistics())
        self.network.to(self.device)
        groups = [{"params": list(self.network.parameters()), "factor": 1.0}]
        self.optimizer = torch.optim.Adam(groups, lr=c.learning_rate, fused=True)
        self.average = Average(self.network, LocalMotion(c.network).to(self.device), c.average_decay)
        self.heldout = {"videos": HeldOutWindows(c.batches)}
        #: Lowest held-out error of an epoch's end, epochs since then, and how often the rate has fallen.
        self.best, self.stale, self.falls = float("inf"), 0, 0
        self.log = Log(self.out / "log.jsonl")
        checkpoint = self.out / "checkpoint.pt"
        if resume and checkpoint.is_file():
            self.restore(load_checkpoint(checkpoint))

    def _statistics(self, batches=8):
        """Mean and deviation of the pixels by colour, and the mean landmarks, of training windows."""
        drawn = [self.maker(i) for i in range(batches)]
        pixels = np.concatenate([b["images"] for b in drawn]).reshape(-1, 3).astype(np.float32)
        return pixels.mean(0), pixels.std(0), np.concatenate([b["landmarks"] for b in drawn]).mean(0)

    def stream(self):
        c = self.config
        return BatchStream(c.batches, self.batch, c.workers, maker=self.maker, kind=WindowMaker)

    def state(self):
        return {**super().state(), "best": self.best, "stale": self.stale, "falls": self.falls}

    def restore(self, state):
        super().restore(state)
        self.best, self.stale, self.falls = state["best"], state["stale"], state["falls"]

    def set_rate(self):
        if self.config.schedule != "plateau":
            return super().set_rate()
        rate = self.config.learning_rate * FALL**self.falls
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _end_epoch(self):
        """Judge an epoch on the held-out videos, and let the rate fall if the last ones gained nothing."""
        error = self.validate()["videos"]["error"]
        if error < self.best:
            self.best, self.stale = error, 0
            return
        self.stale += 1
        if self.stale >= PATIENCE:
            self.stale, self.falls = 0, self.falls + 1

    def loss(self, output, truth):
        """Equation 1 or 2: squared differences of coordinates or heatmaps. truth: (N, 68, 2).

        Means where the paper prints sums: Adam's steps do not depend on the size of a loss.
        """
        c = self.config
        if c.network.heatmaps:
            truth = draw_heatmaps(truth, c.network.image_size, c.heatmap_sigma)
        return (output - truth).square().mean()

    def step(self, arrays):
        """One optimizer step. Returns the loss's terms for the log."""
        truth = torch.from_numpy(arrays["landmarks"]).to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        output = self.network(to_network(arrays["images"]).to(self.device))
        loss = self.loss(output, truth)
        with torch.no_grad():
            distance = (self.network.read(output.detach())[0] - truth).norm(dim=-1).mean()
        norm = self.descend(loss)
        return {"loss": loss.detach(), "vertex_mm": distance * FACE_SIDE_MM, "gradient": norm}

    def advance(self, stream):
        """One iteration. Returns its terms and the name of the loss."""
        rate = self.set_rate()
        terms = self.step(next(stream))
        self.iteration += 1
        self.batch = stream.next
        self.average.update()
        if self.config.schedule == "plateau":
            epoch = -(-self.maker.epoch() // self.config.batches.size)
            if self.iteration % epoch == 0:
                self._end_epoch()
        return {**terms, "rate": rate}, "l2"


def export_run(trainer):
    """Write a run's averaged network to ``local_motion.onnx`` in its folder, with what its held-out windows
    say of it. Returns the path."""
    c = trainer.config
    network = trainer.average.module.cpu()
    faces = trainer.heldout["videos"]
    known = calibrate(network, faces, HeldOutWindows(c.batches, away=True), load_face_model())
    path = trainer.out / "local_motion.onnx"
    export_local_motion(network, path, faces.sigma(network), c.weights, known)
    return path


def train_local_motion(config, resume=False, show=True):
    """Train one of the networks, and export its averaged weights to ``out/local_motion.onnx``.

    config: `LocalMotionTrainConfig`; resume: go on from ``out/checkpoint.pt`` if there is one. Returns the
    held-out errors. Raises InputError for unknown names or missing data.
    """
    keep_memory()
    trainer = LocalMotionTrainer(config, resume)
    results = trainer.run(show)
    export_run(trainer)
    return results


def main(
    folder: Annotated[str, typer.Option("--set", help="Short videos of learn.filming --frames.")],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    network: Annotated[str, typer.Option(help=f"One of {', '.join(NETWORKS)}.")] = "2DRNN",
    minutes: Annotated[float | None, typer.Option(help="Budget of time.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Budget of training steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Windows in a batch; the paper's 8, or 4 in 3D.")] = None,
    learning_rate: Annotated[float, typer.Option(help="Learning rate.")] = 1e-4,
    schedule: Annotated[str, typer.Option(help="plateau, cosine or step.")] = "plateau",
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes that make batches.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option()] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--with", help="Any other setting: batches.still=0.1")
    ] = None,
):
    """Train a local motion network and export it."""
    if network not in NETWORKS:
        raise InputError(f"unknown network {network!r}: choose from {', '.join(NETWORKS)}")
    sizes = NETWORKS[network]
    config = LocalMotionTrainConfig(
        out=out,
        batches=WindowConfig(folder, size=batch or PAPER_BATCH[sizes.early], seed=seed),
        network=sizes,
        learning_rate=learning_rate,
        schedule=schedule,
        minutes=minutes,
        iterations=iterations,
        threads=threads,
        workers=workers,
        device=device,
        seed=seed,
    )
    for text in setting or ():
        config = with_setting(config, text)
    for name, r in train_local_motion(config, resume).items():
        print(
            f"{name}: {r['error']:.2f} % of inter-ocular, {r['diagonal']:.2f} % of the diagonal, "
            f"AUC {r['auc_8']:.1f} (8 %) {r['auc_4']:.1f} (4 %)"
        )


if __name__ == "__main__":
    typer.run(main)
