"""SteadyBench from nothing to the section of results: film what is missing, run, score, compare."""

import shlex
from pathlib import Path

from ..errors import InputError
from .datasets.steadybench import read_steadybench, read_table
from .plots import check_plotting, draw_all
from .protocol import evaluate
from .report import save
from .steadybench.plan import CATEGORIES, make_plan
from .tables import Comparison, ahead, dataset_section, gains, steps_up

#: Against whom, and by which of our methods, goals are set.
OURS, RIVAL = ("studio", "standard", "live"), "mediapipe"
#: Folder in the benchmark's, of predictions and scores.
RUNS = "runs"


def run_steadybench(root, portraits, seed, clips, contenders, docs, tell, *, make=None, run=None):
    """Write the section "steadybench" and its figures to the documentation: path of the page.

    root: folder of the benchmark, filmed first if it is missing; portraits: folder of held-out ones or None;
    seed, clips: of the plan; contenders: list of `Contender`; docs: folder of the page; tell: called with
    what is done, how much, and of how much; make, run: stand-ins for filming and running. Raises InputError
    if the folder holds another benchmark.
    """
    check_plotting()
    root, docs = Path(root), Path(docs)
    prepare(root, portraits, seed, clips, tell, make)
    options = {} if run is None else {"run": run}
    results = evaluate(read_steadybench(root), contenders, root / RUNS, progress=tell, **options)
    comparison = Comparison.of(results)
    drawn = draw_all(comparison, docs / "images", "steadybench_")
    table = read_table(root)
    described = "; ".join(f"{name}: {what}" for name, what in CATEGORIES.items())
    words = ["steadyface benchmark steadybench"]
    if clips != len(make_plan()):
        words.append(f"--clips {clips}")
    if portraits is not None:
        words.append(f"--portraits {shlex.quote(str(portraits))}")
    words += [f"--method {c.name}" for c in contenders if c.folder is None]
    words += [f"--prediction {c.name}=FOLDER" for c in contenders if c.folder is not None]
    section = dataset_section(
        results,
        "steadybench",
        f"SteadyBench, {len(table['clips'])} clips",
        " ".join(words),
        notes=(
            f"Categories: {described}. Version {table['version']}, seed {table['seed']}, textures "
            f"{table['textures']}; results of other versions, seeds or textures do not compare.",
        ),
        pictures=[(caption, f"images/{path.name}") for caption, path in drawn],
        targets=(
            *steps_up(results, "studio", "standard"),
            *gains(results, "standard", "live"),
            *(t for ours in OURS for t in ahead(results, ours, RIVAL)),
        ),
    )
    return save(section, docs)


def prepare(root, portraits, seed, clips, tell, make=None):
    """Film the benchmark unless it is there whole and of this version.

    Raises InputError if the folder holds another one, or another version of it whose portraits are not given.
    """
    from .steadybench.make import VERSION, make_steadybench

    make = make or make_steadybench
    if (root / "steadybench.json").is_file():
        table = read_table(root)
        real = table["textures"] != "mean"
        held = {"seed": table["seed"], "clips": len(table["clips"]), "portraits": real}
        # A benchmark that is there needs no portraits any more.
        asked = {"seed": seed, "clips": clips, "portraits": portraits is not None or real}
        for name, value in asked.items():
            if held[name] != value:
                raise InputError(
                    f"{root} holds a benchmark with {name} {held[name]}, not {value}: give the same, another "
                    "--root, or delete that folder"
                )
        if table["version"] == VERSION:
            return
        if real and portraits is None:
            raise InputError(
                f"{root} holds version {table['version']} of the benchmark, this is version {VERSION}: give "
                "--portraits, and it is filmed again"
            )
    make(
        *(root, make_plan(seed, clips)),
        portraits=portraits,
        seed=seed,
        progress=lambda done, total: tell("filming, frames", done, total),
    )
