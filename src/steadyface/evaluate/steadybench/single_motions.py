"""Clips of one head movement or one expression each, as SNaP-2DFe (Allaert et al. 2018) was recorded.

``python -m steadyface.evaluate.steadybench.single_motions --portraits cache/heldout --root ROOT``
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .make import make_steadybench
from .plan import ClipPlan

#: Movements by SNaP-2DFe's names; the class of `motion.SINGLE_MOTIONS` has "single-" before it.
MOVEMENTS = ("nothing", "diag", "pitch", "roll", "tx", "yaw")
#: Expressions by SNaP-2DFe's names, and the pose of `poses.POSES` that is each.
EXPRESSIONS = {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
FRAMES, SIZE = 40, (480, 360)


def single_motion_plan(people=4, seed=0, frames=FRAMES, size=SIZE):
    """`ClipPlan`s of every person: each movement with a neutral face, each expression with a still head.

    The clip with neither belongs to both. A person, the room and the light are the same in all of his or her
    clips, so that classes compare.
    """
    classes = [(f"single-{name}", "neutral") for name in MOVEMENTS]
    classes += [("single-nothing", pose) for pose in EXPRESSIONS.values() if pose != "neutral"]
    seeds = np.random.default_rng([seed, 3]).integers(2**48, size=people)
    return [
        ClipPlan(
            f"{motion.removeprefix('single-')}-{expression}-{k + 1}",
            *("A", "clean", motion, expression),
            tone=round((k + 0.5) / people, 4),
            seed=int(seeds[k]),
            frames=frames,
            size=size,
        )
        for k in range(people)
        for motion, expression in classes
    ]


def class_of(attributes):
    """What a clip of the set shows: pairs of "movement" or "expression" and its name.

    attributes: of a `Clip`.
    """
    motion, expression = attributes["motion"].removeprefix("single-"), attributes["expression"]
    names = {pose: name for name, pose in EXPRESSIONS.items()}
    shown = []
    if expression == "neutral":
        shown.append(("movement", motion))
    if motion == "nothing":
        shown.append(("expression", names[expression]))
    return shown


def main(
    root: Annotated[Path, typer.Option(help="Folder to film into.")],
    portraits: Annotated[
        Path | None,
        typer.Option(help="Cache of held-out portraits; without it heads wear an averaged texture."),
    ] = None,
    people: Annotated[int, typer.Option(help="How many.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Other people and rooms.")] = 0,
    processes: Annotated[int, typer.Option(help="That film at the same time.", min=1)] = 2,
):
    """Film clips of one movement or one expression each, in SteadyBench's layout."""

    def progress(done, total):
        typer.echo(f"\r{done} of {total} frames", nl=False, err=True)

    plan = single_motion_plan(people, seed)
    make_steadybench(root, plan, portraits=portraits, seed=seed, processes=processes, progress=progress)
    typer.echo("", err=True)


if __name__ == "__main__":
    typer.run(main)
