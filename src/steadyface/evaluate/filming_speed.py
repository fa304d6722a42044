"""How fast SteadyBench and training pictures are filmed; needs no data."""

import tempfile
import time
from dataclasses import replace

import numpy as np

from .report import Section, Table
from .speed import OneCore, cores

#: Clips that are timed, one of each category, and people of training pictures.
CLIPS, PEOPLE = 3, 2


def film_clips(frames, seed):
    """Film one short clip of each category: frames filmed and seconds spent, preparations left out."""
    from .steadybench.cast import build_cast
    from .steadybench.make import film_clip
    from .steadybench.plan import make_plan

    cast = build_cast()
    plans = [replace(p, frames=frames) for p in make_plan(seed, CLIPS)]
    with tempfile.TemporaryDirectory() as folder:
        film_clip(replace(plans[0], frames=2), cast, folder)
        start = time.perf_counter()
        for plan in plans:
            film_clip(plan, cast, folder)
        return frames * len(plans), time.perf_counter() - start


def film_training_pictures(moments, seed):
    """Film a few people for training: pictures made and seconds spent, preparations left out."""
    from ..learn.filming import film_scene, training_cast

    cast = training_cast()
    film_scene(cast, np.random.default_rng(seed), 1)
    start = time.perf_counter()
    count = sum(len(film_scene(cast, np.random.default_rng([seed, k]), moments)) for k in range(PEOPLE))
    return count, time.perf_counter() - start


def measure_film(frames=25, moments=10, progress=None):
    """The `Section` "film": frames a second of SteadyBench's clips and of training pictures, by cores.

    frames: of each of `CLIPS` clips; moments: of each of `PEOPLE` people, two pictures each; progress:
    called with the parts done and their number.
    """
    parts = (
        ("SteadyBench, 640 x 480, with truth and video file", film_clips, frames),
        ("training pictures, of frames of 320 x 240", film_training_pictures, moments),
    )
    counts = sorted({1, min(2, len(cores()))})
    rows = []
    for name, function, size in parts:
        rates = []
        for count in counts:
            alone = [OneCore(k) for k in range(count)]
            try:
                futures = [one.__enter__().submit(function, size, seed) for seed, one in enumerate(alone)]
                rates.append(sum(made / spent for made, spent in (f.result() for f in futures)))
            finally:
                for one in alone:
                    one.__exit__()
            if progress:
                progress(len(rows) * len(counts) + len(rates), len(parts) * len(counts))
        rows.append((name, *rates))
    return Section(
        name="film",
        title="Speed of filming",
        command="steadyface benchmark film",
        tables=(
            Table(
                "Frames a second with so many cores, one process each.",
                ("what", *(f"{n} core{'s' * (n > 1)}" for n in counts)),
                tuple(rows),
            ),
        ),
        notes=(
            "Heads wear the averaged texture. Clips are one of each category; what is made once for all "
            "clips is not counted.",
        ),
    )
