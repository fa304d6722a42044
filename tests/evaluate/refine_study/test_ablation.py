from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from filmed_clip import T, clip_of, script_of

from steadyface.errors import NoFaceError
from steadyface.evaluate.refine_study import ablation
from steadyface.evaluate.refine_study.ablation import (
    STEPS,
    RememberedAligner,
    ablation_section,
    measure,
    refine_by_steps,
    study_clip,
)
from steadyface.studio import StudioSettings


class Counting:
    vertices, shape = "vertices", "shape"

    def __init__(self):
        self.calls = 0

    def __call__(self, image, guess, crop):
        self.calls += 1
        return self.calls


def test_a_face_in_a_frame_is_aligned_once():
    inner = Counting()
    aligner = RememberedAligner(inner)
    assert (aligner.vertices, aligner.shape) == ("vertices", "shape")
    image, guess = np.zeros((8, 8, 3), np.uint8), np.zeros((4, 2))
    assert [aligner(image, guess, None) for _ in range(3)] == [1, 1, 1]
    assert aligner(image + np.uint8(1), guess, None) == 2
    assert aligner(image, guess + 1, None) == 3
    assert inner.calls == 3


def test_every_step_begins_at_the_same_place_and_the_last_is_the_studio_quality(monkeypatch):
    asked = []

    def refine(video, start, *, aligner, settings):
        asked.append((video, start, aligner, settings))
        return [len(asked)]

    monkeypatch.setattr(ablation, "refine", refine)
    found = dict(refine_by_steps("video", "start", Counting()))
    assert found == dict(zip(STEPS, range(1, 5), strict=True))
    assert len({(v, s, id(a)) for v, s, a, _ in asked}) == 1
    configs = [settings.refine for *_, settings in asked]
    assert [c.iterations > 0 for c in configs] == [False, True, True, True]
    assert [c.own_identity for c in configs] == [False, False, True, True]
    assert [c.own_texture for c in configs] == [False, False, False, True]
    assert asked[-1][-1] == StudioSettings()


def studio_track(script, shift=0.0):
    """What `measure` reads of a track that says the truth of a script, some pixels off."""
    points = script.image_points("ibug68")
    return SimpleNamespace(
        frame_index=np.arange(T),
        landmarks=lambda name: points + np.array([shift, 0, 0]),
        refined=np.arange(T) < T // 2,
    )


def test_figures_are_those_of_the_51_points(tiny_model, monkeypatch):
    seen = []
    monkeypatch.setattr(
        ablation, "likeness", lambda *a: seen.append(a) or (0.9, 0.95 if a[-1] is not None else np.nan)
    )
    clip = clip_of(script_of(tiny_model))
    truth = clip.attributes["truth"]
    exact = measure(clip, studio_track(truth.script), 7)
    assert exact["nme"] == pytest.approx(0, abs=1e-9)
    assert exact["nmf"] == pytest.approx(0, abs=1e-6)
    assert (exact["found"], exact["refined"]) == (100, 50)
    assert (exact["ssim"], exact["ssim_seen"]) == (0.9, 0.95)
    assert seen[0][2] == 7
    assert seen[0][3] is truth.visible
    off = measure(clip, studio_track(truth.script, 2.0))
    assert off["nme"] > 1
    assert off["nmf"] == pytest.approx(0, abs=1e-6)
    late = studio_track(truth.script)
    late.frame_index = np.arange(T) + T // 2
    assert measure(clip, late)["found"] == 50


def test_a_clip_without_a_face_has_no_figures(monkeypatch):
    def track(*args, **options):
        assert options["filter"] is None
        raise NoFaceError("none")

    monkeypatch.setattr(ablation, "track", track)
    assert study_clip(SimpleNamespace(source="video")) == {}


def figures(values):
    """Figures of every step; values: of each step."""
    return {
        step: {"found": 100.0, "nme": v, "nmf": 50 * v, "jitter": v, "refined": 90.0}
        | {"ssim": 1 - v / 40, "ssim_seen": 1 - v / 50}
        for step, v in zip(STEPS, values, strict=True)
    }


def test_steps_that_help_reach_their_goals():
    results = {"a": ("A", figures((4, 3, 2, 1))), "b": ("B", figures((8, 6, 4, 3)))}
    section = ablation_section(results, True, 10, "command")
    assert (section.name, section.command) == ("refine_ablation", "command")
    assert [t.met for t in section.targets] == [True] * 4
    means, groups = section.tables
    assert means.columns == (
        "step",
        "NME %",
        "NMF",
        "jitter %",
        "SSIM",
        "SSIM of what is seen",
        "frames refined %",
    )
    assert means.rows[0][:3] == ("nothing", 6, 300)
    assert [row[:3] for row in groups.rows[:4]] == [
        ("A", step, v) for step, v in zip(STEPS, (4, 3, 2, 1), strict=True)
    ]
    assert section.targets[0].value == pytest.approx(0.75)
    assert section.targets[-1].value == pytest.approx(0.95)


def test_one_figure_that_gets_worse_is_enough_to_miss_a_goal():
    values = figures((4, 3, 2, 1))
    values["+ one identity"]["nmf"] = 151.0
    section = ablation_section({"a": ("A", values)}, True, 10, "command")
    # The step after it falls all the deeper.
    assert [t.met for t in section.targets] == [True, False, True, True]
    assert section.targets[1].value == pytest.approx(151 / 150)


def test_clips_without_truth_are_judged_by_jitter_and_ssim():
    values = figures((4, 3, 2, 1))
    # The distance to MediaPipe is no error.
    for step in values.values():
        step["nme"] = 1.0
        step["ssim_seen"] = np.nan
    section = ablation_section({"a": ("", values), "b": ("", {})}, False, 5, "command")
    assert section.name == "refine_clips"
    assert all(t.met for t in section.targets)
    assert "distance to MediaPipe %" in section.tables[0].columns
    assert {row[0] for row in section.tables[1].rows} == {"a"}
    assert "one frame in 5" in section.notes[0]
    assert "No face was found in b" in section.notes[1]


def test_nothing_found_meets_nothing():
    section = ablation_section({"a": ("A", {})}, True, 10, "command")
    assert not any(t.met for t in section.targets)


def test_the_steps_change_only_what_exists():
    config = StudioSettings().refine
    for changes in STEPS.values():
        replace(config, **changes)
