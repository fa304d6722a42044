"""Commands that measure steadyface: `steadyface evaluate clips | portraits | render`."""

from pathlib import Path
from typing import Annotated

import typer

from .report import render, save

app = typer.Typer(help="Measure steadyface and write docs/results.md.", no_args_is_help=True)
Out = Annotated[Path, typer.Option(help="Folder of results.md and results/*.json.")]


@app.command()
def clips(
    videos: Annotated[Path, typer.Option(help="Folder of clips with mediapipe478.npz.")] = Path(
        "../shared/data/videos"
    ),
    out: Out = Path("docs"),
):
    """Agreement with MediaPipe, steadiness and delay of the live track on short clips."""
    from .clips import evaluate_clips

    typer.echo(save(evaluate_clips(videos), out))


@app.command()
def portraits(
    cache: Annotated[Path, typer.Option(help="Folder of heldout/ and heldout_profiled/.")] = Path("cache"),
    out: Out = Path("docs"),
):
    """Error on the held-out portraits, as they are and turned to profile."""
    from .portraits import evaluate_portraits

    typer.echo(save(evaluate_portraits(cache), out))


@app.command("render")
def render_command(out: Out = Path("docs")):
    """Write results.md again from the sections measured before."""
    typer.echo(render(out))


if __name__ == "__main__":
    app()
