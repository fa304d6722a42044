"""The `steadyface` command: thin; parses, calls and prints."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .align.methods import ALIGNMENT_METHODS, DEFAULT
from .errors import InputError, SteadyfaceError
from .evaluate.command import benchmark, evaluate
from .fit_command import fit

app = typer.Typer(
    help="Fast, accurate and steady 3D dense face tracking in video, on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results; made if missing.")]
Method = Annotated[
    str, typer.Option(help=f"Whose network follows the faces: {', '.join(ALIGNMENT_METHODS)}.")
]
Faces = Annotated[int, typer.Option(help="Most faces followed at once.", min=1)]
Threads = Annotated[int, typer.Option(help="Threads of the networks and the fit.", min=1)]


@app.command()
def track(
    video: Annotated[Path, typer.Argument(help="Video of one or more faces.", show_default=False)],
    out: Out = None,
    quality: Annotated[
        str, typer.Option(help="standard: fits all frames together; live: one by one, in real time.")
    ] = "standard",
    method: Method = DEFAULT,
    max_faces: Faces = 4,
    overlay: Annotated[bool, typer.Option(help="Write overlay.mp4 too.")] = True,
    threads: Threads = 1,
):
    """Track the faces of VIDEO: face0.npz, face0.csv (and so on, one a face), and overlay.mp4.

    The folder is named after the video unless -o is given. Ctrl-C ends early and keeps what was done.
    """
    from .export.table import write_csv
    from .output import make_folder
    from .pipeline import overlay as write_overlay
    from .pipeline import track as track_video
    from .video import read_video

    read_video(video).close()
    folder = make_folder(out or Path(video.stem))
    with _progress() as (stage, progress):
        tracks = track_video(
            *(video, quality),
            method=method,
            max_faces=max_faces,
            threads=threads,
            stage=stage,
            progress=progress,
            note=_note,
        )
    for i, t in enumerate(tracks):
        t.save(folder / f"face{i}.npz")
        write_csv(t, folder / f"face{i}.csv")
        filled = 0 if t.interpolated is None else t.interpolated.sum()
        typer.echo(
            f"{folder / f'face{i}'}.npz, .csv: {len(t)} frames, {t.time_s[-1] - t.time_s[0]:.1f} s"
            + (f", {filled} frames interpolated" if filled else "")
        )
    if overlay:
        with _progress("overlay") as (_, progress):
            write_overlay(video, tracks, folder / "overlay.mp4", progress=progress)
        typer.echo(folder / "overlay.mp4")


@app.command()
def demo(
    out: Out = None,
    seconds: Annotated[float, typer.Option(help="Length.", min=1)] = 6.0,
    quality: Annotated[str, typer.Option(help="As of `steadyface track`.")] = "standard",
):
    """Render a talking, turning head whose truth is known, track it, and report the error."""
    from .demo import run_demo
    from .output import make_folder

    folder = make_folder(out or Path("steadyface_demo"))
    with _progress() as (stage, progress):
        report = run_demo(folder, seconds=seconds, quality=quality, stage=stage, progress=progress)
    typer.echo(report)


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def train(context: typer.Context):
    """Train the alignment network (needs the extra "train"); --help lists its options."""
    try:
        from .learn.train import main as train_regressor
    except ModuleNotFoundError as e:
        raise InputError(f"training needs {e.name}: install steadyface with its extra 'train'") from e
    trainer = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    trainer.command()(train_regressor)
    trainer(context.args, prog_name="steadyface train")


app.command()(fit)
app.command()(evaluate)
app.add_typer(benchmark, name="benchmark")


@app.command()
def info(
    networks: Annotated[
        bool, typer.Option("--networks", help="Sizes of every network, beside the papers'.")
    ] = False,
):
    """Version, face model, networks, qualities and the machine's part in it."""
    from .info import facts
    from .info import networks as table
    from .pipeline import QUALITIES

    if networks:
        columns, rows = table()
        rows = [columns, *rows]
    else:
        rows = [*facts(), *((f"quality {name}", what) for name, what in QUALITIES.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())


@contextmanager
def _progress(what=None):
    """Bars on stderr with frames a second, one for each stage; yields `stage(name)`, `progress(done, total)`.

    what: name of the first stage, None where `stage` is called before anything is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task):
            return Text(f"{task.completed / task.elapsed:.0f} frames/s" if task.elapsed else "")

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def finish():
            # A video may hold fewer frames than it promised.
            for task in bar.tasks:
                bar.update(task.id, total=task.completed)

        def stage(name):
            finish()
            bar.add_task(name, total=None)

        def progress(done, total):
            bar.update(bar.tasks[-1].id, completed=done, total=total)

        if what:
            stage(what)
        yield stage, progress
        finish()


def _note(sentence):
    typer.echo(f"note: {sentence}", err=True)


def main():
    """Run the command; an error of steadyface is one line on stderr and exit status 1."""
    try:
        app()
    except SteadyfaceError as e:
        typer.echo("error: " + " ".join(str(e).split()), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
