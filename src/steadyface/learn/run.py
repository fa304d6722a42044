"""A training run: what is the same whatever network is trained - state, checkpoint, budget, log."""

import time
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .batches import BatchStream
from .checkpoint import Average, save_checkpoint
from .log import Log, plot
from .schedule import progress_of, rate_factor


class Run(ABC):
    """Spends a budget on a network; whoever inherits says what a step is.

    `__init__` there sets config, out, network, optimizer, average, heldout (name to a function of a network)
    and log, and defines `stream` and `advance`. log_every_s: seconds between lines of the log.
    """

    config: Any
    out: Path
    network: Any
    optimizer: torch.optim.Optimizer
    average: Average
    heldout: dict
    log: Log
    log_every_s: float = 5.0

    def __init__(self):
        self.iteration, self.batch, self.seconds = 0, 0, 0.0

    @abstractmethod
    def stream(self) -> BatchStream:
        """The context that gives batches from number `batch` on."""

    @abstractmethod
    def advance(self, stream) -> tuple[dict, str]:
        """One iteration or more. Returns its terms for the log and the name of the loss used."""

    def state(self):
        """What the checkpoint holds; batches are a function of their number, which is their state."""
        return {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "average_count": self.average.count,
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "batch": self.batch,
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
        }

    def restore(self, state):
        """Go on from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.average.module.load_state_dict(state["average"])
        self.average.count = state["average_count"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.batch, self.seconds = state["iteration"], state["batch"], state["seconds"]
        torch.set_rng_state(state["rng"])

    def save(self):
        """Write the checkpoint."""
        save_checkpoint(self.out / "checkpoint.pt", **self.state())

    def pictures(self):
        """Pictures that an iteration sees."""
        return self.config.batches.size

    def progress(self, ahead=0):
        """How much of the budget is spent, 0 to 1, so many iterations ahead."""
        c = self.config
        return progress_of(self.iteration + ahead, self.seconds / 60, c.iterations, c.minutes)

    def set_rate(self, ahead=0):
        """Give the optimizer the learning rate of this moment, or so many iterations ahead, and return it."""
        c = self.config
        rate = c.learning_rate * rate_factor(self.progress(ahead), c.schedule, c.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        return rate

    def descend(self, loss):
        """One optimizer step down a loss. Returns the gradient's norm."""
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        # One batch gone wrong must not end the run: skip a step without a finite gradient.
        if norm.isfinite():
            self.optimizer.step()
        return norm

    def validate(self):
        """Log and return the held-out errors of the averaged weights: name to dict."""
        results = {name: heldout(self.average.module) for name, heldout in self.heldout.items()}
        for name, r in results.items():
            self.log.write(kind="heldout", set=name, iteration=self.iteration, minutes=self.seconds / 60, **r)
        return results

    def run(self, show=True):
        """Train until the budget is spent. Returns the last held-out errors.

        Ctrl-C saves and ends early.
        """
        c = self.config
        results = {}
        self.network.train()
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"),
            TimeElapsedColumn(), TextColumn("{task.fields[state]}"), disable=not show,
        )  # fmt: skip
        with self.stream() as stream, bar:
            task = bar.add_task("training", total=1.0, state="")
            validated = saved = logged = time.monotonic()
            images, since, waited = 0, time.monotonic(), stream.waited
            sums, count, state = {}, 0, ""
            try:
                while self.progress() < 1:
                    first, before = time.monotonic(), self.iteration
                    terms, winner = self.advance(stream)
                    now = time.monotonic()
                    self.seconds += now - first
                    images += (self.iteration - before) * self.pictures()
                    for key, value in terms.items():
                        sums[key] = sums.get(key, 0.0) + float(value)
                    count += 1
                    if now - logged > self.log_every_s or self.progress() >= 1:
                        record = {k: v / count for k, v in sums.items()}
                        speed = images / (now - since)
                        # The share of the time in which the cores of the network had nothing to do.
                        waiting = (stream.waited - waited) / (now - since)
                        self.log.write(
                            kind="train", iteration=self.iteration, minutes=self.seconds / 60, winner=winner,
                            images_per_s=speed, waiting=waiting, **record,
                        )  # fmt: skip
                        text = f"{self.iteration} it, {speed:.0f} img/s, {record['vertex_mm']:.2f} mm"
                        bar.update(task, completed=self.progress(), state=f"{text} {state}")
                        logged, sums, count, images, since = now, {}, 0, 0, now
                        waited = stream.waited
                    if now - validated > 60 * c.validate_minutes:
                        results = self.validate()
                        state = ", ".join(f"{k} {v['error']:.2f} %" for k, v in results.items())
                        validated = since = time.monotonic()
                        images, waited = 0, stream.waited
                    if now - saved > 60 * c.checkpoint_minutes:
                        self.save()
                        saved = time.monotonic()
                results = self.validate()
            except KeyboardInterrupt:
                bar.console.print("interrupted: saving; go on with --resume")
            self.save()
            bar.update(task, completed=self.progress())
        plot(self.log.path, self.out / "log.png")
        return results
