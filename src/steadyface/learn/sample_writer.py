"""Writes made samples in the layout of the portrait cache, filled by several processes."""

import os
import shutil
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..align.crop import Crop
from ..face_model.mediapipe import OUTER_EYE_CORNERS
from ..face_model.morphable import MorphableModel
from ..synthesis.picture import PICTURE_SIZE
from .openings import openings

PORTRAIT, PROFILED, SYNTHETIC, FILMED = 0, 1, 2, 3


@dataclass(frozen=True)
class Perspective:
    """How a pinhole camera saw a sample: inverse_distance, one over the distance of the model's origin along
    the camera's axis, per mm; principal: (2,) the camera's principal point in crop units."""

    inverse_distance: float
    principal: np.ndarray


@dataclass(frozen=True)
class Labels:
    """Labels of one sample in units of the standard crop; fields as in `build_portrait_cache`.

    landmarks478: (478, 2) crop units where the picture shows them elsewhere than the pose does (perspective),
    None where it does not; perspective: given if the pose is that of a pinhole camera, for all samples of a
    set or for none; crop: the crop's place in the frame that it was cut from, where several samples come from
    one video; landmarks68: (68, 2) crop units, as landmarks478 (each for all samples of a set or for none).
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    name: str
    skin_ita: float
    landmarks478: np.ndarray | None = None
    perspective: Perspective | None = None
    crop: Crop | None = None
    landmarks68: np.ndarray | None = None


def landmarks_and_openings(model: MorphableModel, labels: Labels):
    """MediaPipe points (478, 2) in crop units, eye openings (2,) and mouth opening, over inter-ocular."""
    points = model.landmarks("mediapipe478")(labels.identity, labels.expression)
    projected = labels.landmarks478
    if projected is None:
        projected = labels.scale * (points @ labels.rotation.T)[:, :2] + labels.translation
    unit = np.linalg.norm(points[OUTER_EYE_CORNERS[0]] - points[OUTER_EYE_CORNERS[1]])
    # In space, and not in the picture: how open an eye is does not change as the head turns.
    eyes, mouth = openings(points, unit)
    return projected, eyes, mouth


def write_samples(
    folder, clips, make, model, source, processes=2, clip_length=1, adjacent=None, size=PICTURE_SIZE
):
    """Make and write a set of samples.

    make: function of a clip's number that returns its `clip_length` frames, each an (n, n, 3) uint8 picture
    and `Labels`; source: PROFILED, SYNTHETIC or FILMED; adjacent: how many frames each follow one another and
    make up a short video, all by default; size: n. The folder appears when all is done. Raises
    RuntimeError if a process fails.
    """
    folder = Path(folder)
    work = folder.with_name(folder.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shape = (clips * clip_length, size, size, 3)
    np.lib.format.open_memmap(work / "images.npy", "w+", np.uint8, shape).flush()
    if processes == 1:
        _work(work, clips, make, model, source, 0, 1, adjacent)
    else:
        # Forked, so that the sources are shared and not copied.
        start = get_context("fork").Process
        workers = [
            start(target=_work, args=(work, clips, make, model, source, k, processes, adjacent))
            for k in range(processes)
        ]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if any(w.exitcode for w in workers):
            raise RuntimeError(f"making {folder} failed: see the message above")
    parts = []
    for k in range(processes):
        with np.load(work / f"labels{k}.npz") as z:
            parts.append({key: z[key] for key in z.files})
        os.remove(work / f"labels{k}.npz")
    merged = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    order = np.argsort(merged["clip"], kind="stable")
    merged = {key: column[order] for key, column in merged.items()}
    np.savez(work / "labels.npz", **merged)  # pyright: ignore[reportArgumentType]
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)


def _work(work, clips, make, model, source, first, step, adjacent):
    images = np.load(work / "images.npy", mmap_mode="r+")
    rows = []
    for clip in range(first, clips, step):
        frames = make(clip)
        images[clip * len(frames) : (clip + 1) * len(frames)] = [picture for picture, _ in frames]
        run = adjacent or len(frames)
        videos = clip * (len(frames) // run)
        rows += [_row(model, labels, source, videos + i // run) for i, (_, labels) in enumerate(frames)]
    images.flush()
    columns = {key: np.stack([r[key] for r in rows]) for key in rows[0]}
    np.savez(work / f"labels{first}.npz", **columns)  # pyright: ignore[reportArgumentType]


def _row(model, labels, source, clip):
    landmarks, eyes, mouth = landmarks_and_openings(model, labels)
    more = {}
    if labels.perspective is not None:
        more = {
            "inverse_distance": np.float32(labels.perspective.inverse_distance),
            "principal": np.asarray(labels.perspective.principal, np.float32),
        }
    if labels.crop is not None:
        more["crop"] = np.array([*labels.crop.center, labels.crop.side, labels.crop.roll], np.float32)
    if labels.landmarks68 is not None:
        more["landmarks68"] = np.asarray(labels.landmarks68, np.float32)
    return {
        "rotation": np.asarray(labels.rotation, np.float32),
        "scale": np.float32(labels.scale),
        "translation": np.asarray(labels.translation, np.float32),
        "identity": np.asarray(labels.identity, np.float32),
        "expression": np.asarray(labels.expression, np.float32),
        "landmarks478": landmarks.astype(np.float32),
        "weight478": np.float32(1),
        "source": np.uint8(source),
        "clip": np.int32(clip),
        "name": labels.name,
        "skin_ita": np.float32(labels.skin_ita),
        "eye_open": eyes.astype(np.float32),
        "mouth_open": np.float32(mouth),
        **more,
    }
