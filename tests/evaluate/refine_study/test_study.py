import json
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from steadyface.cli import app
from steadyface.errors import InputError
from steadyface.evaluate import report
from steadyface.evaluate.refine_study import study
from steadyface.evaluate.refine_study.ablation import STEPS
from steadyface.evaluate.refine_study.kept import kept
from steadyface.evaluate.refine_study.speed import Timing
from steadyface.evaluate.refine_study.study import PARTS, RefinePlan, run_parts
from steadyface.evaluate.tables import Result


def test_what_was_measured_is_kept_until_something_changes(tmp_path):
    video, path, calls = tmp_path / "video", tmp_path / "new" / "a.json", []
    video.write_text("frames")

    def measure():
        calls.append(1)
        return {"a": float("nan"), "b": {"c": len(calls)}}

    first = kept(path, (video,), 10, measure)
    assert first["b"] == {"c": 1}
    assert np.isnan(kept(path, (video,), 10, measure)["a"])
    assert len(calls) == 1
    assert kept(path, (video,), 5, measure)["b"] == {"c": 2}
    video.write_text("other frames")
    assert kept(path, (video,), 5, measure)["b"] == {"c": 3}
    path.write_text("{")
    assert kept(path, (video,), 5, measure)["b"] == {"c": 4}


def test_an_interruption_keeps_nothing(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "a.json", (), 1, interrupted)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folders(tmp_path):
    """The tables of a benchmark of six clips, and of two clips, whose videos are never read."""
    root, videos = tmp_path / "bench", tmp_path / "videos"
    rows = [
        {"name": f"{c}{i}", "category": c, "condition": "hand" if (c, i) == ("C", 2) else "clean"}
        for c in "ABC"
        for i in (1, 2)
    ]
    root.mkdir()
    (root / "steadybench.json").write_text(json.dumps({"format": "steadybench", "clips": rows}))
    videos.mkdir()
    np.savez(videos / "mediapipe478.npz", x=np.zeros((3, 478, 3)), y=np.zeros((3, 478, 3)))
    for name in "xy":
        (videos / f"{name}.mp4").touch()
    return root, videos


def test_fewer_clips_come_from_all_categories(folders):
    root, _ = folders
    assert RefinePlan(root).names() == ["A1", "A2", "B1", "B2", "C1", "C2"]
    assert RefinePlan(root, limit=3).names() == ["A1", "B1", "C2"]
    assert RefinePlan(root, limit=9).names() == RefinePlan(root).names()


def test_the_command_line_says_what_is_not_the_default():
    plan = RefinePlan(videos=Path("a b"), limit=4, epochs=7)
    assert plan.command("ablation") == "steadyface benchmark refine --only ablation --videos 'a b' --limit 4"
    assert plan.command("paper") == "steadyface benchmark refine --only paper --epochs 7"
    assert plan.command("speed") == "steadyface benchmark refine --only speed"
    assert RefinePlan(every=5).command("occluders") == "steadyface benchmark refine --only occluders"


def test_plans_that_make_no_sense_are_refused():
    for name in ("limit", "every", "processes", "epochs", "frames"):
        with pytest.raises(InputError, match=f"{name} must be at least 1, got 0"):
            RefinePlan(**{name: 0})
    with pytest.raises(InputError, match="unknown part 'magic': known are ablation, occluders"):
        list(run_parts(RefinePlan(), ["magic"]))


class Here:
    """Like `OneCore`, in this process."""

    def __init__(self, which=0):
        pass

    def __enter__(self):
        return self

    def __call__(self, function, *args):
        return function(*args)

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future

    def __exit__(self, *_):
        pass


@pytest.fixture
def stand_ins(folders, monkeypatch):
    """All that takes long, replaced; a list of the clips that the steps were measured on."""
    root, _ = folders
    names = [row["name"] for row in json.loads((root / "steadybench.json").read_text())["clips"]]
    for name in names:
        (root / name).mkdir()
        for file in ("video.mp4", "truth.npz"):
            (root / name / file).touch()
    clips = [SimpleNamespace(name=n, source=root / n / "video.mp4") for n in names]
    measured = []

    def steps(clip, every):
        measured.append(clip.name)
        return {
            step: {"found": 100, "nme": 4 - k, "nmf": 4 - k, "jitter": 4 - k, "refined": 100}
            | {"ssim": 0.8 + k / 20, "ssim_seen": 0.8 + k / 20}
            for k, step in enumerate(STEPS)
        }

    def evaluate(items, contenders, out, *, progress):
        return [
            Result(c.name, i.name, SimpleNamespace(frames={"error": np.ones(3)}), {})
            for c in contenders
            for i in items
        ]

    terms = {"objective": 0.1, "1 - SSIM": 0.1, "change of expression and pose": 0.0, "irradiance": 0.0}
    modes = {
        "coarse": {"objective": 0.2},
        **{mode: {**terms, "seconds": 9.0} for mode in ("paper", "fast")},
        "given": {"frames": 16, "epochs": 40, "device": "cpu"},
    }
    timing = Timing(100, 128, 1.0, 0.5, 10.0, 5.0, 1.0, 0.5)
    monkeypatch.setattr(study, "read_steadybench", lambda root: iter(clips))
    monkeypatch.setattr(study, "study_clip", steps)
    monkeypatch.setattr(study, "OneCore", Here)
    monkeypatch.setattr(study, "evaluate", evaluate)
    monkeypatch.setattr(study, "measure_speed", lambda progress: {2: timing})
    monkeypatch.setattr(study, "compare_with_paper", lambda *a: modes)
    return measured


def test_all_parts_become_sections_that_can_be_shown(folders, stand_ins, tmp_path):
    root, videos = folders
    plan = RefinePlan(root, videos, tmp_path / "runs", clip="A1")
    told = []
    sections = list(run_parts(plan, progress=lambda *a: told.append(a)))
    names = ["refine_ablation", "refine_clips", "refine_occluders", "refine_speed", "refine_paper"]
    assert [s.name for s in sections] == names
    assert set(names) <= set(report.ORDER)
    assert all(t.met for s in sections for t in s.targets)
    for section in sections:
        page = report.save(section, tmp_path / "docs")
    text = page.read_text()
    assert text.index("Steps of the self-refinement, SteadyBench") < text.index(
        "Speed of the self-refinement"
    )
    assert ("steps on SteadyBench", 6, 6) in told
    assert sorted(stand_ins) == ["A1", "A2", "B1", "B2", "C1", "C2", "x", "y"]
    # What was measured is there the next time.
    list(run_parts(plan, ["ablation"]))
    assert len(stand_ins) == 8


def test_the_command_writes_the_parts_that_are_asked_for(folders, stand_ins, tmp_path):
    root, _ = folders
    args = ("benchmark", "refine", "--root", root, "--runs", tmp_path / "runs", "--out", tmp_path / "docs")
    result = CliRunner().invoke(app, [str(a) for a in (*args, "--only", "speed", "--only", "occluders")])
    assert result.exit_code == 0, result.exception
    written = {p.stem for p in (tmp_path / "docs" / "results").glob("*.json")}
    assert written == {"refine_speed", "refine_occluders"}
    assert set(PARTS) == {"ablation", "occluders", "speed", "paper"}


def test_what_is_missing_is_said(folders, stand_ins, tmp_path):
    root, _ = folders
    with pytest.raises(InputError, match="none of the 1 clips has a face hidden by hand"):
        list(run_parts(RefinePlan(root, limit=1), ["occluders"]))
    with pytest.raises(InputError, match="has no clip 'Z9': give another with --clip"):
        list(run_parts(RefinePlan(root, clip="Z9"), ["paper"]))
    with pytest.raises(InputError, match="expected layout"):
        list(run_parts(RefinePlan(tmp_path / "none"), ["ablation"]))


def test_the_command_and_the_plan_have_the_same_defaults():
    import inspect

    from steadyface.evaluate.command import refine

    parameters = inspect.signature(refine).parameters
    for name, value in vars(RefinePlan()).items():
        assert parameters[name].default == value, name
