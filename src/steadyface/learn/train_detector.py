"""Trains the face detector: ``python -m steadyface.learn.train_detector --out runs/detector``."""

import argparse
import copy
import csv
import multiprocessing
import os
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SIDE = 256
MAX_FACES = 4
#: Shapes a batch is cut to: square, and the wide and tall frames of video.
SHAPES = ((256, 256), (256, 256), (160, 256), (160, 256), (256, 160))


@dataclass(frozen=True)
class TrainingSettings:
    """ring: pictures kept to draw batches from; fresh: new pictures drawn for each one used, so that drawing
    takes no more of the processor than it must; average: decay of the weights' running mean.
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


def _ring(images, labels):
    pictures = np.frombuffer(images, np.uint8).reshape(-1, SIDE, SIDE, 3)
    return pictures, np.frombuffer(labels, np.float32).reshape(-1, MAX_FACES, 6)


def _fill_ring(images, labels, drawn, wanted, folders, settings, stop):
    import cv2

    from steadyface.learn.detector_data import Composer, load_portraits, reference_shape

    cv2.setNumThreads(0)
    os.nice(2)
    composer = Composer(load_portraits(folders, reference_shape()), None, settings.seed, settings.backgrounds)
    rng = np.random.default_rng([settings.seed, drawn.value])
    pictures, faces = _ring(images, labels)
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        if drawn.value >= wanted.value:
            time.sleep(0.02)
            continue
        picture, found = composer.draw(rng, SIDE, SIDE)
        slot = drawn.value % len(pictures)
        pictures[slot] = picture
        faces[slot] = 0
        faces[slot, : len(found)] = found
        drawn.value += 1


def cut_window(image, faces, top, left, height, width):
    """A window of a picture and its faces, those cut off too far no longer counting.

    image: (H, W, 3); faces: (M, 6) as `Composer.draw` returns. Returns the same of the window.
    """
    faces = faces[faces[:, 2] > 0] - np.array([left, top, 0, 0, 0, 0], np.float32)
    half = 0.4 * faces[:, 2]
    overlap = 1.0
    for axis, size in ((0, width), (1, height)):
        low, high = faces[:, axis] - half, faces[:, axis] + half
        overlap = overlap * (np.minimum(high, size) - np.maximum(low, 0)).clip(0) / (2 * half + 1e-9)
    inside = ((faces[:, :2] > -2) & (faces[:, :2] < (width + 1, height + 1))).all(1)
    # A face much larger than the window still shows enough of itself when its centre is inside.
    seen = (overlap > 0.5) | ((overlap > 0.25) & (faces[:, 2] > 0.9 * min(height, width)))
    faces[:, 5] *= inside & seen
    return image[top : top + height, left : left + width], faces


def detection_loss(logits, geometry, heat, valid, target, weight):
    """Penalty-reduced focal loss plus L1 of the geometry (CenterNet, Zhou et al. 2019, eqs. 1 to 3).

    logits, heat, valid, weight: (N, h, w); geometry, target: (N, 5, h, w) with the network's raw
    geometry and offsets, log size, cos, sin. Returns (focal, geometric), each per face.
    """
    import torch
    from torch.nn import functional as F

    p = torch.sigmoid(logits)
    positive = (heat == 1).float() * valid
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    focal = -(positive * (1 - p) ** 2 * log_p + (1 - positive) * (1 - heat) ** 4 * p**2 * log_q) * valid
    faces = positive.sum().clamp(min=1)
    error = F.smooth_l1_loss(geometry, target, reduction="none", beta=0.05)
    scale = torch.tensor([0.3, 0.3, 2.0, 0.7, 0.7], device=error.device)[:, None, None]
    geometric = ((error * scale).sum(1) * weight).sum() / weight.sum().clamp(min=1)
    return focal.sum() / faces, geometric


def train(folders, out, settings=None, resume=True):
    """Trains for `settings.minutes` in all, writing checkpoint.pt, log.csv and detector.onnx to a folder.

    folders: portrait folders (images/ and landmarks478.npz). With `resume` an interrupted run goes on
    from its last checkpoint.
    """
    import torch

    from steadyface.learn.detector_data import heat_target
    from steadyface.networks.detector import REFERENCE_SIDE, DetectorNet

    settings = settings or TrainingSettings()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    net = DetectorNet().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    decayed = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate)
    averaged = copy.deepcopy(net)
    spent, step, already_drawn = 0.0, 0, 0
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step, already_drawn = state["spent"], state["step"], state["drawn"]

    context = multiprocessing.get_context("spawn")
    images = context.RawArray("B", settings.ring * SIDE * SIDE * 3)
    labels = context.RawArray("f", settings.ring * MAX_FACES * 6)
    drawn, stop = context.Value("q", already_drawn, lock=False), context.Event()
    wanted = context.Value("d", already_drawn + min(512, settings.ring), lock=False)
    arguments = (images, labels, drawn, wanted, [str(f) for f in folders], settings, stop)
    painter = context.Process(target=_fill_ring, args=arguments, daemon=True)
    painter.start()
    rng = np.random.default_rng([settings.seed, step])
    pictures, faces = _ring(images, labels)
    total = settings.minutes * 60
    log = (out / "log.csv").open("a", newline="")
    writer = csv.writer(log)
    if not step:
        writer.writerow(["seconds", "step", "drawn", "focal", "geometry", "learning_rate"])
    sums, last = np.zeros(3), time.monotonic()
    next_report, next_save = spent + 15, spent + 60

    def save():
        state = {
            "net": net.state_dict(),
            "averaged": averaged.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        state |= {"spent": spent, "step": step, "drawn": int(drawn.value), "settings": asdict(settings)}
        torch.save(state, checkpoint.with_suffix(".part"))
        os.replace(checkpoint.with_suffix(".part"), checkpoint)

    try:
        while drawn.value < wanted.value:
            if not painter.is_alive():
                raise RuntimeError("the process that draws the pictures ended; its message is above")
            time.sleep(0.2)
        last = time.monotonic()
        while spent < total:
            filled = min(int(drawn.value) - already_drawn, settings.ring)
            slots = (rng.integers(filled, size=settings.batch) + already_drawn) % settings.ring
            height, width = SHAPES[rng.integers(len(SHAPES))]
            batch = np.empty((settings.batch, height, width, 3), np.uint8)
            targets = []
            for k, slot in enumerate(slots):
                top, left = rng.integers(SIDE - height + 1), rng.integers(SIDE - width + 1)
                picture, found = cut_window(pictures[slot], faces[slot].copy(), top, left, height, width)
                if rng.random() < 0.5:
                    picture = picture[:, ::-1]
                    found = found * (-1, 1, 1, -1, 1, 1) + (width - 1, 0, 0, 0, 0, 0)
                batch[k] = picture
                targets.append(heat_target(found, height, width))
            heat, valid, target, weight = (torch.from_numpy(np.stack(t)) for t in zip(*targets, strict=True))
            target[:, 2] -= np.log(REFERENCE_SIDE) * (weight > 0)
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
            # The same picture is seen a few times: never in quite the same light.
            x = (x * torch.exp(0.15 * torch.randn(len(x), 3, 1, 1))).clamp(0, 255)
            done = spent / total
            warm = min(1.0, (step + 1) / 100)
            rate = float(settings.learning_rate * warm * (0.01 + 0.495 * (1 + np.cos(np.pi * done))))
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits, geometry = net(x)
            focal, geometric = detection_loss(logits[:, 0], geometry, heat, valid, target, weight)
            optimizer.zero_grad(set_to_none=True)
            (focal + geometric).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            step += 1
            wanted.value += settings.fresh * settings.batch
            with torch.no_grad():
                keep = min(settings.average, (1 + step) / (10 + step))
                for a, b in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
                    if a.dtype.is_floating_point:
                        a.lerp_(b, 1 - keep)
            sums += (float(focal.detach()), float(geometric.detach()), 1)
            now = time.monotonic()
            spent, last = spent + now - last, now
            if spent > next_report or spent >= total:
                row = [
                    round(spent, 1),
                    step,
                    int(drawn.value),
                    *np.round(sums[:2] / sums[2], 4),
                    f"{rate:.2e}",
                ]
                writer.writerow(row)
                log.flush()
                print(*row, flush=True)
                sums[:], next_report = 0, spent + 15
            if spent > next_save:
                save()
                next_save = spent + 60
    finally:
        stop.set()
        painter.join(10)
        if painter.is_alive():
            painter.terminate()
        log.close()
        save()
    return export(averaged, out / "detector.onnx")


def export(net, path):
    """Writes a `DetectorNet` as ONNX with free batch, height and width; returns the path."""
    import torch

    from steadyface.networks.detector import DetectorExport

    net = net.to("cpu").eval()
    axes = {0: "n", 2: "h", 3: "w"}
    names = ("image", "heat", "geometry")
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            DetectorExport(net).eval(),
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(path),
            input_names=["image"],
            output_names=["heat", "geometry"],
            dynamic_axes=dict.fromkeys(names, axes),
            opset_version=17,
            dynamo=False,
        )
    return Path(path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/detector"))
    parser.add_argument("--minutes", type=float, default=TrainingSettings.minutes)
    parser.add_argument("--threads", type=int, default=TrainingSettings.threads)
    parser.add_argument("--fresh", action="store_true", help="start anew, even where a checkpoint lies")
    options = parser.parse_args(argv)
    folders = [f for f in (options.data / "portraits", options.data / "london_smiling") if f.is_dir()]
    path = train(
        folders,
        options.out,
        TrainingSettings(options.minutes, threads=options.threads),
        resume=not options.fresh,
    )
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
