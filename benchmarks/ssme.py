"""How long `ssme` takes on 300 frames, 4,538 vertices (the face model's), 30 horizons and 5 regions.

python benchmarks/ssme.py [--rounds 3] [--out docs]

On one core, to which the process is bound (where the system lets it); the median of the rounds counts.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

FRAMES, VERTICES, HORIZONS, REGIONS = 300, 4538, 30, 5


def measure(rounds):
    """Seconds (rounds,) of `ssme` on points that move like a walk, with a tenth of them hidden."""
    from steadyface.evaluate.metrics import ssme

    rng = np.random.default_rng(0)
    gt = 300 + rng.normal(size=(FRAMES, VERTICES, 2)).cumsum(0)
    pred = gt + rng.normal(size=gt.shape)
    visible = rng.random((FRAMES, VERTICES)) < 0.9
    regions = {str(i): rng.random(VERTICES) < 0.3 for i in range(REGIONS)}
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        ssme(pred, gt, regions, HORIZONS, visible)
        spent.append(time.perf_counter() - start)
    return spent


def section(seconds):
    """The `Section` "ssme" of the seconds of the rounds."""
    from steadyface.evaluate.report import Section, Table, Target

    what = f"ssme, {FRAMES} frames x {VERTICES} vertices x {HORIZONS} horizons, {REGIONS} regions, one core"
    median = float(np.median(seconds))
    return Section(
        name="ssme",
        title="Cost of the screen-space motion error",
        command="python benchmarks/ssme.py",
        targets=(Target(what, median, "<=", 10.0, "s"),),
        tables=(
            Table(
                "Rounds in one process.",
                ("median s", "fastest s", "rounds"),
                ((median, float(min(seconds)), len(seconds)),),
            ),
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from steadyface.evaluate.report import save

    print(save(section(measure(args.rounds)), args.out))


if __name__ == "__main__":
    main()
