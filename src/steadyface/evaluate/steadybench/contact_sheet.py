"""One picture with a frame of each clip, to look at a benchmark at a glance.

``python -m steadyface.evaluate.steadybench.contact_sheet docs/images/steadybench.jpg`` films those
frames of heads that wear the averaged texture; ``--root cache/steadybench`` takes them from its videos.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ...errors import OutputError
from ...output import replacing
from ..datasets.steadybench import read_steadybench
from .plan import make_plan

_INK = (255, 255, 255)
#: Which frame of a clip is shown, share of its length.
_AT = 0.5


def contact_sheet(root, columns=6, width=213, at=_AT, landmarks=False):
    """Frames of all clips of a benchmark folder, labelled with their names: (h, w, 3) uint8 RGB.

    at: which frame, share of a clip's length; landmarks: draw the true 68 points, those out of sight in red.
    Raises InputError if the folder is no benchmark.
    """
    tiles = []
    for clip in read_steadybench(root):
        i = min(int(at * len(clip)), len(clip) - 1)
        image = next(frame for k, frame in enumerate(clip.frames()) if k == i)
        if landmarks:
            truth = clip.attributes["truth"]
            draw_points(image, truth.points("ibug68", i), truth.visible_points("ibug68")[i])
        tiles.append(_tile(image, clip.name, width))
    return _grid(tiles, columns)


def preview(plan, cast, columns=6, width=213, at=_AT):
    """The same of clips that are not filmed yet: only the frames shown are, without compression.

    plan: list of `ClipPlan`; cast: `Cast`.
    """
    from .make import film_frames

    tiles = []
    for p in plan:
        ((image, _),) = film_frames(p, cast, [min(int(at * p.frames), p.frames - 1)])[2]
        tiles.append(_tile(image, p.name, width))
    return _grid(tiles, columns)


def _tile(image, name, width):
    height = round(width * image.shape[0] / image.shape[1])
    tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # A darkened strip, on which the name can be read whatever is behind it.
    strip = tile[-max(height // 10, 1) :]
    strip[:] = strip // 3
    place = (4, height - 5)
    cv2.putText(tile, name, place, cv2.FONT_HERSHEY_SIMPLEX, width / 640, _INK, 1, cv2.LINE_AA)
    return tile


def _grid(tiles, columns):
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def draw_points(image, points, visible):
    """Landmarks on a picture, in place: green, or red where they are out of sight."""
    for (x, y, _), seen in zip(points, visible, strict=True):
        color = (80, 255, 80) if seen else (255, 60, 60)
        cv2.circle(image, (round(x * 16), round(y * 16)), 24, color, -1, cv2.LINE_AA, 4)


def save_sheet(sheet, path, most_bytes=400_000):
    """Write a picture (h, w, 3) RGB as JPEG, as good as fits into most_bytes.

    Raises OutputError if it cannot be written.
    """
    path = Path(path)
    for quality in (90, 80, 70, 60, 50, 40):
        done, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise OutputError(f"cannot write {path}: the picture cannot be encoded")
        if len(data) <= most_bytes:
            break
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def main(
    out: Annotated[Path, typer.Argument(help="JPEG to write.", show_default=False)],
    root: Annotated[
        Path | None, typer.Option(help="Benchmark to take frames from; without it they are filmed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the plan to film frames of.")] = 0,
):
    """Write one picture with a frame of each clip."""
    from .cast import build_cast

    save_sheet(contact_sheet(root) if root else preview(make_plan(seed), build_cast()), out)
    typer.echo(out)


if __name__ == "__main__":
    typer.run(main)
