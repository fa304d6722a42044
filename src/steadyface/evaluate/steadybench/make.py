"""Make SteadyBench: film the clips of a plan into a folder, with their truth.

``python -m steadyface.evaluate.steadybench.make --root cache/steadybench --portraits cache/heldout``
"""

import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ... import __version__
from ...errors import OutputError
from ...output import make_folder, replacing
from ...synthesis.conditions import Conditions
from ...synthesis.film import film
from ...synthesis.look import TEXTURE_SIZE, Look
from ...synthesis.stage import Stage
from ...video import write_video
from ..datasets.steadybench import FORMAT
from .cast import MEAN, Cast, build_cast, look_of_tone
from .clip import draw_script
from .plan import CONDITIONS, ClipPlan, make_plan
from .truth import Truth, plan_hash_of, save_truth

#: Of the layout on disk and of everything that is drawn: raised whenever the same plan gives other clips.
VERSION = 3
#: H.264 quality of clips whose condition does not ask for another.
_CRF = 12

Progress = Callable[[int, int], None]


def make_steadybench(
    root, plan=None, *, portraits=None, seed=0, processes=2, progress: Progress | None = None, model=None
):
    """Film a plan's clips: ROOT/NAME/video.mp4 and truth.npz of each, and ROOT/steadybench.json; returns
    ROOT.

    plan: list of `ClipPlan`, default `make_plan(seed)`; portraits: cache of held-out portraits whose skin the
    heads wear, None for the averaged texture; processes: that film at the same time; progress: called with
    the frames done and all frames; model: default the embedded one. Clips appear one by one and whole; those
    that are there already, filmed by the same plan, version and textures, are kept, so that an interrupted
    run is taken up by calling again. The same arguments give the same files, byte by byte, on the same
    versions of the libraries.

    Raises InputError if a portrait is not held out of training, OutputError if the folder cannot be written.
    """
    plan = make_plan(seed) if plan is None else list(plan)
    cast = build_cast(portraits, model)
    root = make_folder(root)
    table = root / "steadybench.json"
    missing = [p for p in plan if not _is_there(root / p.name, _digest(p, cast))]
    if missing:
        # A table promises that all its clips are there.
        table.unlink(missing_ok=True)
    total = sum(p.frames for p in plan)
    done = total - sum(p.frames for p in missing)

    def step(p):
        nonlocal done
        done += p.frames
        if progress:
            progress(done, total)

    if progress:
        progress(done, total)
    if processes == 1 or len(missing) < 2:
        for p in missing:
            film_clip(p, cast, root)
            step(p)
    else:
        _film_all(missing, root, portraits, model, min(processes, len(missing)), step)
    with replacing(table) as temporary:
        temporary.write_text(json.dumps(_table(plan, cast, seed), indent=1) + "\n")
    return root


def film_clip(plan: ClipPlan, cast: Cast, root):
    """Film one clip into ROOT/NAME, whole or not at all."""
    folder = Path(root) / plan.name
    work = folder.with_name(f".{plan.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    try:
        script, conditions, frames = film_frames(plan, cast)
        seen = []
        video = work / "video.mp4"
        with write_video(video, plan.size, plan.fps, conditions.crf, reproducible=True) as write:
            for i, (image, visible) in enumerate(frames):
                write(image, i / plan.fps)
                seen.append(visible)
        save_truth(Truth(script, np.stack(seen)), work / "truth.npz", _digest(plan, cast))
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except OSError as e:
        if isinstance(e, OutputError):
            raise
        raise OutputError(f"cannot write {folder}: {(e.strerror or str(e)).lower()}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def film_frames(plan, cast, frames=None):
    """The script of a plan, the `Conditions` it is filmed under, and its frames as `film` gives them.

    frames: which, default all.
    """
    # One generator for each part: more draws in one part change no other.
    script_rng, look_rng, stage_rng, film_rng = (np.random.default_rng([plan.seed, k]) for k in range(4))
    script = draw_script(plan, cast.model, script_rng, cast.fitted)
    texels = min(TEXTURE_SIZE, 2 ** int(np.ceil(np.log2(1.6 * plan.size[0]))))
    look = Look.random(look_rng, cast.of_tone(plan.tone), cast.head, texels)
    look = look_of_tone(look, plan.tone, look_rng)
    stage = Stage.random(stage_rng, plan.size, cast.of_tone(plan.tone))
    conditions = Conditions(**{"crf": _CRF, **CONDITIONS[plan.condition]})
    return (
        script,
        conditions,
        film(script, look, stage, conditions, film_rng, figure=cast.figure, frames=frames),
    )


def _film_all(plans, root, portraits, model, processes, step):
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, (portraits, model)) as pool:
        futures = {pool.submit(_film_here, p, root): p for p in plans}
        try:
            for future in as_completed(futures):
                future.result()
                step(futures[future])
        except BrokenProcessPool as e:
            raise OutputError(
                "a process that films was ended from outside, perhaps for want of memory: make again with "
                "fewer processes; the clips that are done are kept"
            ) from e
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_CAST: list[Cast] = []


def _start(portraits, model):
    cv2.setNumThreads(1)
    _CAST[:] = [build_cast(portraits, model)]


def _film_here(plan, root):
    film_clip(plan, _CAST[0], root)


def _digest(plan, cast):
    return plan.hash(VERSION, cast.name, cast.model.name)


def _is_there(folder, digest):
    return (folder / "video.mp4").is_file() and plan_hash_of(folder / "truth.npz") == digest


def _table(plan, cast, seed):
    rows = [
        {
            "name": p.name,
            **{k: getattr(p, k) for k in ("category", "condition", "motion", "expression", "tone")},
            **{k: getattr(p, k) for k in ("seed", "frames", "fps", "size")},
        }
        for p in plan
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "steadyface": __version__,
        "model": cast.model.name,
        "seed": seed,
        "textures": cast.name,
        "clips": rows,
    }


def main(
    root: Annotated[Path, typer.Option(help="Folder to film into.")],
    portraits: Annotated[
        Path | None,
        typer.Option(help="Cache of held-out portraits; without it heads wear an averaged texture."),
    ] = None,
    seed: Annotated[int, typer.Option(help="0 is the benchmark.")] = 0,
    clips: Annotated[int, typer.Option(help="How many, of the three categories alike.", min=3)] = 36,
    processes: Annotated[int, typer.Option(help="That film at the same time.", min=1)] = 2,
    sheet: Annotated[Path | None, typer.Option(help="Picture with a frame of each clip.")] = None,
):
    """Film SteadyBench's clips and their exact truth into a folder."""
    from .contact_sheet import contact_sheet, save_sheet

    def progress(done, total):
        typer.echo(f"\r{done} of {total} frames", nl=False, err=True)

    make_steadybench(
        root,
        make_plan(seed, clips),
        portraits=portraits,
        seed=seed,
        processes=processes,
        progress=progress,
    )
    typer.echo("", err=True)
    if sheet:
        save_sheet(contact_sheet(root), sheet)
        typer.echo(sheet)
    if portraits is None:
        typer.echo(
            f"textures: {MEAN!r}; results do not compare with those on held-out people", file=sys.stderr
        )


if __name__ == "__main__":
    typer.run(main)
