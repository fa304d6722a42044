"""SteadyBench: clips filmed of heads whose truth is known exactly (made by `evaluate.steadybench`)."""

import json
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .layout import choose, missing, require_file
from .sample import Clip, Mesh

LAYOUT = "steadybench.json, NAME/video.mp4 and NAME/truth.npz under the root"
FORMAT = "steadybench"


def read_steadybench(root, subset="all") -> Iterator[Clip]:
    """The clips of a benchmark folder with "ibug68" landmarks (T, 68, 3), which are exact.

    root: as `LAYOUT`; subset: "all" or a category: "A" (steady light), "B" (difficult light) or "C" (hidden,
    blurred, coarse or turned far). The mesh is that of frame t in the camera's frame, mm. attributes:
    category, condition, motion, expression, tone, textures ("mean" or "heldout-N"), truth (a `Truth`). Raises
    InputError if files are missing or are not a benchmark's.
    """
    root = Path(root)
    table = read_table(root)
    wanted = choose("steadybench", subset, {"all": ("A", "B", "C"), "A": ("A",), "B": ("B",), "C": ("C",)})
    rows = [row for row in table["clips"] if row["category"] in wanted]
    for row in rows:
        for file in ("video.mp4", "truth.npz"):
            require_file("steadybench", root / row["name"] / file, LAYOUT)
    return (_clip(root / row["name"], row, table["textures"]) for row in rows)


def read_table(root):
    """The contents of steadybench.json. Raises InputError if it is missing or is something else."""
    path = Path(root) / "steadybench.json"
    if not path.is_file():
        raise missing("steadybench", path, LAYOUT)
    try:
        table = json.loads(path.read_text())
        if table["format"] != FORMAT or not all(row["name"] for row in table["clips"]):
            raise KeyError("format")
    except (KeyError, TypeError, ValueError) as e:
        raise InputError(
            f"{path} is not the table of a benchmark: make one with steadyface.evaluate.steadybench"
        ) from e
    return table


def _clip(folder, row, textures):
    from ..steadybench.truth import load_truth

    truth = load_truth(folder / "truth.npz")
    model = truth.script.model
    return Clip(
        dataset="steadybench",
        name=row["name"],
        source=folder / "video.mp4",
        length=len(truth),
        markup="ibug68",
        landmarks=truth.points("ibug68"),
        visible=truth.visible_points("ibug68"),
        fps=truth.script.fps,
        mesh=lambda i: Mesh(truth.vertices(i), model.triangles),
        attributes={k: row[k] for k in ("category", "condition", "motion", "expression", "tone")}
        | {"textures": textures, "truth": truth},
    )
