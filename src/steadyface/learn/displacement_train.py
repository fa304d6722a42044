"""Training of landmark displacement learning (Lee et al. 2023), resumable, within a budget of time.

``python -m steadyface.learn.displacement_train --set cache/sequences=1 --minutes 60 --out runs/displacement``
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch.nn import functional

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..networks.displacement import DisplacementRegressor
from . import losses
from .batches import BatchStream
from .checkpoint import Average, load_checkpoint
from .discriminators import (
    MM_PER_UNIT,
    NAMES,
    DiscriminatorConfig,
    Discriminators,
    shape_displacements,
    temporal_displacements,
)
from .displacement_data import WINDOW, PairConfig, PairMaker, camera_statistics, is_video
from .displacement_export import export_displacement, write_card
from .displacement_validate import FollowHeldOut
from .log import Log
from .objective import Objective, TermWeights
from .parameters import CROP_SIDE_MM, statistics
from .points import FacePoints
from .run import Run
from .settings import read_shares, with_setting
from .start_weights import load_weights
from .train import keep_memory, make_optimizer
from .validate import HeldOut
from .window import extract, held_inside, next_crops, params_in, points_in, points_out


@dataclass(frozen=True)
class DisplacementConfig:
    """One training run; the defaults are the paper's where they do not depend on its face model or hardware.

    out: folder of checkpoint, log and picture; batches: the data; discriminators: which take part;
    supervision: "landmarks", the paper's loss of landmarks alone (eq. 1) with a weak prior on coefficients
    that it does not tell apart, or "full", with vertices and coefficients, which our data know, beside it;
    weights: of the practical terms; width: of the ResNet, 1 the paper's; minutes, iterations: the budget,
    whichever ends first; heldout: name to folder, of stills or of videos whose first part is trained on;
    init_from: a checkpoint of a run or an exported network to start from.
    """

    out: str
    batches: PairConfig
    discriminators: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    supervision: Literal["full", "landmarks"] = "full"
    weights: TermWeights = field(default_factory=lambda: TermWeights(motion=0.0, pose=3.0))
    prior: float = 0.001
    width: float = 1.0
    vertex_count: int = 800
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float = 50.0
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
    seed: int = 0


def new_network(config, params):
    """An untrained `DisplacementRegressor`. params: (N, P) of training crops, for the z-score."""
    return DisplacementRegressor(
        statistics(params), camera_statistics(params), config.batches.image_size, config.width
    )


def start_from(network, path):
    """Take over the weights of a checkpoint's average or of an exported network.

    Raises InputError if they do not fit.
    """
    if not str(path).endswith(".pt"):
        load_weights(network, path, None)
        return
    weights = load_checkpoint(path)["average"]
    own = network.state_dict()
    wrong = [k for k, v in own.items() if k not in weights or weights[k].shape != v.shape]
    if wrong:
        raise InputError(f"{path} does not fit this network (width or face model differ): {wrong[0]!r}")
    network.load_state_dict({k: weights[k] for k in own})


def _held_out(folder, model, config):
    if is_video(folder):
        return FollowHeldOut(folder, model, config.batches.image_size, config.batches.kept)
    return HeldOut(folder, model, config.batches.image_size)


class DisplacementTrainer(Run):
    """The alternating training of the alignment network and its displacement discriminators."""

    def __init__(self, config, resume=False, model=None):
        super().__init__()
        self.config = config
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        self.model = load_face_model(config.batches.face_model) if model is None else model
        self.maker = PairMaker(config.batches, self.model)
        params = params_in(*(torch.from_numpy(a) for a in self.maker.draw_labels(1000, config.seed))).numpy()
        self.network = new_network(config, params)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(config, self.network)
        self.discriminators = Discriminators(config.discriminators)
        averaged = new_network(config, params)
        averaged.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        checkpoint = self.out / "checkpoint.pt"
        state = load_checkpoint(checkpoint) if resume and checkpoint.is_file() else None
        if state is None and config.init_from:
            start_from(self.network, config.init_from)
        self.average = Average(self.network, averaged, config.average_decay)
        if state is not None:
            self.restore(state)
        self.objective = Objective(
            FacePoints(self.model, config.vertex_count),
            self.network.params_mean,
            self.network.params_std,
            config.weights,
            2 * config.batches.size,
            2,
            lrr=False,
        )
        self.points = self.objective.points
        self.heldout = {k: _held_out(v, self.model, config) for k, v in config.heldout.items()}
        self.log = Log(self.out / "log.jsonl")

    def stream(self):
        c = self.config
        return BatchStream(c.batches, self.batch, c.workers, maker=self.maker, kind=PairMaker)

    def state(self):
        return {**super().state(), "discriminators": self.discriminators.state()}

    def restore(self, state):
        super().restore(state)
        self.discriminators.restore(state["discriminators"])

    def pictures(self):
        """Pictures that an iteration sees."""
        return 2 * self.config.batches.size

    def see(self, batch):
        """Both frames through the network, the second in the crop that the first one's answer gives.

        Returns two `Regression` and two crops (N, 4).
        """
        size, face = self.config.batches.image_size, batch["is_face"] > 0
        first = batch["crop"]
        windows = [w.permute(0, 3, 1, 2).float() for w in batch["window"].unbind(1)]
        before = self.network(extract(windows[0], first, size))
        found = held_inside(next_crops(before.params.detach(), first), 1 / WINDOW)
        # Where there is no face the answer means nothing, and a tracker would look in the same place again.
        second = torch.where((face & found.isfinite().all(1))[:, None], found, first)
        now = self.network(extract(windows[1], second, size))
        return (before, now), (first, second)

    def truth(self, batch, crops):
        """Labels of both frames in units of their crops: a batch as `Objective` takes it, pair i in rows 2i
        and 2i + 1, with landmarks68 (2N, 68, 2) beside."""
        params = _rows([params_in(p, c) for p, c in zip(batch["params"].unbind(1), crops, strict=True)])
        with torch.no_grad():
            points = self.points(params)
        labels = {"params": params}
        for key, name in (("landmarks68", "ibug68"), ("landmarks478", "mediapipe478")):
            given = _rows([points_in(p, c) for p, c in zip(batch[key].unbind(1), crops, strict=True)])
            known = given.isfinite().all(-1, keepdim=True)
            labels[key] = torch.where(known, given, points[name][..., :2] / CROP_SIDE_MM)
        for key in ("is_face", "landmark_weight"):
            labels[key] = batch[key].repeat_interleave(2)
        return labels

    def supervised(self, regression, labels):
        """L_align of eq. 19 and its terms: eq. 1 in crop sides, and what `supervision` puts beside it."""
        face = labels["is_face"]
        seen = self.points.ibug68(regression.params)[..., :2]
        offset = (seen / CROP_SIDE_MM - labels["landmarks68"]).flatten(1)
        # The norm is not smooth where it is zero.
        eq_1 = losses.weighted_mean((offset.square().sum(1) + 1e-8).sqrt(), face)
        terms = {"land": eq_1.detach()}
        if self.config.supervision == "full":
            rest, more = self.objective("distance", regression, labels)
            return eq_1 + rest / MM_PER_UNIT, {**terms, **more}
        w = self.config.weights
        sigma = losses.sigma_loss(regression.log_sigma, seen / CROP_SIDE_MM, labels["landmarks68"], face)
        confidence = losses.confidence_loss(regression.confidence_logit, face)
        k = 12 + self.points.identity_count
        identity, expression = regression.params[:, 12:k], regression.params[:, k:]
        # Coefficients are standard normal, and activations between 0 and 1.
        outside = functional.relu(-expression) + functional.relu(expression - 1)
        prior = losses.weighted_mean(identity.square().sum(1) + outside.square().sum(1), face)
        with torch.no_grad():
            found, true = (self.points(p)["vertices"] for p in (regression.params, labels["params"]))
            terms["vertex_mm"] = losses.vertex_distance_loss(found, true, None, face)
        terms |= {"sigma": sigma.detach(), "confidence": confidence.detach(), "prior": prior.detach()}
        heads = (w.sigma * sigma + w.confidence * confidence) / MM_PER_UNIT
        return eq_1 + heads + self.config.prior * prior, terms

    def displacements(self, regression, labels, crops):
        """Displacements of the pairs that show a face, name to `Displacements`."""
        on, face = self.config.discriminators.on, labels["is_face"] > 0
        found = shape_displacements(self.points, regression.params[face], labels["landmarks68"][face], on)
        if "temporal" in on:
            pairs = face[::2]
            previous, current = (c[pairs] for c in crops)

            def in_previous(landmarks):
                first, second = (landmarks[i::2][pairs] for i in (0, 1))
                return first, points_in(points_out(second, current), previous)

            predicted = self.points.ibug68(regression.params)[..., :2] / CROP_SIDE_MM
            found["temporal"] = temporal_displacements(
                in_previous(predicted), in_previous(labels["landmarks68"])
            )
        return found

    def step(self, arrays):
        """One iteration: the discriminators, then the network. Returns the terms for the log."""
        batch = {k: torch.from_numpy(v) for k, v in arrays.items()}
        self.optimizer.zero_grad(set_to_none=True)
        seen, crops = self.see(batch)
        regression = type(seen[0])(*(a if a is None else _rows((a, b)) for a, b in zip(*seen, strict=True)))
        labels = self.truth(batch, crops)
        total, terms = self.supervised(regression, labels)
        # A batch without a face has nothing to tell apart.
        if self.config.discriminators.on and bool((labels["is_face"] > 0).any()):
            displacements = self.displacements(regression, labels, crops)
            terms |= self.discriminators.step(displacements)
            adversarial, more = self.discriminators.generator_loss(displacements)
            total, terms = total + adversarial, {**terms, **more}
        return {**terms, "gradient": self.descend(total)}

    def set_rate(self, ahead=0):
        rate = super().set_rate(ahead)
        self.discriminators.set_rate(rate / self.config.learning_rate)
        return rate

    def advance(self, stream):
        """One iteration. Returns its terms and the name of the supervision."""
        rate = self.set_rate()
        terms = self.step(next(stream))
        self.iteration += 1
        self.batch = stream.next
        self.average.update()
        return {**terms, "rate": rate}, self.config.supervision


def _rows(pair):
    """Two (N, ...) tensors as rows 0, 1 of pair 0, then of pair 1, and so on."""
    return torch.stack(list(pair), 1).flatten(0, 1)


def train_displacement(config, resume=False, show=True):
    """Train, and export the averaged weights to ``out/displacement.onnx``.

    config: `DisplacementConfig`; resume: go on from ``out/checkpoint.pt`` if there is one. Returns the
    held-out errors. Raises InputError for unknown names or missing data.
    """
    keep_memory()
    trainer = DisplacementTrainer(config, resume)
    results = trainer.run(show)
    export_displacement(trainer.average.module, trainer.out / "displacement.onnx", trainer.model.name)
    write_card(trainer.out / "displacement.md", config, trainer, results)
    return results


def main(
    sets: Annotated[list[str], typer.Option("--set", help="Sample folder and share: cache/sequences=0.6")],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    heldout: Annotated[
        list[str] | None, typer.Option(help="Held-out folders; of short videos, the last tenth.")
    ] = None,
    discriminator: Annotated[
        list[str] | None,
        typer.Option(help=f"Discriminators in use: {', '.join(NAMES)}, or none. All by default."),
    ] = None,
    supervision: Annotated[str, typer.Option(help="full, or landmarks as in the paper.")] = "full",
    image_size: Annotated[int, typer.Option(help="Side of the crops, pixels; 256 the paper's.")] = 128,
    width: Annotated[float, typer.Option(help="ResNet width.")] = 1.0,
    minutes: Annotated[float | None, typer.Option(help="Budget of time.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Budget of iterations.")] = None,
    batch: Annotated[int, typer.Option(help="Pairs in a batch.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes that make batches.")] = 1,
    init_from: Annotated[str | None, typer.Option(help="Checkpoint or exported network.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--with", help="Any other setting: weights.motion=0.2")
    ] = None,
):
    """Train the alignment network of landmark displacement learning and export it."""
    if supervision not in ("full", "landmarks"):
        raise typer.BadParameter(f"supervision is full or landmarks, got {supervision!r}")
    on = NAMES if not discriminator else tuple(n for n in discriminator if n != "none")
    config = DisplacementConfig(
        out=out,
        batches=PairConfig(read_shares(sets), size=batch, image_size=image_size),
        discriminators=DiscriminatorConfig(on),
        supervision=supervision,
        width=width,
        learning_rate=learning_rate,
        minutes=minutes,
        iterations=iterations,
        heldout={Path(folder).name: folder for folder in heldout or ()},
        threads=threads,
        workers=workers,
        init_from=init_from,
    )
    for text in setting or ():
        config = with_setting(config, text)
    for name, r in train_displacement(config, resume).items():
        print(f"{name}: " + ", ".join(f"{k} {v:.3g}" for k, v in r.items()))


if __name__ == "__main__":
    typer.run(main)
