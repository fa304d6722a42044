"""An ablation study: variants trained at an equal budget, scored alike, set beside the paper's figures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError
from ...evaluate.report import Section, Table
from ...output import make_folder
from ..kept_result import has_result, kept_result
from .scores import score

#: Two variants of one seed that differ by less than this share are not told apart.
EVEN = 0.01


@dataclass(frozen=True)
class Variant:
    """One row of a study.

    name: of its folder; title: of its row; settings: what is different in it, plain values that `train`
    understands; paper: name of a figure to the paper's value; least_iterations: a smaller budget leaves the
    variant out.
    """

    name: str
    title: str
    settings: dict = field(default_factory=dict)
    paper: dict = field(default_factory=dict)
    least_iterations: int = 0


@dataclass(frozen=True)
class Budget:
    """What every variant is given alike.

    iterations: optimizer steps; batch: pictures (or videos) of a step; sets: folder to share; heldout: name
    to folder, for `train`'s own figures; threads: of torch, which change no result.
    """

    iterations: int
    batch: int
    sets: Mapping[str, float]
    heldout: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1

    def settings(self):
        """What a result depends on, as plain values."""
        return {k: v for k, v in asdict(self).items() if k != "threads"}


class Trained(NamedTuple):
    """A trained variant: an aligner and its window, as `follow` takes them, and figures of its own."""

    aligner: Any
    window: int = 1
    figures: dict = {}  # noqa: RUF012 - nobody writes to it


@dataclass(frozen=True)
class Ablation:
    """A study.

    name: of its section, after "ablation_"; command: its command line without options; budget: the default;
    train: (variant, seed, out, budget, show) -> `Trained` or a plain (aligner, window), resumable from what
    it keeps in the folder `out`, None if it was interrupted; tables: `Results` -> (tables, notes) of the
    section; draw: (variant and seed to its run's folder, seeds, `Results`, folder of pictures) -> pairs of a
    caption and a file's path; unit: what a batch is counted in; start: what all variants start from; led: as
    `score` takes it.
    """

    name: str
    title: str
    command: str
    variants: tuple[Variant, ...]
    budget: Budget
    train: Callable
    tables: Callable
    draw: Callable | None = None
    unit: str = "pictures"
    led: bool = False
    start: str = "random weights"

    def variant(self, name):
        """The variant of a name. Raises InputError for an unknown one."""
        for v in self.variants:
            if v.name == name:
                return v
        raise InputError(f"unknown variant {name!r}: know {', '.join(v.name for v in self.variants)}")


@dataclass(frozen=True)
class Results:
    """What was measured: variants, in the study's order; runs: name to seed to a dict of figures."""

    variants: tuple[Variant, ...]
    runs: Mapping[str, Mapping[int, dict]]

    def __contains__(self, name):
        return bool(self.runs.get(name))

    def values(self, name, figure):
        """A figure of a variant, one for each of its seeds: (S,)."""
        return np.array([r[figure] for r in self.runs.get(name, {}).values() if r.get(figure) is not None])

    def cell(self, name, figure):
        """Mean, and standard deviation where there are several seeds: a table's cell, None if unknown."""
        return spread(self.values(name, figure))

    def pairs(self, a, b, figure):
        """A figure of two variants with the same seeds: two (S,)."""
        seeds = [s for s in self.runs.get(a, {}) if s in self.runs.get(b, {})]
        return tuple(np.array([self.runs[name][s].get(figure, np.nan) for s in seeds]) for name in (a, b))


def spread(values):
    """Mean and standard deviation of seeds as a table's cell: a number of one, text of several, else None."""
    values = np.asarray(values, float)
    if len(values) == 0:
        return None
    if len(values) == 1:
        return float(values[0])
    return f"{values.mean():.3g} ± {values.std(ddof=1):.2g}"


def seeds_note(seeds):
    """How a cell came about of so many seeds."""
    return "one seed" if len(seeds) == 1 else f"mean ± standard deviation of {len(seeds)} seeds"


def folder_of(runs, variant, budget, seed):
    """The folder of a run."""
    return Path(runs) / f"{variant.name}-{budget.iterations}x{budget.batch}-{seed}"


def run_ablation(
    ablation,
    out,
    seeds=(0,),
    budget=None,
    only=None,
    steadybench: str | Path | None = "cache/steadybench",
    clips=None,
    minutes=None,
    pictures=None,
    frames=None,
    show=True,
):
    """Train and score what is not there yet, and return the study's `Section`.

    out: folder of the runs; seeds: every variant with the first, then with the next one; budget: `Budget`,
    the study's by default; only: names of variants; steadybench, clips: folders of videos to score on, None
    to leave them out; minutes: begin no further run after so many, so that 0 reports what is finished;
    pictures: folder for drawings, None for none; frames: folder for the videos' decoded frames, some 6 GB,
    None to decode them for every run. Raises InputError for unknown names, if a folder holds a run
    with other settings, or if nothing is finished; KeyboardInterrupt if a training was interrupted.
    """
    budget = budget or ablation.budget
    chosen = [ablation.variant(n) for n in only] if only else list(ablation.variants)
    small = [v for v in chosen if v.least_iterations > budget.iterations]
    chosen = [v for v in chosen if v not in small]
    began = time.monotonic()
    runs = {v.name: {} for v in chosen}
    for seed in seeds:
        for v in chosen:
            folder = folder_of(out, v, budget, seed)
            late = minutes is not None and time.monotonic() - began >= 60 * minutes
            if late and not has_result(folder):
                continue
            runs[v.name][seed] = _result(
                ablation, v, seed, folder, budget, (steadybench, clips), frames, show
            )
    results = Results(tuple(chosen), runs)
    if not any(v.name in results for v in chosen):
        raise InputError(f"no run in {out} is finished: give the command more --minutes")
    return _section(ablation, results, seeds, budget, out, pictures, only, small)


def _result(ablation, variant, seed, folder, budget, videos, frames, show):
    def make():
        if show:
            print(f"{ablation.name}: {variant.title}, seed {seed}", flush=True)
        began = time.monotonic()
        trained = ablation.train(variant, seed, folder, budget, show)
        if trained is None:
            return None
        trained = Trained(*trained)
        trained_at = time.monotonic()
        figures = score(trained.aligner, trained.window, *videos, frames=frames, led=ablation.led)
        seconds = {"train_s": trained_at - began, "score_s": time.monotonic() - trained_at}
        return {k: _plain(x) for k, x in {**seconds, **trained.figures, **figures}.items()}

    settings = {"variant": asdict(variant)["settings"], "seed": seed, **budget.settings()}
    if ablation.led:
        settings["led"] = True
    return kept_result(folder, settings, make)


def _plain(x):
    # JSON has no NaN: what could not be measured is null.
    x = float(x)
    return x if np.isfinite(x) else None


def _section(ablation, results, seeds, budget, out, pictures, only, small):
    tables, notes = ablation.tables(results)
    drawn = ()
    if pictures is not None and ablation.draw is not None:
        pictures = make_folder(pictures)
        made = ablation.draw(lambda v, s: folder_of(out, v, budget, s), seeds, results, pictures)
        drawn = tuple((caption, f"{pictures.name}/{path.name}") for caption, path in made)
    words = [
        ablation.command,
        f"--iterations {budget.iterations} --batch {budget.batch} --seeds {len(seeds)}",
    ]
    if budget.sets != ablation.budget.sets:
        words += [f"--set {folder}={share:g}" for folder, share in budget.sets.items()]
    words += [f"--only {name}" for name in only or ()]
    return Section(
        name=f"ablation_{ablation.name}",
        title=ablation.title,
        command=" ".join(words),
        tables=tuple(tables),
        notes=tuple(n for n in (_budget_note(ablation, results, budget, seeds, small), *notes) if n),
        pictures=drawn,
    )


def _budget_note(ablation, results, budget, seeds, small):
    sets = " and ".join(Path(s).name for s in budget.sets)
    each = {v.title: len(results.runs[v.name]) for v in results.variants}
    missing = [t for t, n in each.items() if n == 0]
    fewer = [f"{t} {n}" for t, n in each.items() if 0 < n < len(seeds)]
    minutes = sum(r.get("train_s") or 0 for runs in results.runs.values() for r in runs.values()) / 60
    text = (
        f"Every variant took {budget.iterations:,} optimizer steps on {budget.batch} {ablation.unit} each "
        f"({budget.iterations * budget.batch:,} {ablation.unit}, of {sets}) from {ablation.start}; "
        f"{seeds_note(seeds)}; {minutes:.0f} minutes of training in all. That is a small fraction of a "
        "paper's training: sizes do not compare with the paper's, and an order may change with more."
    )
    if len(seeds) == 1:
        text += " Of one seed, a difference of a few percent may be chance."
    if small:
        text += f" The budget is too small for {', '.join(v.title for v in small)}."
    if missing:
        text += f" Not finished: {', '.join(missing)}."
    if fewer:
        text += f" Fewer seeds: {', '.join(fewer)}."
    return text


def comparison(results, caption, names, ours, paper):
    """A `Table` of variants: ours beside the paper's.

    names: of variants, those without a run are left out; ours: column to figure; paper: column to figure of
    the variants' `paper`.
    """
    rows = []
    for v in results.variants:
        if v.name in names and v.name in results:
            cells = [results.cell(v.name, figure) for figure in ours.values()]
            rows.append((v.title, *cells, *(v.paper.get(figure) for figure in paper.values())))
    return Table(caption, ("variant", *ours, *(f"paper: {c}" for c in paper)), tuple(rows))


@dataclass(frozen=True)
class Claim:
    """An order that the paper published: by `published`, its variant `better` is below `worse`.

    better, worse: names of variants; published: figure of `Variant.paper`; ours: figure to column of what it
    is held against; higher: whether more is better; measure: what is compared, where that needs telling.
    """

    better: str
    worse: str
    published: str
    ours: Mapping[str, str]
    higher: bool = False
    measure: str = ""


def order_table(results, claims, caption="Published orders, and whether they hold here."):
    """A `Table` of claims whose variants are there, and a sentence that counts how many hold.

    A cell has ours of both and "yes" or "no", or in how many seeds it holds where they disagree, or "even"
    where one seed alone tells them apart by less than `EVEN`. Counted as holding is what holds in the mean of
    the seeds that both have. Returns (None, "") without such a claim.
    """
    titles = {v.name: v for v in results.variants}
    columns = tuple(dict.fromkeys(c for claim in claims for c in claim.ours.values()))
    rows, told = [], {c: [] for c in columns}
    for claim in claims:
        if claim.better not in results or claim.worse not in results:
            continue
        a, b = (titles[n] for n in (claim.better, claim.worse))
        sign = ">" if claim.higher else "<"
        known = a.paper.get(claim.published), b.paper.get(claim.published)
        published = "–" if None in known else f"{known[0]:g} {sign} {known[1]:g}"
        cells = dict.fromkeys(columns)
        for figure, column in claim.ours.items():
            ours = results.pairs(a.name, b.name, figure)
            said = _held(ours[0], ours[1], claim.higher)
            if said is not None:
                cells[column], holds = said
                told[column].append(holds)
        measure = f", {claim.measure}" if claim.measure else ""
        rows.append((f"{a.title} better than {b.title}{measure}", published, *cells.values()))
    if not rows:
        return None, ""
    counts = "; ".join(f"by {c} {_count(told[c])}" for c in columns if told[c])
    note = f"Of the published orders hold here (in the mean of the seeds): {counts}."
    return Table(caption, ("order", "paper", *columns), tuple(rows)), note


def _held(better, worse, higher):
    known = np.isfinite(better) & np.isfinite(worse)
    better, worse = better[known], worse[known]
    if not len(better):
        return None
    gain = (better - worse) if higher else (worse - better)
    holds, seeds = bool(gain.mean() > 0), int((gain > 0).sum())
    words = ("yes" if holds else "no") if seeds in (0, len(gain)) else f"in {seeds} of {len(gain)} seeds"
    if len(gain) == 1 and abs(gain[0]) < EVEN * abs(worse[0]):
        holds, words = None, "even"
    return f"{better.mean():.3g} : {worse.mean():.3g}, {words}", holds


def _count(told):
    even = told.count(None)
    return f"{told.count(True)} of {len(told)}" + (f" ({even} even)" if even else "")


def with_options(budget, iterations=None, batch=None, sets=None, threads=None):
    """A budget with what is given replaced."""
    given = {"iterations": iterations, "batch": batch, "sets": sets, "threads": threads}
    return replace(budget, **{k: v for k, v in given.items() if v})
