"""The commands that measure: `steadyface evaluate DATASET` and `steadyface benchmark NAME`."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError

benchmark = typer.Typer(help="Measure steadyface and write docs/results.md.", no_args_is_help=True)

Docs = Annotated[Path, typer.Option("--out", help="Folder of results.md and results/*.json.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Method to run; give it again for more.")]
Peers = Annotated[
    list[str] | None, typer.Option("--peer", help="Method and the python that has it: mediapipe=PYTHON")
]
Predictions = Annotated[
    list[str] | None, typer.Option("--prediction", help="Any tool's predictions: NAME=FOLDER of CLIP.npz")
]
Limit = Annotated[int | None, typer.Option(help="Only the first clips or images.")]


def evaluate(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset's reader.", show_default=False)],
    root: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    method: Methods = None,
    peer: Peers = None,
    prediction: Predictions = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report and of what is kept.")] = None,
    limit: Limit = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Of the reader: subset=category3")
    ] = None,
):
    """Run and score methods on DATASET: report.md, report.json and figures in the folder --out.

    The method is "live" unless others are given. A run that was interrupted goes on where it stopped.
    """
    from .datasets import read_dataset
    from .plots import check_plotting, draw_all
    from .protocol import evaluate as run
    from .protocol import limited
    from .report import save_alone
    from .tables import Comparison, dataset_section

    check_plotting()
    contenders = parse_contenders(method, peer, prediction)
    options = dict(_pair(text, "--option", "NAME=VALUE") for text in option or ())
    items = limited(read_dataset(dataset, root, **options), limit)
    folder = out or Path(f"evaluate_{dataset.lower()}")
    with progress_bar() as tell:
        results = run(items, contenders, folder, progress=tell)
    pictures = [(caption, path.name) for caption, path in draw_all(Comparison.of(results), folder)]
    words = [f"steadyface evaluate {dataset}", *(f"--method {c.name}" for c in contenders)]
    section = dataset_section(results, dataset.lower(), dataset, " ".join(words), pictures=pictures)
    typer.echo(save_alone(section, folder))


def parse_contenders(method, peer, prediction):
    """The `Contender`s of the options of the command line: lists of text, or None.

    Raises InputError if a NAME=VALUE is not one, or a method is not known.
    """
    from .protocol import Contender

    pythons = {n: Path(p) for n, p in (_pair(text, "--peer", "NAME=PYTHON") for text in peer or ())}
    folders = [_pair(text, "--prediction", "NAME=FOLDER") for text in prediction or ()]
    named = list(dict.fromkeys([*(method or ()), *pythons]))
    if not named and not folders:
        named = ["live"]
    return [Contender(n, python=pythons.get(n)) for n in named] + [
        Contender(n, folder=Path(f)) for n, f in folders
    ]


def _pair(text, option, form):
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"{option} needs {form}, got {text!r}")
    return name, value


@contextmanager
def progress_bar():
    """Bars on stderr, one for each thing that is done; yields `tell(what, done, total)`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {}

        def tell(what, done, total):
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield tell


def _told(tell, what):
    return lambda done, total: tell(what, done, total)


@benchmark.command()
def steadybench(
    root: Annotated[Path, typer.Option(help="Folder of the benchmark; made if missing.")] = Path(
        "cache/steadybench"
    ),
    portraits: Annotated[
        Path | None, typer.Option(help="Held-out portraits that people are made of.")
    ] = None,
    seed: Annotated[int, typer.Option(help="0 is the benchmark; others are other people.")] = 0,
    clips: Annotated[int, typer.Option(help="Number of clips.", min=3)] = 36,
    method: Methods = None,
    peer: Peers = None,
    prediction: Predictions = None,
    out: Docs = Path("docs"),
):
    """The rendered video benchmark with exact truth: film it if it is missing, then compare trackers."""
    from .leaderboard import run_steadybench

    contenders = parse_contenders(method, peer, prediction)
    with progress_bar() as tell:
        page = run_steadybench(root, portraits, seed, clips, contenders, out, tell)
    typer.echo(page)


@benchmark.command()
def live(
    seconds: Annotated[float, typer.Option(help="Length of the clip.", min=1)] = 5.0, out: Docs = Path("docs")
):
    """Milliseconds a frame of every stage of the live tracker, at several sizes of image."""
    from .report import save
    from .speed import measure_live

    with progress_bar() as tell:
        section = measure_live(seconds, progress=_told(tell, "sizes"))
    typer.echo(save(section, out))


@benchmark.command()
def train(
    iterations: Annotated[int, typer.Option(help="Iterations that count.", min=1)] = 30,
    threads: Annotated[int, typer.Option(help="Threads of the network.", min=1)] = 1,
    workers: Annotated[int, typer.Option(help="Processes that make batches.", min=0)] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Training to time; give it again for more. All by default.")
    ] = None,
    out: Docs = Path("docs"),
):
    """Samples a second of training every network, and how long it waits for data."""
    from .report import save
    from .training_speed import measure_train

    with progress_bar() as tell:
        section = measure_train(iterations, threads, workers, only, progress=tell)
    typer.echo(save(section, out))


@benchmark.command()
def networks(out: Docs = Path("docs")):
    """Parameters, multiply-adds and time a frame of every network, beside the papers' figures."""
    from .network_speed import measure_networks
    from .report import save

    with progress_bar() as tell:
        section = measure_networks(progress=_told(tell, "networks"))
    typer.echo(save(section, out))


@benchmark.command()
def fit(
    faces: Annotated[int, typer.Option(help="Faces to fit.", min=2)] = 128,
    out: Docs = Path("docs"),
):
    """Fits a second of the face model to 478 points."""
    from .report import save
    from .speed import measure_fit

    with progress_bar() as tell:
        section = measure_fit(faces, progress=_told(tell, "ways"))
    typer.echo(save(section, out))


@benchmark.command()
def film(
    frames: Annotated[int, typer.Option(help="Frames of each clip.", min=2)] = 25, out: Docs = Path("docs")
):
    """Frames a second of filming SteadyBench and training pictures."""
    from .filming_speed import measure_film
    from .report import save

    with progress_bar() as tell:
        section = measure_film(frames, progress=_told(tell, "parts"))
    typer.echo(save(section, out))


@benchmark.command()
def clips(
    videos: Annotated[Path, typer.Option(help="Folder of clips with mediapipe478.npz.")] = Path(
        "../shared/data/videos"
    ),
    quality: Annotated[str, typer.Option(help="As of `steadyface track`.")] = "live",
    method: Annotated[str, typer.Option(help="As of `steadyface track`.")] = "3ddfa_v2",
    out: Docs = Path("docs"),
):
    """Agreement with MediaPipe, steadiness and delay of the track on short clips."""
    from .clips import evaluate_clips
    from .report import save

    typer.echo(save(evaluate_clips(videos, quality, method=method), out))


@benchmark.command()
def portraits(
    cache: Annotated[Path, typer.Option(help="Folder of heldout/ and heldout_profiled/.")] = Path("cache"),
    out: Docs = Path("docs"),
):
    """Error on the held-out portraits, as they are and turned to profile."""
    from .portraits import evaluate_portraits
    from .report import save

    typer.echo(save(evaluate_portraits(cache), out))


@benchmark.command()
def views(
    root: Annotated[Path, typer.Option(help="Folder of the films; made if missing.")] = Path("cache/views"),
    portraits: Annotated[
        Path | None, typer.Option(help="Held-out portraits that people are made of.")
    ] = None,
    people: Annotated[int, typer.Option(help="People who are filmed.", min=1)] = 8,
    points: Annotated[str, typer.Option(help="Whose points are fitted: dense, live or exact.")] = "dense",
    processes: Annotated[int, typer.Option(help="People at the same time.", min=1)] = 2,
    out: Docs = Path("docs"),
):
    """What the fit gains from frames, cameras, the neutral prior and offsets; films people first."""
    from .fit_study.filming import FilmPlan
    from .fit_study.study import StudyPlan, run_study
    from .report import save

    plan = StudyPlan(FilmPlan(people), points)
    with progress_bar() as tell:
        section = run_study(root, plan, portraits, processes, _told(tell, "people"))
    typer.echo(save(section, out))


@benchmark.command()
def refine(
    root: Annotated[Path, typer.Option(help="Folder of the benchmark.")] = Path("cache/steadybench"),
    videos: Annotated[
        Path | None, typer.Option(help="Folder of clips with mediapipe478.npz, to be measured too.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="ablation, occluders, speed or paper; give it again for more. All by default."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of what is kept.")] = Path("runs/refine"),
    limit: Annotated[int | None, typer.Option(help="So many of the benchmark's clips, spread.")] = None,
    every: Annotated[int, typer.Option(help="Of so many frames one is drawn.", min=1)] = 10,
    processes: Annotated[int, typer.Option(help="Clips at the same time.", min=1)] = 2,
    clip: Annotated[str, typer.Option(help="Clip for the paper's mode.")] = "A01-talk-sway",
    epochs: Annotated[int, typer.Option(help="Of the paper's mode, whose own are 1000.", min=1)] = 200,
    frames: Annotated[int, typer.Option(help="Frames that the paper's mode is given.", min=1)] = 16,
    device: Annotated[str, typer.Option(help="Of the paper's mode: cpu or cuda.")] = "cpu",
    out: Docs = Path("docs"),
):
    """What each step of self-refinement gains, faces that something hides, speed, the paper's own mode."""
    from .refine_study.study import RefinePlan, run_parts
    from .report import save

    plan = RefinePlan(root, videos, runs, limit, every, processes, clip, epochs, frames, device)
    with progress_bar() as tell:
        for section in run_parts(plan, only, tell):
            typer.echo(save(section, out))


@benchmark.command()
def ablation(
    name: Annotated[
        str, typer.Argument(help="3ddfa_v2, displacement, local_motion or live.", show_default=False)
    ],
    runs: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/ablation"),
    iterations: Annotated[int | None, typer.Option(help="Optimizer steps of every variant.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures of a step.", min=1)] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of every variant.", min=1)] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Variant; give it again for more.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Pictures and share: FOLDER=0.6")] = None,
    steadybench: Annotated[Path, typer.Option(help="Folder of the benchmark.")] = Path("cache/steadybench"),
    videos: Annotated[Path, typer.Option(help="Folder of clips with mediapipe478.npz.")] = Path(
        "../shared/data/videos"
    ),
    minutes: Annotated[
        float | None, typer.Option(help="Begin no training after so many; 0 reports what there is.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the network.", min=1)] = 1,
    frames: Annotated[
        Path | None, typer.Option(help="Folder to keep decoded videos in, 6 GB; scores in half the time.")
    ] = None,
    out: Docs = Path("docs"),
):
    """A paper's ablation study at an equal budget; what is finished is kept, what was interrupted goes on."""
    from ..learn.ablations import find_ablation
    from ..learn.ablations.runs import run_ablation, with_options
    from ..learn.settings import read_shares
    from .report import save

    study = find_ablation(name)
    budget = with_options(study.budget, iterations, batch, read_shares(sets or ()), threads)
    section = run_ablation(
        *(study, runs / name, range(seeds), budget, only, steadybench, videos, minutes),
        pictures=out / "images",
        frames=frames,
    )
    typer.echo(save(section, out))


@benchmark.command()
def report(out: Docs = Path("docs")):
    """Write results.md again from the sections measured before."""
    from .report import render

    typer.echo(render(out))
