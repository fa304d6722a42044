"""The fast mode beside the paper's own, by the paper's objective, on the same frames."""

import time
from dataclasses import fields, replace

import numpy as np

from ...errors import InputError
from ...pipeline import refine, track
from ...refine.irradiance import VertexIrradiance
from ...refine.texture import VideoTexture
from ...video import read_video
from ..report import Section, Table, Target

#: Frames that both modes are given, and the paper's epochs: so many that the CPU takes some minutes.
FRAMES, EPOCHS = 16, 200
# Weights of the objective that leave one of its terms.
_TERMS = {
    "1 - SSIM": {"expression": 0, "pose": 0, "irradiance": 0},
    "change of expression and pose": {"irradiance": 0},
    "irradiance": {"expression": 0, "pose": 0},
}


def part_of(whole, rows):
    """The `Track` of some rows of another; rows: slice or (n,) int."""
    count = len(whole)
    arrays = {f.name: getattr(whole, f.name) for f in fields(whole) if f.name != "model"}
    shared = ("identity", "center", "dense_vertices", "texture", "texture_confidence", "image_size")
    cut = {
        name: np.asarray(a)[rows]
        for name, a in arrays.items()
        if name not in shared and np.ndim(a) and len(a) == count
    }
    return replace(whole, **cut)


def of_focal(found, focal):
    """A pinhole `Track` seen by a camera of another focal length, px: the same head, nearer or farther."""
    return replace(found, focal=focal, translation=found.translation * [1, 1, focal / found.focal])


def compare_with_paper(video, epochs=EPOCHS, count=FRAMES, device="cpu"):
    """Both modes on the first frames of a video: `compare_modes`, with what was asked for under "given".

    epochs: of the paper's texture phase; count: frames; device: torch's name of one. Raises
    InputError without torch.
    """
    try:
        from ...refine.paper import PaperConfig
    except ModuleNotFoundError as e:
        raise InputError(f"the paper's mode needs {e.name}: install steadyface with its extra 'train'") from e

    coarse = part_of(track(video, "standard", max_faces=1)[0], slice(count))
    wanted = {int(index): row for row, index in enumerate(coarse.frame_index)}
    with read_video(video) as reader:
        frames = [(wanted[f.index], f.image) for f in reader if f.index in wanted]
    start = time.perf_counter()
    fast = refine(video, coarse)[0]
    spent = time.perf_counter() - start
    config = PaperConfig(frames=len(coarse), batch=len(coarse), epochs=epochs)
    found = compare_modes(frames, coarse, fast, config, device)
    found["fast"]["seconds"] = spent
    return {
        **found,
        "given": {"frames": len(frames), "epochs": epochs, "device": device},
    }


def compare_modes(frames, coarse, fast, config, device="cpu", progress=None):
    """The paper's mode beside a `Track` of the fast one: mode to terms of the objective, means of frames.

    frames: list of (row, image); coarse: `Track` that both start from; config: `PaperConfig`; device:
    torch's name of one; progress: called with the paper's epochs done and their number. Beside the modes
    there is "coarse": the objective of the coarse face in the mean of its sampled textures. The paper's mode
    has its seconds, too. Needs torch.
    """
    from ...refine.paper import ObjectiveWeights, evaluate_objective, refine_paper

    slow = refine_paper(frames, coarse, config, device=device, progress=progress)
    light = VertexIrradiance(coarse.model)

    def terms(found, texture, irradiance):
        def mean(**weights):
            values = evaluate_objective(
                *(frames, found, coarse, texture.color, texture.uv, irradiance),
                size=config.crop,
                weights=ObjectiveWeights(**weights),
            )
            return float(np.nanmean(list(values.values())))

        unlike = mean(**_TERMS["1 - SSIM"])
        rest = {name: mean(**weights) - unlike for name, weights in _TERMS.items() if name != "1 - SSIM"}
        return {"objective": unlike + sum(rest.values()), "1 - SSIM": unlike, **rest}

    def fast_light(row):
        return light(fast.vertices(row), fast.irradiance[row])

    return {
        "coarse": {"objective": float(np.nanmean(slow.objective_before))},
        "paper": {"seconds": slow.seconds, **terms(slow.track, slow.texture, slow.vertex_irradiance)},
        "fast": terms(of_focal(fast, coarse.focal), VideoTexture.of_track(fast), fast_light),
    }


def paper_section(found, command):
    """The `Section` of clip to what `compare_with_paper` gives."""
    columns = ("objective", *_TERMS, "seconds")
    rows = tuple(
        (clip, mode, *(of[mode].get(c) for c in columns))
        for clip, of in found.items()
        for mode in ("coarse", "paper", "fast")
    )
    objective = [of["fast"]["objective"] / of["paper"]["objective"] for of in found.values()]
    ratio = [of["paper"]["seconds"] / of["fast"]["seconds"] for of in found.values()]
    given = next(iter(found.values()))["given"]
    return Section(
        name="refine_paper",
        title="The fast mode beside the paper's",
        command=command,
        targets=(Target("objective of the fast mode over the paper's, largest", max(objective), "<=", 1.0),),
        tables=(Table("The paper's objective, means of frames.", ("clip", "mode", *columns), rows),),
        notes=(
            f"Both refine the same {given['frames']} frames of the standard quality's track, all of them in "
            f"the texture phase; the paper's mode for {given['epochs']} epochs on {given['device']}, "
            f"where it takes {min(ratio):.0f} times as long as the fast one or more (a CPU: one core). "
            "The objective is SR-VFA's, 1 - SSIM + 0.1 |change of expression| + 0.1 |change of pose| + "
            "0.5 |irradiance - 1|, of which the last columns show the terms; changes count from the coarse "
            "track, whose focal length both are drawn with; the coarse face wears the mean of its frames.",
        ),
    )
