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

#: Names of the written videos, and the ways of `refine`.
OVERLAY, SIDE_BY_SIDE = "overlay.mp4", "side_by_side.mp4"
MODES = ("fast", "paper")

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results; made if missing.")]
Method = Annotated[
    str, typer.Option(help=f"Whose network follows the faces: {', '.join(ALIGNMENT_METHODS)}.")
]
Faces = Annotated[int, typer.Option(help="Most faces followed at once.", min=1)]
Threads = Annotated[int, typer.Option(help="Threads of the networks and the fit.", min=1)]
Overlay = Annotated[bool, typer.Option(help="Write overlay.mp4 too.")]
SideBySide = Annotated[
    bool, typer.Option(help="Write side_by_side.mp4 of refined tracks too: frame, render, difference.")
]


@app.command()
def track(
    video: Annotated[Path, typer.Argument(help="Video of one or more faces.", show_default=False)],
    out: Out = None,
    quality: Annotated[
        str,
        typer.Option(
            help="live: frame by frame, in real time; standard: fits all frames together; studio: then "
            "refines every frame against the face's own texture."
        ),
    ] = "standard",
    method: Method = DEFAULT,
    max_faces: Faces = 4,
    overlay: Overlay = True,
    side_by_side: SideBySide = True,
    threads: Threads = 1,
):
    """Track the faces of VIDEO: face0.npz, face0.csv (and so on, one a face), and overlay.mp4.

    The studio quality adds face0.obj, .mtl and .png, the face with its texture, and side_by_side.mp4. The
    folder is named after the video unless -o is given. Ctrl-C ends early and keeps what was done.
    """
    from .output import make_folder
    from .pipeline import refine as refine_tracks
    from .pipeline import track as track_video
    from .video import read_video

    read_video(video).close()
    folder = make_folder(out or Path(video.stem))
    _check_kept([video], folder, [])
    with _progress() as (stage, progress):
        report = {"stage": stage, "progress": progress, "note": _note}
        # The studio quality in two steps, for the side-by-side video shows both.
        first = "standard" if quality == "studio" else quality
        tracks = track_video(video, first, method=method, max_faces=max_faces, threads=threads, **report)
        before = tracks
        if quality == "studio":
            tracks = refine_tracks(video, before, threads=threads, **report)
    names = [f"face{i}" for i in range(len(tracks))]
    _write(video, tracks, before, folder, names, overlay=overlay, side_by_side=side_by_side)


@app.command()
def refine(
    tracks: Annotated[
        list[Path], typer.Argument(help="Tracks of one video, face0.npz and so on.", show_default=False)
    ],
    video: Annotated[Path, typer.Argument(help="The video that was tracked.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results; VIDEO_studio if not given.")
    ] = None,
    mode: Annotated[
        str, typer.Option(help="fast: without torch; paper: SR-VFA's own way, for a GPU, needs torch.")
    ] = "fast",
    epochs: Annotated[
        int | None, typer.Option(help="Of paper: steps of either phase; else 1000, the paper's.", min=1)
    ] = None,
    device: Annotated[str | None, typer.Option(help="Of paper: torch's name of one; else cpu.")] = None,
    overlay: Overlay = True,
    side_by_side: SideBySide = True,
    threads: Threads = 1,
):
    """Refine TRACKS of VIDEO against the faces' own textures, as the studio quality does.

    Writes the refined tracks under the same names into a folder of their own, with what `track` writes.
    """
    from .output import make_folder
    from .pipeline import refine as refine_tracks
    from .track import Track
    from .video import read_video

    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}: known are {', '.join(MODES)}")
    if mode == "fast" and (epochs, device) != (None, None):
        raise InputError("--epochs and --device are of the paper's mode: give --mode paper too")
    names = [path.stem for path in tracks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two tracks are named {twice}, and so would be their results: rename one")
    before = [Track.load(path) for path in tracks]
    read_video(video).close()
    folder = make_folder(out or Path(f"{video.stem}_studio"))
    _check_kept([video, *tracks], folder, names)
    with _progress() as (stage, progress):
        if mode == "fast":
            report = {"stage": stage, "progress": progress, "note": _note}
            refined = refine_tracks(video, before, threads=threads, **report)
        else:
            refined = _refine_paper(video, before, epochs, device or "cpu", stage, progress)
    if all(new is old for new, old in zip(refined, before, strict=True)):
        # Interrupted, or never in view, as the note has said: nothing is new.
        raise typer.Exit(1)
    _write(video, refined, before, folder, names, overlay=overlay, side_by_side=side_by_side)


@app.command()
def demo(
    out: Out = None,
    seconds: Annotated[float, typer.Option(help="Length.", min=1)] = 6.0,
    quality: Annotated[str, typer.Option(help="As of `steadyface track`.")] = "standard",
):
    """Render a talking, turning head whose truth is known, track it, and report the error."""
    from .demo import run_demo
    from .output import make_folder
    from .track import Track

    folder = make_folder(out or Path("steadyface_demo"))
    with _progress() as (stage, progress):
        report = run_demo(folder, seconds=seconds, quality=quality, stage=stage, progress=progress)
    typer.echo(report)
    if quality == "studio":
        tracks = [Track.load(folder / "face0.npz")]
        _write(folder / "demo.mp4", tracks, None, folder, ["face0"], overlay=False, side_by_side=True)


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


def _refine_paper(video, tracks, epochs, device, stage, progress):
    """The tracks as the paper's mode refines them."""
    from .pipeline import frames_of_tracks

    try:
        from .refine.paper import PaperConfig, refine_paper
        from .refine.paper.refined_track import refined_track
    except ModuleNotFoundError as e:
        raise InputError(
            f"the paper's mode needs {e.name}: install steadyface with its extra 'train', or use --mode fast"
        ) from e
    config = PaperConfig(epochs=epochs, inference_epochs=epochs) if epochs else PaperConfig()
    out = []
    for track in tracks:

        def frames(track=track):
            return ((row, image) for _, image, row in frames_of_tracks(video, [track], [range(len(track))]))

        found = refine_paper(frames, track, config, device=device, stage=stage, progress=progress)
        out.append(refined_track(found))
    return out


def _write(video, tracks, before, folder, names, *, overlay, side_by_side):
    """Write all results of tracks under their names, and say what they are."""
    from .export.head import write_head
    from .export.table import write_csv
    from .pipeline import overlay as write_overlay
    from .pipeline import side_by_side as write_side_by_side

    for t, name in zip(tracks, names, strict=True):
        path, textured = folder / name, t.texture is not None
        t.save(f"{path}.npz")
        write_csv(t, f"{path}.csv")
        if textured:
            write_head(t, f"{path}.obj")
        filled = 0 if t.interpolated is None else t.interpolated.sum()
        typer.echo(
            f"{path}.npz, .csv{', .obj, .mtl, .png' if textured else ''}: {len(t)} frames, "
            f"{t.time_s[-1] - t.time_s[0]:.1f} s"
            + (f", {filled} frames interpolated" if filled else "")
            + ("" if t.refined is None else f", {t.refined.sum()} frames refined")
        )
    # Live and standard tracks have no texture, and what was interrupted or never in view has none either.
    compared = side_by_side and all(t.texture is not None for t in tracks)
    if overlay:
        with _progress("overlay") as (_, progress):
            write_overlay(video, tracks, folder / OVERLAY, progress=progress)
        typer.echo(folder / OVERLAY)
    if compared:
        with _progress("side by side") as (_, progress):
            path = folder / SIDE_BY_SIDE
            write_side_by_side(video, tracks, path, before=before, progress=progress)
        typer.echo(folder / SIDE_BY_SIDE)


def _check_kept(inputs, folder, names):
    """Raise InputError if one of the inputs is what a result would be written to."""
    results = [f"{name}.{suffix}" for name in names for suffix in ("npz", "csv", "obj", "mtl", "png")]
    for result in (folder / name for name in (*results, OVERLAY, SIDE_BY_SIDE)):
        if result.exists() and any(result.samefile(path) for path in inputs):
            raise InputError(
                f"{result} is what came in, and would be overwritten: give another folder with -o"
            )


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
