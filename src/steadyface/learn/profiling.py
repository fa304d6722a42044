"""A training set of portraits turned to large poses and new expressions (face profiling).

``python -m steadyface.learn.profiling --cache cache/portraits --out cache/profiled --count 16000``
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ..face_model.morphable import load_face_model
from ..rotation import euler_from_matrix, matrix_from_euler
from ..synthesis.expressions import vary_expression
from ..synthesis.head import build_head
from ..synthesis.photograph import take_apart
from ..synthesis.picture import crop_pose
from .sample_writer import PROFILED, Labels, write_samples
from .samples import read_set
from .short_video import turned_on

#: Photographs turned farther than this show too little of the face for more than a modest change.
FRONTAL_RAD = np.radians(35)


def source_weights(labels):
    """How often each portrait is profiled: (N,), sum 1; dark skin and colour more often, bad fits never.

    labels: mapping of the cache's arrays.
    """
    tone = labels["skin_ita"]
    weight = np.where(np.isfinite(tone), 2.0, 1.0)
    weight[tone < 38] = 4
    weight[tone < 15] = 8
    error = labels["fit_error"]
    weight[error > np.quantile(error, 0.95)] = 0
    return weight / weight.sum()


def draw_angles(rng, start, yaw_min=0.0, yaw_max=np.pi / 2):
    """New pitch, yaw and roll for a photograph whose own are start (3,), with |yaw| spread evenly."""
    pitch, yaw, _ = start
    if abs(yaw) > FRONTAL_RAD:
        turn = np.sign(yaw) * np.clip(abs(yaw) + rng.uniform(-0.25, 0.45), max(yaw_min, 0.2), yaw_max)
        return np.array([pitch + rng.normal(0, 0.1), turn, 0])
    amount = rng.uniform(yaw_min, yaw_max)
    # Turning farther the same way keeps to the side that the photograph shows better.
    same = rng.random() < (0.7 if abs(yaw) > 0.14 else 0.5)
    side = (1 if yaw > 0 else -1) * (1 if same else -1)
    tilt = np.clip(0.5 * pitch + rng.normal(0, 0.2 if amount < 1.05 else 0.12), -0.6, 0.6)
    return np.array([tilt, side * amount, 0])


def profile_cache(
    cache,
    out,
    count,
    seed=0,
    yaw_min=0.0,
    yaw_max=np.pi / 2,
    expressions=True,
    evenly=False,
    clip_length=1,
    processes=2,
    model=None,
):
    """Write a set of re-posed, re-expressed portraits.

    cache: folder written by `build_portrait_cache`; yaw_min, yaw_max: radians; expressions: vary them too;
    evenly: take every portrait equally often, as a measurement needs it, and not the rare kinds more often;
    clip_length: adjacent frames of each head, which the trainer's short videos then turn through
    (`short_video`); count: pictures in all. Raises InputError if the cache is missing.
    """
    images, labels = read_set(cache)
    head = build_head(model or load_face_model())
    angles = euler_from_matrix(labels["rotation"])
    clips = count // clip_length
    # Each source is taken apart once and makes two clips.
    rng, sources = np.random.default_rng(seed), (clips + 3) // 2 + 1
    if evenly:
        rounds = -(-sources // len(images))
        chosen = np.concatenate([rng.permutation(len(images)) for _ in range(rounds)])
    else:
        # A turned photograph cannot show large poses of its other side: take it less often.
        weights = source_weights(labels) * np.where(np.abs(angles[:, 1]) > FRONTAL_RAD, 0.5, 1)
        chosen = rng.choice(len(images), sources, p=weights / weights.sum())
    names = head.model.expression_names
    last = {}

    def make(clip):
        rng = np.random.default_rng([seed, clip])
        # Each process makes every processes-th clip, so its neighbours share a source.
        k = chosen[(clip // (2 * processes)) * processes + clip % processes]
        if last.get("k") != k:
            pose = (labels[key][k] for key in ("rotation", "scale", "translation", "identity", "expression"))
            last.update(k=k, photograph=take_apart(head, images[k], *pose))
        photograph = last["photograph"]
        start = draw_angles(rng, angles[k], yaw_min, yaw_max)
        expression = photograph.expression
        if expressions and rng.random() < 0.8:
            expression = vary_expression(expression, names, rng, 0.42, 0.4)
        name, tone = str(labels["name"][k]), float(labels["skin_ita"][k])
        turns = [start] if clip_length == 1 else turned_on(rng, start, clip_length)
        frames = []
        for rotation in map(matrix_from_euler, turns):
            picture = photograph.render(rotation, expression, rng)
            pose = crop_pose(rotation)
            frames.append((picture, Labels(*pose, photograph.identity, expression, name, tone)))
        return frames

    write_samples(out, clips, make, head.model, PROFILED, processes, clip_length, size=images.shape[1])


def main(
    cache: Annotated[Path, typer.Option(help="Portrait cache to take the photographs from.")] = Path(
        "cache/portraits"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("cache/profiled"),
    count: int = 16000,
    seed: int = 0,
    yaw_min: Annotated[float, typer.Option(help="Degrees.")] = 0.0,
    yaw_max: Annotated[float, typer.Option(help="Degrees.")] = 90.0,
    expressions: Annotated[bool, typer.Option(help="Vary the expression too.")] = True,
    evenly: Annotated[bool, typer.Option(help="Take every portrait equally often.")] = False,
    clip_length: Annotated[int, typer.Option(help="Adjacent frames of each head, turning on.", min=1)] = 1,
    processes: int = 2,
):
    """Turn portraits to new poses and expressions and write them as a set of samples."""
    cv2.setNumThreads(1)
    profile_cache(
        cache,
        out,
        count,
        seed,
        np.radians(yaw_min),
        np.radians(yaw_max),
        expressions,
        evenly,
        clip_length,
        processes,
    )


if __name__ == "__main__":
    typer.run(main)
