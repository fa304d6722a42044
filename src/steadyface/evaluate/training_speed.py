"""How fast the alignment network trains, and how long it waits for data; needs torch and no data."""

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..rotation import matrix_from_euler
from .report import Section, Table

SAMPLES = 400
WARM_UP = 4


def write_drawn_samples(folder, model, count=SAMPLES, seed=0):
    """Write a sample set of faces drawn as dots: what is in a picture does not change how long it takes.

    folder: made if missing, in the layout of the training cache.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    identity = rng.normal(0, 0.7, (count, model.identity_count)).astype(np.float32)
    expression = rng.random((count, model.expression_count)).astype(np.float32) ** 4
    rotation = matrix_from_euler(rng.normal(0, 0.3, (count, 3)))
    scale = np.full(count, 1 / 220, np.float32)
    translation = rng.normal(0, 0.02, (count, 2)).astype(np.float32)
    points = model.landmarks("mediapipe478")(identity, expression) @ rotation.transpose(0, 2, 1)
    landmarks = scale[:, None, None] * points[..., :2] + translation[:, None]
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
        landmarks478=landmarks.astype(np.float32),
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


def measure_train(iterations=30, batch=96, threads=1, workers=1, model=None, progress=None):
    """The `Section` "train": samples a second and the share of time spent waiting for data.

    iterations: counted ones; batch: crops in each; threads: of torch; workers: processes that make batches.
    Raises InputError if torch is missing.
    """
    try:
        from ..learn.batches import BatchConfig, BatchStream
        from ..learn.train import TrainConfig, Trainer
    except ModuleNotFoundError as e:
        raise InputError(f"training needs {e.name}: install steadyface with its extra 'train'") from e

    model = model or load_face_model()
    with tempfile.TemporaryDirectory() as folder:
        write_drawn_samples(Path(folder) / "samples", model)
        batches = BatchConfig({str(Path(folder) / "samples"): 1.0}, size=batch)
        config = TrainConfig(f"{folder}/run", batches, iterations=10**6, threads=threads, workers=workers)
        trainer = Trainer(config, model=model)
        trainer.network.train()
        with BatchStream(config.batches, 0, workers, maker=trainer.maker) as stream:
            timed = TimedStream(stream)
            start = 0.0
            for i in range(WARM_UP + iterations):
                if i == WARM_UP:
                    start, timed.seconds = time.perf_counter(), 0.0
                trainer.advance(timed)
                if progress:
                    progress(i + 1, WARM_UP + iterations)
            spent = time.perf_counter() - start
    row = (
        *(config.width, batch, threads, workers, iterations * batch / spent),
        *(1e3 * spent / iterations, 100 * timed.seconds / spent),
    )
    return Section(
        name="train",
        title="Speed of training the alignment network",
        command="steadyface benchmark train",
        tables=(
            Table(
                f"{iterations} iterations with the practical recipe, after {WARM_UP} that do not count.",
                (
                    *("width", "batch", "threads", "batch makers", "samples/s", "ms an iteration"),
                    "waiting for data %",
                ),
                (row,),
            ),
        ),
        notes=(
            "The samples are drawn; augmentation, labels, losses and optimizer are those of any training.",
        ),
    )
