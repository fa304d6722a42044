"""Augmented training batches, made ahead of the network by worker processes.

A batch is a pure function of (configuration, number): workers may finish in any order, the trainer reads
them in order, and a resumed run goes on with the very batches it would have seen.
"""

import queue
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..synthesis.backgrounds import smooth_noise
from .augment import Appearance, AugmentConfig, draw_far_view, draw_view, view_labels, view_pixels
from .samples import SampleMix, mediapipe_flip_index
from .short_video import draw_clip


@dataclass(frozen=True)
class BatchConfig:
    """What batches are made of.

    sets: folder to share; face_model: as `load_face_model` takes it; clip_length and clip_share: the
    length n of synthetic clips and the share of a batch that they fill (section 2.4); clip_motion: "smooth",
    or "random" for as many pictures of one photograph, turned at random in and out of the plane, which make
    no clip (table 4's rnd); negatives: share of crops without a roughly centred face; balance: how strongly
    rare attributes are preferred. Raises InputError for an unknown motion.
    """

    sets: dict
    size: int = 96
    image_size: int = 120
    face_model: str = "anny"
    clip_length: int = 2
    clip_share: float = 0.5
    clip_motion: str = "smooth"
    negatives: float = 0.06
    balance: float = 0.5
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self):
        if self.clip_motion not in ("smooth", "random"):
            raise InputError(f"clip_motion must be 'smooth' or 'random', got {self.clip_motion!r}")


class BatchMaker:
    """Makes the batches of a configuration one by one.

    Call with a batch number. Returns a dict: image (B, n, n, 3) uint8; params (B, P) and landmarks478
    (B, 478, 2) as seen in the crop; landmark_weight (B,); is_face (B,) 1 or 0. The first `clip_rows` rows
    are runs of `clip_length` adjacent frames of one head each (`short_video`).
    """

    def __init__(self, config, model=None):
        # The workers share the cores with the trainer: more threads would only get in its way.
        cv2.setNumThreads(1)
        self.config = config
        self.model = load_face_model(config.face_model) if model is None else model
        self.flip_index = mediapipe_flip_index(self.model)
        self.mix = SampleMix(config.sets, config.balance)
        self.appearance = Appearance(config.augment, config.image_size, config.seed)
        rng = np.random.default_rng(config.seed)
        self.textures = [self._texture(rng) for _ in range(64)]
        self.clip_rows = clip_rows(config)

    def _texture(self, rng):
        noise = smooth_noise(rng, 160, int(rng.integers(2, 7)), 3 if rng.random() < 0.5 else 1)
        colour = rng.uniform(0, 255, 3) + (noise - 0.5) * rng.uniform(30, 500)
        return np.clip(np.broadcast_to(colour, (160, 160, 3)), 0, 255).astype(np.uint8)

    def runs(self, rng):
        """Frames (indices) and views of each run of adjacent rows of one batch: two lists of lists."""
        c = self.config
        clips = self.clip_rows // max(c.clip_length, 1)
        lengths = [c.clip_length] * clips + [1] * (c.size - self.clip_rows)
        chosen = self.mix.draw(rng, len(lengths))
        if c.clip_motion == "random" and c.clip_length > 1:
            groups = int(c.size * c.clip_share) // c.clip_length
            alike = [self.mix.of_same_still(rng, i, c.clip_length) for i in chosen[:groups]]
            chosen = np.concatenate([*alike, chosen[groups * c.clip_length :]])
        views = [draw_clip(rng, c.augment, n) if n > 1 else [draw_view(rng, c.augment)] for n in lengths]
        return [self.mix.adjacent(i, n) for i, n in zip(chosen, lengths, strict=True)], views

    def __call__(self, number):
        c = self.config
        rng = np.random.default_rng((c.seed, number))
        frames, clips = self.runs(rng)
        is_face = np.ones(c.size, np.float32)
        # Only single pictures become negatives: a clip must stay whole.
        negatives = rng.random(len(clips)) < c.negatives * c.size / max(c.size - self.clip_rows, 1)
        images = np.empty((c.size, c.image_size, c.image_size, 3), np.uint8)
        row = 0
        for i, views in enumerate(clips):
            sources = [self.mix.image(frame) for frame in frames[i]]
            if len(views) == 1 and negatives[i]:
                is_face[row] = 0
                views = clips[i] = [draw_far_view(rng)]
                if rng.random() < 0.3:
                    sources = [self.textures[rng.integers(len(self.textures))]]
            other = self.mix.image(frames[i - 1][0])
            look, border, fill = self.appearance.draw_look(rng)
            degrade = self.appearance.draw_degradation(rng)
            for source, view in zip(sources, views, strict=True):
                picture = view_pixels(source, view, c.image_size, border, fill)
                images[row] = degrade(look(picture, other))
                row += 1
        rows = np.concatenate(frames)
        params, landmarks = view_labels(
            self.mix.params[rows],
            self.mix.landmarks478[rows],
            [v for clip in clips for v in clip],
            self.model,
            self.flip_index,
        )
        return {
            "image": images,
            "params": params,
            "landmarks478": landmarks,
            "landmark_weight": self.mix.landmark_weight[rows] * is_face,
            "is_face": is_face,
        }

    def draw_params(self, count, seed=0):
        """(count, P) parameters as training crops show them, for the z-score."""
        rng = np.random.default_rng(seed)
        rows = self.mix.draw(rng, count)
        views = [draw_view(rng, self.config.augment) for _ in rows]
        return view_labels(
            self.mix.params[rows], self.mix.landmarks478[rows], views, self.model, self.flip_index
        )[0]


def clip_rows(config):
    """How many rows of a batch belong to clips: a multiple of clip_length."""
    length = config.clip_length if config.clip_motion == "smooth" else 1
    return int(config.size * config.clip_share) // length * length if length > 1 else 0


class BatchStream:
    """Batches `start`, `start + 1`, ... made by worker processes into shared memory; a context manager.

    workers: processes; 0 makes batches in this process when asked (tests, debugging). ahead: batches in the
    making. kind: the class that makes batches of a config. Iterating yields dicts as `BatchMaker` returns;
    their arrays belong to the caller. `waited` is how many seconds were spent on waiting for them.
    """

    def __init__(self, config, start=0, workers=1, ahead=6, maker=None, kind: type = BatchMaker):
        self.next, self.waited = start, 0.0
        self.workers = workers
        if workers == 0:
            self.maker = maker or kind(config)
            return
        maker = maker or kind(config)
        self.layout = {k: (v.shape, v.dtype.str) for k, v in maker(0).items()}
        del maker
        context = get_context("spawn")
        self.tasks, self.done = context.Queue(), context.Queue()
        bytes_per_batch = sum(_nbytes(*spec) for spec in self.layout.values())
        self.memory = [SharedMemory(create=True, size=bytes_per_batch) for _ in range(ahead)]
        self.ready = {}
        for i in range(ahead):
            self.tasks.put((i, start + i))
        self.processes = [
            context.Process(
                target=_work,
                args=(kind, config, self.layout, [m.name for m in self.memory], self.tasks, self.done),
                daemon=True,
            )
            for _ in range(workers)
        ]
        for process in self.processes:
            process.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        before = time.monotonic()
        try:
            return self._take()
        finally:
            self.waited += time.monotonic() - before

    def _take(self):
        number = self.next
        if self.workers == 0:
            self.next += 1
            return self.maker(number)
        while number not in self.ready:
            try:
                slot, finished = self.done.get(timeout=5)
                self.ready[finished] = slot
            except queue.Empty:
                if not all(p.is_alive() for p in self.processes):
                    raise RuntimeError("a batch worker died; its traceback is above") from None
        slot = self.ready.pop(number)
        batch = {k: v.copy() for k, v in _views(self.memory[slot], self.layout).items()}
        self.tasks.put((slot, number + len(self.memory)))
        self.next += 1
        return batch

    def close(self):
        """Stop the workers and free the shared memory."""
        if self.workers == 0:
            return
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()
        for memory in self.memory:
            memory.close()
            memory.unlink()
        for q in (self.tasks, self.done):
            q.cancel_join_thread()
            q.close()
        self.processes, self.memory = [], []


def _nbytes(shape, dtype):
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _views(memory, layout):
    arrays, offset = {}, 0
    for key, (shape, dtype) in layout.items():
        arrays[key] = np.ndarray(shape, dtype, memory.buf, offset)
        offset += _nbytes(shape, dtype)
    return arrays


def _work(kind, config, layout, names, tasks, done):
    maker = kind(config)
    memories = [SharedMemory(name=n) for n in names]
    while True:
        slot, number = tasks.get()
        batch = maker(number)
        for key, view in _views(memories[slot], layout).items():
            view[...] = batch[key]
        done.put((slot, number))
