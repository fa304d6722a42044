"""Trains the face detector, resumable, within a budget of time.

``python -m steadyface.learn.train_detector --minutes 30 --out runs/detector``
"""

import math
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch.nn import functional

from ..networks.detector import REFERENCE_SIDE, DetectorExport, DetectorNet
from ..output import replacing
from .checkpoint import Average, load_checkpoint, save_checkpoint
from .detector_data import heat_target
from .detector_ring import SIDE, PictureRing
from .log import Log
from .schedule import rate_factor

#: Seconds between lines of the log, and between checkpoints.
REPORT_S, SAVE_S = 15, 60
#: Steps in which the learning rate rises.
WARM_UP = 100


@dataclass(frozen=True)
class TrainingSettings:
    """minutes: the budget; batch: pictures a step; learning_rate: the peak; ring: pictures kept to draw
    batches from; fresh: new pictures drawn for each one used, so that drawing takes no more of the
    processor than it must; backgrounds: made at the start; average: decay of the weights' running mean;
    threads: of the network.
    """

    minutes: float = 12.0
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    ring: int = 6000
    fresh: float = 0.5
    backgrounds: int = 500
    average: float = 0.998
    seed: int = 0
    threads: int = 1


def detection_loss(logits, geometry, heat, valid, target, weight):
    """Penalty-reduced focal loss plus L1 of the geometry (CenterNet, Zhou et al. 2019, eqs. 1 to 3).

    logits, heat, valid, weight: (N, h, w); geometry, target: (N, 5, h, w) with the network's raw
    geometry and offsets, log size, cos, sin. Returns (focal, geometric), each per face.
    """
    p = torch.sigmoid(logits)
    positive = (heat == 1).float() * valid
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    focal = -(positive * (1 - p) ** 2 * log_p + (1 - positive) * (1 - heat) ** 4 * p**2 * log_q) * valid
    faces = positive.sum().clamp(min=1)
    error = functional.smooth_l1_loss(geometry, target, reduction="none", beta=0.05)
    scale = torch.tensor([0.3, 0.3, 2.0, 0.7, 0.7], device=error.device)[:, None, None]
    geometric = ((error * scale).sum(1) * weight).sum() / weight.sum().clamp(min=1)
    return focal.sum() / faces, geometric


def make_optimizer(net, settings):
    """AdamW; norms and biases do not decay."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.learning_rate)


def train_step(net, optimizer, images, faces):
    """One step on a batch of `PictureRing`. Returns the focal and the geometric loss."""
    targets = zip(*(heat_target(f, *images.shape[1:3]) for f in faces), strict=True)
    heat, valid, target, weight = (torch.from_numpy(np.stack(t)) for t in targets)
    target[:, 2] -= math.log(REFERENCE_SIDE) * (weight > 0)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    # The same picture is seen a few times: never in quite the same light.
    x = (x * torch.exp(0.15 * torch.randn(len(x), 3, 1, 1))).clamp(0, 255)
    logits, geometry = net(x)
    focal, geometric = detection_loss(logits[:, 0], geometry, heat, valid, target, weight)
    optimizer.zero_grad(set_to_none=True)
    (focal + geometric).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    return float(focal.detach()), float(geometric.detach())


def train(folders, out, settings=None, resume=True):
    """Trains for `settings.minutes` in all, writing checkpoint.pt, log.jsonl and detector.onnx to a folder.

    folders: portrait folders (images/ and landmarks478.npz). With `resume` an interrupted run goes on
    from its last checkpoint. Returns the path of the network.
    """
    settings = settings or TrainingSettings()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    net = DetectorNet().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = make_optimizer(net, settings)
    average = Average(net, DetectorNet(), settings.average)
    spent, step, drawn = 0.0, 0, 0
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.is_file():
        state = load_checkpoint(checkpoint)
        net.load_state_dict(state["net"])
        average.module.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step, drawn = state["spent"], state["step"], state["drawn"]
        average.count = step
    log = Log(out / "log.jsonl")
    rng = np.random.default_rng([settings.seed, step])
    total = settings.minutes * 60
    next_report, next_save, losses = spent + REPORT_S, spent + SAVE_S, []
    with PictureRing(folders, settings.ring, settings.seed, settings.backgrounds, drawn) as ring:

        def save():
            save_checkpoint(
                checkpoint,
                net=net.state_dict(),
                averaged=average.module.state_dict(),
                optimizer=optimizer.state_dict(),
                spent=spent,
                step=step,
                drawn=ring.drawn,
                settings=asdict(settings),
            )

        ring.want(min(512, settings.ring))
        ring.wait()
        last = time.monotonic()
        try:
            while spent < total:
                images, faces = ring.batch(rng, settings.batch)
                rate = settings.learning_rate * rate_factor(spent / total, warmup=0)
                rate *= min(1.0, (step + 1) / WARM_UP)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                losses.append(train_step(net, optimizer, images, faces))
                step += 1
                average.update()
                ring.want(settings.fresh * settings.batch)
                now = time.monotonic()
                spent, last = spent + now - last, now
                if spent > next_report or spent >= total:
                    focal, geometric = np.mean(losses, 0)
                    log.write(
                        seconds=spent, step=step, drawn=ring.drawn, focal=focal, geometry=geometric, rate=rate
                    )
                    print(f"{spent:.0f} s, step {step}, focal {focal:.3f}, geometry {geometric:.3f}")
                    losses, next_report = [], spent + REPORT_S
                if spent > next_save:
                    save()
                    next_save = spent + SAVE_S
        finally:
            save()
    return export(average.module, out / "detector.onnx")


def export(net, path):
    """Writes a `DetectorNet` as ONNX with free batch, height and width; returns the path."""
    net = net.to("cpu").eval()
    axes = {0: "n", 2: "h", 3: "w"}
    names = ("image", "heat", "geometry")
    with replacing(path) as temporary, warnings.catch_warnings():
        # The tracing exporter is deprecated, but needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            DetectorExport(net).eval(),
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(temporary),
            input_names=["image"],
            output_names=["heat", "geometry"],
            dynamic_axes=dict.fromkeys(names, axes),
            opset_version=17,
            dynamo=False,
        )
    return Path(path)


def main(
    data: Annotated[Path, typer.Option(help="Folder of portraits/ and london_smiling/.")] = Path(
        "../shared/data"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/detector"),
    minutes: Annotated[float, typer.Option(help="Budget of time, in all.")] = TrainingSettings.minutes,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = TrainingSettings.threads,
    fresh: Annotated[bool, typer.Option(help="Start anew, even where a checkpoint lies.")] = False,
):
    """Train the face detector and export it."""
    folders = [f for f in (data / "portraits", data / "london_smiling") if f.is_dir()]
    path = train(folders, out, TrainingSettings(minutes, threads=threads), resume=not fresh)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    typer.run(main)
