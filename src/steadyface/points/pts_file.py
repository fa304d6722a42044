"""Points in iBUG's .pts files, one a frame."""

import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from .image_points import ImagePoints


def read_pts(path, count=None, first=1.0):
    """Points of a .pts file, moved from its 1-based pixels to ours: (L, 2), or (L, 3) with depth.

    The file: `version: 1`, `n_points: 68`, then a line `x y` per point in braces; only x and y are moved.
    count: how many points there must be; first: what the file calls the centre of the top-left pixel. Raises
    InputError for any other content.
    """
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e
    head, opened, rest = text.partition("{")
    body, closed, _ = rest.partition("}")
    try:
        rows = [[float(v) for v in line.split()] for line in body.splitlines() if line.strip()]
        widths = {len(row) for row in rows}
    except ValueError:
        rows, widths = [], set()
    promised = [
        line.partition(":")[2].strip() for line in head.splitlines() if line.strip().startswith("n_points")
    ]
    fits = widths in ({2}, {3}) and promised in ([], [str(len(rows))])
    if not (opened and closed and fits):
        raise InputError(f"{path} is not a .pts file: it needs n_points lines `x y` between braces")
    if count is not None and len(rows) != count:
        raise InputError(f"{path} has {len(rows)} points where {count} are expected")
    points = np.array(rows)
    points[:, :2] -= first
    return points


def read_pts_frames(paths):
    """Frames of .pts files, one each: `ImagePoints`.

    Files are numbered by the last number in their names, from 1 as in 300VW, or from 0 where there is a 0;
    where a name has no number, or two have the same, they are taken in the order of their names. Raises
    InputError if there is none or they do not have equally many points.
    """
    paths = sorted(Path(p) for p in paths)
    if not paths:
        raise InputError("there is no .pts file")
    found = [re.findall(r"\d+", p.stem) for p in paths]
    frames = np.array([int(n[-1][-15:]) if n else -1 for n in found], np.int64)
    if (frames < 0).any() or len(np.unique(frames)) < len(frames):
        frames = np.arange(len(paths))
    elif frames.min() > 0:
        frames -= 1
    order = np.argsort(frames)
    rows = [read_pts(paths[order[0]])]
    rows += [read_pts(paths[i], len(rows[0])) for i in order[1:]]
    return ImagePoints(np.stack([r[:, :2] for r in rows]), frame_index=frames[order])
