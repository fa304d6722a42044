"""Landmark displacement learning's ablation (table 3): the eight ways to use three discriminators.

``python -m steadyface.learn.ablations.displacement --runs runs/ablation --image-size 256 --width 1``
"""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...evaluate.report import save
from ..discriminators import NAMES, DiscriminatorConfig
from ..displacement_data import PairConfig
from ..displacement_export import export_displacement
from ..displacement_train import DisplacementConfig, DisplacementTrainer
from ..kept_result import kept_result
from ..settings import read_shares
from ..train import keep_memory
from .aligner import ParameterAligner
from .runs import (
    Ablation,
    Budget,
    Claim,
    Trained,
    Variant,
    comparison,
    order_table,
    run_ablation,
    with_options,
)

#: Table 3: NME percent on 300VW's categories by the discriminators in use.
PAPER = {
    (): (3.731, 4.060, 4.677),
    ("identity",): (3.315, 3.575, 3.912),
    ("expression",): (3.133, 3.284, 3.665),
    ("temporal",): (3.078, 3.192, 3.504),
    ("identity", "expression"): (3.099, 3.227, 3.601),
    ("identity", "temporal"): (2.912, 3.085, 3.311),
    ("expression", "temporal"): (2.721, 2.801, 3.057),
    NAMES: (2.495, 2.549, 2.734),
}
#: What all rows share unless told otherwise: sizes that a CPU trains; the paper's are 256 px and width 1.
IMAGE_SIZE, WIDTH = 96, 0.5
#: Iterations of the network that all rows go on from, over those of a row.
BASE_ITERATIONS = 3
#: Peak learning rates of that network and of the rows.
BASE_RATE, RATE = 1e-3, 3e-4


def _name(on):
    return "-".join(on) or "none"


def _title(on):
    return "With " + ", ".join(on) if on else "Without all"


def _variant(on, **shared):
    figures = dict(zip("ABC", PAPER[on], strict=True))
    return Variant(
        _name(on), _title(on), {"on": list(on), **shared}, {**figures, "mean": float(np.mean(PAPER[on]))}
    )


def config_of(variant, seed, out, budget):
    """The `DisplacementConfig` of a row, without what it starts from."""
    s = variant.settings
    return DisplacementConfig(
        out=str(out),
        batches=PairConfig(dict(budget.sets), size=budget.batch, image_size=s["image_size"], seed=seed),
        discriminators=DiscriminatorConfig(tuple(s["on"])),
        supervision=s["supervision"],
        width=s["width"],
        learning_rate=RATE if s["base"] else BASE_RATE,
        iterations=budget.iterations,
        heldout=dict(budget.heldout),
        validate_minutes=np.inf,
        checkpoint_minutes=1.0,
        threads=budget.threads,
        workers=0,
        seed=seed,
    )


def base_of(variant, seed, runs, budget, show):
    """The checkpoint that the rows of a seed go on from: trained now, or found; None for random weights.

    The variant's base is "own", a network trained without discriminators on the study's own pictures, a path
    of a checkpoint or exported network, or "" for random weights. Raises KeyboardInterrupt if training was
    interrupted.
    """
    base = variant.settings["base"]
    if base != "own":
        return base or None
    settings = {k: v for k, v in variant.settings.items() if k not in ("on", "base")}
    alike = replace(variant, name="base", settings={**settings, "on": [], "base": ""})
    longer = replace(budget, iterations=BASE_ITERATIONS * budget.iterations)
    out = Path(runs) / f"base-{longer.iterations}x{longer.batch}-{seed}"

    def make():
        trainer = DisplacementTrainer(config_of(alike, seed, out, longer), resume=True)
        trainer.run(show)
        return {"iterations": trainer.iteration} if trainer.progress() == 1 else None

    kept_result(out, {**settings, "seed": seed, **longer.settings()}, make)
    return str(out / "checkpoint.pt")


def train_variant(variant, seed, out, budget, show):
    """Train a row, going on from its checkpoint: `Trained`, or None if it was interrupted."""
    keep_memory()
    base = base_of(variant, seed, Path(out).parent, budget, show)
    trainer = DisplacementTrainer(replace(config_of(variant, seed, out, budget), init_from=base), resume=True)
    errors = trainer.run(show)
    if trainer.progress() < 1:
        return None
    path = Path(out) / "displacement.onnx"
    export_displacement(trainer.average.module, path, trainer.model.name)
    figures = {
        f"{name}_{key}": r[key] for name, r in errors.items() for key in ("error", "jitter") if key in r
    }
    return Trained(ParameterAligner(path, trainer.model), 1, figures)


_AGAINST = {"nme": "SteadyBench NME", "stability": "stability"}


def _claims():
    """Whatever is used beside others helps; motion helps most of all alone, identity least; all are best."""
    rows = list(PAPER)
    for less, more in combinations(rows, 2):
        if len(more) == len(less) + 1 and set(less) < set(more):
            yield Claim(_name(more), _name(less), "mean", _AGAINST)
    yield Claim("temporal", "expression", "mean", _AGAINST)
    yield Claim("expression", "identity", "mean", _AGAINST)


CLAIMS = tuple(_claims())


def tables(results):
    """The section's tables and notes."""
    every = [v.name for v in results.variants]
    ours = {f"NME {c} %": f"nme_{c}" for c in "ABC"}
    steady = {"stability %": "stability", "jitter %": "jitter", "NMF": "nmf", "lag": "lag", "lost": "losses"}
    rest = {
        **steady,
        "held-out videos %": "sequences_error",
        "clips: jitter %": "clips_jitter",
        "clips: distance %": "clips_distance",
        "training s": "train_s",
    }
    paper = {f"300VW-{c}": c for c in "ABC"}
    made = [
        comparison(results, "Table 3: the discriminators in use, NME by category.", every, ours, paper),
        comparison(results, "Steadiness, and what else was measured.", every, rest, {}),
    ]
    orders, counted = order_table(results, CLAIMS)
    first = results.variants[0].settings
    made = [t for t in (*made, orders) if t is not None and t.rows]
    return made, [n for n in (counted, _how(first), *_NOTES) if n]


def _how(settings):
    loss = {
        "landmarks": "the landmarks alone (eq. 1), as in the paper, with a weak prior on coefficients",
        "full": "the landmarks (eq. 1) and the true vertices and coefficients, which the paper's data lack",
    }[settings["supervision"]]
    size = f"ResNet-18 of width {settings['width']:g} at {settings['image_size']} px"
    return f"{size} (the paper: width 1, 256 px), which learns from {loss}."


def _start(base):
    if base == "own":
        return f"one network, trained {BASE_ITERATIONS} times as long before without discriminators"
    return Path(base).name if base else "random weights"


_NOTES = (
    "Of a pair's frames, one to six apart, the second is cropped by the answer to the first. SteadyBench: 68 "
    "points, hidden ones too, each frame cropped by the estimate before, without a filter; NME and stability "
    "by the root of the box' area; its categories are made after 300VW's. Held-out videos: the tenth of the "
    "training set's videos that no row was trained on, measured alike.",
)


def study(image_size=IMAGE_SIZE, width=WIDTH, base="own", supervision="landmarks"):
    """The `Ablation` with networks of a size. base: as of `base_of`."""
    shared = {"image_size": image_size, "width": width, "base": base, "supervision": supervision}
    return Ablation(
        name="displacement",
        title="Displacement discriminators",
        command="steadyface benchmark ablation displacement",
        variants=tuple(_variant(on, **shared) for on in PAPER),
        budget=Budget(
            iterations=400,
            batch=20,
            sets={"cache/sequences": 1.0},
            heldout={"sequences": "cache/sequences"},
        ),
        train=train_variant,
        tables=tables,
        unit="pairs of frames",
        start=_start(base),
    )


ABLATION = study()


def main(
    runs: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/ablation"),
    image_size: Annotated[int, typer.Option(help="Side of the crops, pixels.")] = IMAGE_SIZE,
    width: Annotated[float, typer.Option(help="ResNet width.")] = WIDTH,
    base: Annotated[
        str, typer.Option(help="Where rows start: own, a checkpoint's path, or nothing for random weights.")
    ] = "own",
    supervision: Annotated[str, typer.Option(help="landmarks as in the paper, or full.")] = "landmarks",
    iterations: Annotated[int | None, typer.Option(help="Optimizer steps of every row.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Pairs of a step.", min=1)] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of every row.", min=1)] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Row; give it again for more.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Videos and share: FOLDER=0.6")] = None,
    steadybench: Annotated[Path, typer.Option(help="Folder of the benchmark.")] = Path("cache/steadybench"),
    videos: Annotated[Path | None, typer.Option(help="Folder of clips with mediapipe478.npz.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no training after so many; 0 reports what there is.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the network.", min=1)] = 1,
    frames: Annotated[Path | None, typer.Option(help="Folder to keep decoded videos in, 6 GB.")] = None,
    out: Annotated[Path, typer.Option(help="Where the section is written.")] = Path("docs"),
):
    """Table 3 with networks of any size."""
    made = study(image_size, width, base, supervision)
    given = [
        f"--image-size {image_size}" * (image_size != IMAGE_SIZE),
        f"--width {width:g}" * (width != WIDTH),
        f"--base {base!r}" * (base != "own"),
        f"--supervision {supervision}" * (supervision != "landmarks"),
    ]
    if any(given):
        words = ["python -m steadyface.learn.ablations.displacement", *filter(None, given)]
        made = replace(made, command=" ".join(words))
    budget = with_options(made.budget, iterations, batch, read_shares(sets or ()), threads)
    section = run_ablation(
        *(made, runs / made.name, range(seeds), budget, only, str(steadybench), videos, minutes),
        frames=frames,
    )
    typer.echo(save(section, out))


if __name__ == "__main__":
    typer.run(main)
