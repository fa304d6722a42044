"""All parts of the study, one section each; what is measured of a clip is kept, so that a run can go on."""

import shlex
from concurrent.futures import as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...errors import InputError
from ..datasets.steadybench import read_steadybench, read_table
from ..datasets.videos import read_videos
from ..protocol import Contender, evaluate
from ..speed import OneCore, cores
from .ablation import ablation_section, study_clip
from .kept import kept
from .occluders import AFTER, BEFORE, CONDITIONS, occluders_section
from .paper import EPOCHS, FRAMES, compare_with_paper, paper_section
from .speed import Timing, measure_speed, speed_section

PARTS = ("ablation", "occluders", "speed", "paper")


@dataclass(frozen=True)
class RefinePlan:
    """What is measured on what.

    root: folder of SteadyBench; videos: folder of clips with MediaPipe's points, None for none; runs: folder
    of what is kept; limit: so many of SteadyBench's clips, spread over the categories, None for all; every:
    frames of which one is drawn for SSIM; processes: clips at the same time, a core each; clip: of
    SteadyBench, which the paper's mode is tried on; epochs, frames, device: of the paper's mode. Raises
    InputError for numbers below 1.
    """

    root: Path = Path("cache/steadybench")
    videos: Path | None = None
    runs: Path = Path("runs/refine")
    limit: int | None = None
    every: int = 10
    processes: int = 2
    clip: str = "A01-talk-sway"
    epochs: int = EPOCHS
    frames: int = FRAMES
    device: str = "cpu"

    def __post_init__(self):
        for name in ("limit", "every", "processes", "epochs", "frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")

    def command(self, part):
        """The command line that measures a part."""
        said = {"root": self.root, "videos": self.videos, "limit": self.limit, "every": self.every}
        if part == "paper":
            said = {"root": self.root, "clip": self.clip, "epochs": self.epochs, "frames": self.frames}
            said["device"] = self.device
        elif part == "occluders":
            del said["every"]
        elif part == "speed":
            said = {}
        words = [
            f"--{name} {shlex.quote(str(value))}"
            for name, value in said.items()
            if value is not None and value != getattr(RefinePlan, name)
        ]
        return " ".join(["steadyface benchmark refine --only", part, *words])

    def names(self):
        """SteadyBench's clips that count. Raises InputError if it is not there."""
        names = [row["name"] for row in read_table(self.root)["clips"]]
        if self.limit is None or self.limit >= len(names):
            return names
        return [names[round(i)] for i in np.linspace(0, len(names) - 1, self.limit)]


def run_parts(plan: RefinePlan, parts=None, progress=None):
    """Yields the `Section`s of parts as they are measured.

    parts: names of `PARTS`, all by default; progress: called with what is being done, how much of it is done,
    and of how much. Raises InputError for unknown parts and missing data.
    """
    parts = list(parts or PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"unknown part {unknown[0]!r}: known are {', '.join(PARTS)}")
    tell = progress or (lambda *_: None)
    for part in parts:
        yield from _MEASURES[part](plan, tell)


def _ablation(plan, tell):
    command = plan.command("ablation")
    names = plan.names()
    categories = {row["name"]: row["category"] for row in read_table(plan.root)["clips"]}
    found = _ablate(plan, plan.root, names, True, tell)
    yield ablation_section({n: (categories[n], found[n]) for n in names}, True, plan.every, command)
    if plan.videos is not None:
        names = [clip.name for clip in read_videos(plan.videos)]
        found = _ablate(plan, plan.videos, names, False, tell)
        yield ablation_section({n: ("", found[n]) for n in names}, False, plan.every, command)


def _ablate(plan, root, names, exact, tell):
    """Clip to figures of every step, several clips at the same time."""
    count, found = min(plan.processes, len(names), len(cores())), {}
    what = f"steps on {'SteadyBench' if exact else 'clips'}"
    with ExitStack() as stack:
        alone = [stack.enter_context(OneCore(k)) for k in range(count)]
        futures = {}
        for k, name in enumerate(names):
            futures[alone[k % count].submit(_ablate_clip, root, name, exact, plan.every, plan.runs)] = name
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                tell(what, len(found), len(names))
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return found


def _ablate_clip(root, name, exact, every, runs):
    cv2.setNumThreads(1)
    reader = read_steadybench if exact else read_videos
    clip = next(c for c in reader(root) if c.name == name)
    beside = root / name / "truth.npz" if exact else root / "mediapipe478.npz"
    path = runs / "ablation" / ("steadybench" if exact else "clips") / f"{name}.json"
    return kept(path, (clip.source, beside), every, lambda: study_clip(clip, every))


def _occluders(plan, tell):
    wanted = {*plan.names()}
    conditions = {row["name"]: row["condition"] for row in read_table(plan.root)["clips"]}
    hidden = {n: c for n, c in conditions.items() if c in CONDITIONS and n in wanted}
    if not hidden:
        raise InputError(
            f"none of the {len(wanted)} clips has a face hidden by {', '.join(CONDITIONS)}: raise the limit"
        )
    contenders = [Contender(BEFORE), Contender(AFTER)]
    items = [clip for clip in read_steadybench(plan.root) if clip.name in hidden]
    # What the comparison of all methods has kept serves here, too.
    results = evaluate(items, contenders, plan.root / "runs", progress=tell)
    clips = []
    if plan.videos is not None:
        clips = evaluate(list(read_videos(plan.videos)), contenders, plan.runs / "clips", progress=tell)
    yield occluders_section(results, hidden, clips, plan.command("occluders"))


def _speed(plan, tell):
    timings: dict[int, Timing] = measure_speed(progress=lambda *n: tell("speed", *n))
    yield speed_section(timings, plan.command("speed"))


def _paper(plan, tell):
    video = plan.root / plan.clip / "video.mp4"
    if not video.is_file():
        raise InputError(f"{plan.root} has no clip {plan.clip!r}: give another with --clip")
    settings = (plan.epochs, plan.frames, plan.device)
    tell("the paper's mode", 0, 1)
    with OneCore() as alone:
        path = plan.runs / "paper" / f"{plan.clip}.json"
        found = kept(path, (video,), settings, lambda: alone(compare_with_paper, video, *settings))
    tell("the paper's mode", 1, 1)
    yield paper_section({plan.clip: found}, plan.command("paper"))


_MEASURES = {"ablation": _ablation, "occluders": _occluders, "speed": _speed, "paper": _paper}
