"""How fast the networks train, and how long training waits for data; needs torch and no data."""

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..rotation import matrix_from_euler
from .report import Section, Table, Target

SAMPLES = 400
WARM_UP = 4
#: Frames of a short video.
FRAMES = 10
#: The trainings that are timed, and what their batches consist of.
TRAININGS = {
    "regressor": "crops",
    "displacement": "pairs of frames",
    "local-motion": "windows of 3 frames",
    "flow": "pictures",
}
#: Largest share of the time that training may wait for data, percent.
MOST_WAITING = 10.0


def write_drawn_samples(folder, model, count=SAMPLES, seed=0, frames=1):
    """Write a sample set of faces drawn as dots: what is in a picture does not change how long it takes.

    folder: made if missing, in the layout of the training cache; frames: samples in turn that count as one
    short video.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    identity = rng.normal(0, 0.7, (count, model.identity_count)).astype(np.float32)
    expression = rng.random((count, model.expression_count)).astype(np.float32) ** 4
    rotation = matrix_from_euler(rng.normal(0, 0.3, (count, 3)))
    scale = np.full(count, 1 / 220, np.float32)
    translation = rng.normal(0, 0.02, (count, 2)).astype(np.float32)

    def seen(markup):
        points = model.landmarks(markup)(identity, expression) @ rotation.transpose(0, 2, 1)
        return (scale[:, None, None] * points[..., :2] + translation[:, None]).astype(np.float32)

    landmarks = seen("mediapipe478")
    images = np.full((count, 160, 160, 3), 90, np.uint8)
    for image, pixels in zip(images, np.round(120 * landmarks + 79.5).astype(int), strict=True):
        for x, y in pixels:
            cv2.circle(image, (int(x), int(y)), 2, (220, 180, 160), -1)
    np.save(folder / "images.npy", images)
    np.savez(
        folder / "labels.npz",
        rotation=rotation.astype(np.float32),
        scale=scale,
        translation=translation,
        identity=identity,
        expression=expression,
        landmarks478=landmarks,
        landmarks68=seen("ibug68"),
        # Crops of 200 pixels in the middle of frames of 640 x 480.
        crop=np.tile(np.array([320, 240, 200, 0], np.float32), (count, 1)),
        clip=np.arange(count) // frames,
        weight478=np.ones(count, np.float32),
        source=np.zeros(count, np.uint8),
        name=np.array([f"drawn{i}" for i in range(count)]),
        skin_ita=np.full(count, np.nan),
        eye_open=rng.random((count, 2)),
        mouth_open=rng.random(count),
    )


class TimedStream:
    """A stream of batches that adds up how long the trainer waits for the next one."""

    def __init__(self, stream):
        self._stream = stream
        self.seconds = 0.0

    @property
    def next(self):
        return self._stream.next

    def __next__(self):
        start = time.perf_counter()
        batch = next(self._stream)
        self.seconds += time.perf_counter() - start
        return batch


def new_training(name, folder, model, threads, workers):
    """A training with its defaults on a drawn sample set of its own.

    name: a key of `TRAININGS`; folder: where set and run go; threads: of torch; workers: processes that make
    batches. Raises InputError for other names, or if torch is missing.
    """
    if name not in TRAININGS:
        raise InputError(f"unknown training {name!r}: known are {', '.join(TRAININGS)}")
    try:
        from ..learn import displacement_train, flow_train, local_motion_train, train
    except ModuleNotFoundError as e:
        raise InputError(f"training needs {e.name}: install steadyface with its extra 'train'") from e
    data, out = str(Path(folder) / "samples"), str(Path(folder) / "run")
    filmed = name in ("displacement", "local-motion")
    write_drawn_samples(data, model, frames=FRAMES if filmed else 1)
    budget: dict[str, Any] = {"iterations": 10**6, "threads": threads, "workers": workers}
    if name == "regressor":
        batches = train.BatchConfig({data: 1.0})
        return train.Trainer(train.TrainConfig(out, batches, **budget), model=model)
    if name == "displacement":
        batches = displacement_train.PairConfig({data: 1.0})
        config = displacement_train.DisplacementConfig(out, batches, **budget)
        return displacement_train.DisplacementTrainer(config, model=model)
    if name == "local-motion":
        batches = local_motion_train.WindowConfig(data)
        # At the end of an epoch its own schedule would look at the held-out videos.
        config = local_motion_train.LocalMotionTrainConfig(out, batches, schedule="cosine", **budget)
        return local_motion_train.LocalMotionTrainer(config)
    batches = flow_train.FlowBatchConfig({data: 1.0})
    return flow_train.FlowTrainer(flow_train.FlowTrainConfig(out, batches, **budget), model=model)


def training_row(name, trainer, iterations, progress=None):
    """The row of `measure_train` of a `learn.run.Run`; progress: called with the iterations done, and all."""
    trainer.network.train()
    with trainer.stream() as stream:
        timed = TimedStream(stream)
        start = 0.0
        for i in range(WARM_UP + iterations):
            if i == WARM_UP:
                start, timed.seconds = time.perf_counter(), 0.0
            trainer.advance(timed)
            if progress:
                progress(i + 1, WARM_UP + iterations)
        spent = time.perf_counter() - start
    c = trainer.config
    return (
        *(name, c.batches.size, TRAININGS[name], c.threads, c.workers, iterations * c.batches.size / spent),
        *(1e3 * spent / iterations, 100 * timed.seconds / spent),
    )


def measure_train(iterations=30, threads=1, workers=1, only=None, model=None, progress=None):
    """The `Section` "train": samples a second and the share of time spent waiting for data.

    iterations: counted ones; threads: of torch; workers: processes that make batches; only: names of
    `TRAININGS`, all by default; progress: called with a training's name, the iterations done and their
    number. Raises InputError for unknown names, or if torch is missing.
    """
    model, rows = model or load_face_model(), []
    for name in only or TRAININGS:
        with tempfile.TemporaryDirectory() as folder:
            trainer = new_training(name, folder, model, threads, workers)
            tell = None if progress is None else _named(progress, name)
            rows.append(training_row(name, trainer, iterations, tell))
    return train_section(rows, iterations)


def _named(progress, name):
    return lambda done, total: progress(name, done, total)


def train_section(rows, iterations):
    """The `Section` "train" of rows as `training_row` gives."""
    return Section(
        name="train",
        title="Speed of training",
        command="steadyface benchmark train",
        targets=tuple(
            Target(f"training of the {row[0]} network waits for data", row[-1], "<=", MOST_WAITING, "%")
            for row in rows
        ),
        tables=(
            Table(
                f"{iterations} iterations with the practical recipe, after {WARM_UP} that do not count.",
                (
                    *("network", "batch", "of", "threads", "batch makers", "samples/s", "ms an iteration"),
                    "waiting for data %",
                ),
                tuple(rows),
            ),
        ),
        notes=(
            "The samples are drawn; augmentation, labels, losses and optimizer are those of any training. "
            "The local motion network is 2D, the quickest of the six and so the hardest to feed.",
        ),
    )
