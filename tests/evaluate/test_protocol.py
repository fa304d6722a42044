"""Runs over clips and images: what is kept, what is done again, and the tables that come out."""

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from filmed_clip import T, clip_of, perfect, script_of

from steadyface.errors import InputError
from steadyface.evaluate.datasets.sample import Clip, Sample
from steadyface.evaluate.plots import draw_all
from steadyface.evaluate.prediction import Prediction
from steadyface.evaluate.protocol import Contender, evaluate, first_frames, limited
from steadyface.evaluate.scores import Scores
from steadyface.evaluate.stills import nearest
from steadyface.evaluate.tables import (
    Comparison,
    Result,
    ahead,
    dataset_section,
    gains,
    groups_of,
    yaw_bin,
)

SHIFT = {"live": 1.0, "mediapipe": 2.0}


@pytest.fixture
def clips(tiny_model, tmp_path):
    """Three clips of two categories, with files in the place of their videos."""
    out = []
    for i, (category, condition) in enumerate((("A", "clean"), ("B", "dim"), ("B", "side"))):
        video = tmp_path / f"clip{i}" / "video.mp4"
        video.parent.mkdir()
        video.write_bytes(b"video %d" % i)
        clip = clip_of(script_of(tiny_model, seed=i), f"clip{i}", category=category, condition=condition)
        out.append(replace(clip, source=video))
    return out


class Runner:
    """In the place of `run_method`: says the truth, a few pixels aside; notes what it was asked."""

    def __init__(self, clips):
        self.clips = {c.name: c for c in clips}
        self.asked = []

    def __call__(self, method, videos, out, *, python=None, progress=None):
        self.asked.append((method, tuple(videos), python))
        out.mkdir(parents=True, exist_ok=True)
        paths = []
        for i, name in enumerate(videos):
            truth = perfect(self.clips[name])
            found = np.ones(T, bool)
            if method == "mediapipe":
                found[: T // 2] = name != "clip0"
            hidden = np.where(found, 1, np.nan)[:, None, None]
            points = {m: (p[..., :2] + [0, SHIFT[method]]) * hidden for m, p in truth.points.items()}
            paths.append(out / f"{name}.npz")
            Prediction(method, found, points, seconds=np.full(T, 0.02), memory_mb=50.0).save(paths[-1])
            progress(i + 1, len(videos))
        return paths


CONTENDERS = [Contender("live"), Contender("mediapipe", python="/some/python")]


def test_every_method_is_run_on_every_clip_and_scored(clips, tmp_path):
    run, told = Runner(clips), []
    results = evaluate(clips, CONTENDERS, tmp_path / "out", progress=lambda *a: told.append(a), run=run)
    names = ("clip0", "clip1", "clip2")
    assert run.asked == [("live", names, None), ("mediapipe", names, "/some/python")]
    assert [(r.method, r.clip) for r in results] == [(m, n) for m in ("live", "mediapipe") for n in names]
    assert results[1].attributes == {"category": "B", "condition": "dim"}
    assert results[3].scores.values["found"] == pytest.approx(50)
    assert told[-1] == ("scoring mediapipe", 3, 3)
    for r in results:
        clip = next(c for c in clips if c.name == r.clip)
        eyes = np.linalg.norm(clip.landmarks[:, 36] - clip.landmarks[:, 45], axis=-1)
        expected = 100 * SHIFT[r.method] / eyes[r.scores.frames["found"]]
        assert r.scores.values["nme"] == pytest.approx(expected.mean())


def test_scores_are_kept_until_something_they_depend_on_changes(clips, tmp_path, monkeypatch):
    out, run = tmp_path / "out", Runner(clips)
    first = evaluate(clips, CONTENDERS, out, run=run_quietly(run))
    scored = []

    def counted(prediction, reference):
        scored.append(prediction.method)
        return Scores({"nme": 0.5}, {"found": prediction.found, "error": np.ones(T)})

    monkeypatch.setattr("steadyface.evaluate.protocol.score", counted)
    again = evaluate(clips, CONTENDERS, out, run=run_quietly(run))
    assert not scored
    for a, b in zip(first, again, strict=True):
        np.testing.assert_equal(dict(a.scores.values), dict(b.scores.values))
        np.testing.assert_equal(dict(a.scores.frames), dict(b.scores.frames))
    clips[1] = replace(clips[1], landmarks=clips[1].landmarks + 0.5)
    evaluate(clips, CONTENDERS, out, run=run_quietly(run))
    assert scored == ["live", "mediapipe"]
    (out / "scores" / "live" / "clip0.npz").write_bytes(b"cut off")
    evaluate(clips, CONTENDERS, out, run=run_quietly(run))
    assert scored == ["live", "mediapipe", "live"]


def run_quietly(run):
    return lambda *args, progress, **options: run(*args, progress=lambda *_: None, **options)


def test_predictions_of_any_tool_come_from_a_folder(clips, tmp_path):
    folder = tmp_path / "theirs"
    Runner(clips)("live", [c.name for c in clips], folder, progress=lambda *_: None)
    results = evaluate(clips, [Contender("theirs", folder=folder)], tmp_path / "out", run=None)
    assert [r.method for r in results] == ["theirs"] * 3
    (folder / "clip2.npz").unlink()
    with pytest.raises(InputError, match=r"lacks 1 of the 3 predictions, clip2\.npz first"):
        evaluate(clips, [Contender("theirs", folder=folder)], tmp_path / "out", run=None)


def test_what_cannot_be_run_is_refused(clips, tmp_path):
    with pytest.raises(InputError, match="unknown method 'magic': know studio, standard, live"):
        Contender("magic")
    with pytest.raises(InputError, match="empty"):
        evaluate([], CONTENDERS, tmp_path)
    for none in ([], [CONTENDERS[0]] * 2):
        with pytest.raises(InputError, match="one method at least, and every method once"):
            evaluate(clips, none, tmp_path)
    with pytest.raises(InputError, match="two clips"):
        evaluate([clips[0], clips[0]], CONTENDERS, tmp_path, run=Runner(clips))
    with pytest.raises(InputError, match="at least 1"):
        limited(clips, 0)
    assert limited(iter(clips), 2) == clips[:2]
    assert limited(iter(clips), None) == clips


def test_folders_of_images_become_videos_without_loss(tiny_model, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 24, 32, 3), np.uint8)
    files = []
    for i, image in enumerate(images):
        files.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(files[-1]), image[..., ::-1])
    clip = Clip("frames", "a/b", tuple(files), 3, "ibug68", rng.uniform(0, 30, (3, 68, 2)))
    seen = {}

    def run(method, videos, out, *, python, progress):
        out.mkdir(parents=True)
        capture = cv2.VideoCapture(str(videos["a_b"]))
        for i in range(3):
            _, seen[i] = capture.read()
        assert not capture.read()[0]
        Prediction("live", np.ones(3, bool), {"ibug68": clip.landmarks}).save(out / "a_b.npz")
        return [out / "a_b.npz"]

    (result,) = evaluate([clip], CONTENDERS[:1], tmp_path / "out", run=run)
    assert result.scores.values["nme"] == 0
    for i, image in enumerate(images):
        np.testing.assert_array_equal(seen[i][..., ::-1], image)


def test_a_video_may_go_on_after_its_annotation(clips):
    whole = perfect(clips[0])
    cut = first_frames(whole, 7)
    assert len(cut.found) == 7
    np.testing.assert_array_equal(cut.points["ibug68"], whole.points["ibug68"][:7])
    np.testing.assert_array_equal(cut.vertices, whole.vertices[:7])
    assert first_frames(whole, T) is whole


def made_result(method, clip, errors, found=None, yaw=None, **values):
    frames = {"error": np.asarray(errors, float), "found": np.isfinite(errors)}
    frames["per_bbox_sqrt"] = np.full(len(errors), 0.5)
    frames["per_bbox_diagonal"] = np.full(len(errors), 0.3)
    if found is not None:
        frames["found"] = np.asarray(found)
    if yaw is not None:
        frames["yaw"] = np.asarray(yaw, float)
    return Result(method, clip, Scores(values, frames), {"category": clip[0]})


def test_errors_are_pooled_over_the_frames_that_all_methods_found():
    nan = np.nan
    results = [
        made_result("a", "A1", [1, 2, 3, nan]),
        made_result("a", "B1", [5, 5, 5, 5]),
        made_result("b", "A1", [nan, 4, 4, 4]),
        made_result("b", "B1", [6, 6, nan, nan]),
    ]
    c = Comparison.of(results)
    assert c.pooled("a", "error", ["A1", "B1"]) == pytest.approx((2 + 3 + 5 + 5) / 4)
    assert c.pooled("b", "error", ["A1", "B1"], "per_bbox_sqrt") == pytest.approx((4 + 4 + 6 + 6) / 8)
    assert np.isnan(c.pooled("a", "error_68", ["A1"]))
    # Failures count all frames, not found ones as infinite.
    assert sorted(c.all_errors("b", ["A1"])) == [4, 4, 4, np.inf]
    assert groups_of(c, "category") == [("A", ["A1"]), ("B", ["B1"])]
    assert groups_of(c, "condition") == []


def test_a_third_method_does_not_decide_which_frames_two_are_compared_on():
    first = made_result("a", "A1", [1, 1, 8], nmf=1.0)
    second = made_result("b", "A1", [4, 4, 2], nmf=2.0)
    third = made_result("c", "A1", [1, 1, 1], found=[1, 1, 0], nmf=2.0)
    # (1 + 1 + 8) / (4 + 4 + 2), and not 2 / 8.
    for results in ([first, second], [first, second, third]):
        nme, nmf = ahead(results, "a", "b")
        assert nme.value == pytest.approx(1)
        assert nmf.value == pytest.approx(0.5)
    assert ahead([first, third], "a", "b") == ()
    told = {t.what.split(" of ")[0]: t for t in gains(results, "a", "b")}
    assert told["NME"].value == pytest.approx(nme.value)
    assert told["NME"].limit == 0.7
    assert set(told) == {"NME", "SSME", "jitter", "CD"}
    assert gains([first, third], "a", "b") == ()


def test_figures_of_clips_are_averaged_where_they_are_known():
    results = [made_result("a", f"A{i}", [1.0], nmf=v, lag=v) for i, v in enumerate((1.0, 2.0, 6.0))]
    results.append(made_result("a", "A3", [1.0]))
    c = Comparison.of(results)
    assert c.mean("a", "nmf", c.clips()) == pytest.approx(3)
    assert c.mean("a", "lag", c.clips(), np.median) == pytest.approx(2)
    assert np.isnan(c.mean("a", "jitter", c.clips()))


def test_yaw_bins_are_closed_at_their_upper_ends_and_their_mean_is_that_of_the_bins():
    np.testing.assert_array_equal(yaw_bin(np.array([0, -30, 30.1, 60, -75])), [0, 0, 1, 1, 2])
    result = made_result("a", "A1", [1, 1, 1, 4, 7], yaw=[0, 10, -20, 45, 80])
    section = dataset_section([result], "x", "X", "x")
    (table,) = [t for t in section.tables if "yaw" in t.caption]
    assert table.rows[0][1:5] == pytest.approx((1, 4, 7, 4))
    assert table.rows[0][-1] == pytest.approx(2)


def test_the_section_leaves_out_what_nobody_measured(clips, tmp_path):
    results = evaluate(clips, CONTENDERS, tmp_path / "out", run=run_quietly(Runner(clips)))
    section = dataset_section(
        results, "steadybench", "SteadyBench", "command", targets=ahead(results, *SHIFT)
    )
    by_caption = {t.caption.split(",")[0].split(":")[0].rstrip("."): t for t in section.tables}
    accuracy = by_caption["Accuracy"]
    assert accuracy.columns[:3] == ("method", "found %", "NME")
    assert [row[0] for row in accuracy.rows] == ["live", "mediapipe"]
    assert accuracy.rows[1][2] == pytest.approx(2 * accuracy.rows[0][2])
    assert "expression" not in by_caption["Surface"].columns if "Surface" in by_caption else True
    category = by_caption["By category"]
    assert [row[:2] for row in category.rows] == [(c, m) for c in "AB" for m in ("live", "mediapipe")]
    assert [row[:2] for row in by_caption["NME by condition"].rows] == [("clean", 1), ("dim", 1), ("side", 1)]
    nme = [t for t in section.targets if t.what.startswith("NME")]
    assert [t.value for t in nme] == pytest.approx([0.5, 0.5])
    assert all(t.met for t in nme)
    assert "120 frames" in section.notes[0]
    assert section.notes[1] == "Methods: live is live; mediapipe is mediapipe."
    for t in section.tables:
        assert all(len(row) == len(t.columns) for row in t.rows)
    json.dumps([t.rows for t in section.tables])


def test_figures_are_drawn_and_are_the_same_again(clips, tmp_path):
    results = evaluate(clips, CONTENDERS, tmp_path / "out", run=run_quietly(Runner(clips)))
    drawn = draw_all(Comparison.of(results), tmp_path / "a", "x_")
    assert [p.name for _, p in drawn] == ["x_ced.png", "x_ssme.png", "x_yaw.png", "x_jitter_lag.png"]
    again = draw_all(Comparison.of(results), tmp_path / "b", "x_")
    for (_, a), (_, b) in zip(drawn, again, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert cv2.imread(str(a)).std() > 5


def test_figures_that_results_do_not_allow_are_left_out(tmp_path):
    drawn = draw_all(Comparison.of([made_result("a", "images", [1.0, 9.0])]), tmp_path)
    assert [p.name for _, p in drawn] == ["ced.png"]


class FakeTrack:
    def __init__(self, shift, points):
        self.points = points + np.array([shift, 0, 0])
        self.rotation = np.zeros((1, 3))

    def landmarks(self, markup):
        return self.points[None] if markup == "ibug68" else np.zeros((1, 478, 3))


def test_stills_take_the_face_that_the_truth_means(tmp_path, monkeypatch, tiny_model):
    points = np.random.default_rng(2).uniform(0, 100, (68, 3))
    samples = [
        Sample("d", str(i), tmp_path / f"{i}.png", "ibug68", points[:, :2], attributes={"yaw": 0.8 * i})
        for i in range(3)
    ]
    for s in samples:
        cv2.imwrite(str(s.image_path), np.zeros((20, 20, 3), np.uint8))
    tracks = [FakeTrack(500, points), FakeTrack(1, points), FakeTrack(-90, points)]
    assert nearest(tracks, samples[0]) is tracks[1]
    assert nearest(tracks[:1], samples[0]) is None
    assert nearest([], samples[0]) is None
    answers = iter([tracks, [], tracks[:2]])
    monkeypatch.setattr("steadyface.pipeline.align", lambda image, tracker: next(answers))
    monkeypatch.setattr("steadyface.live.LiveTracker", lambda **_: SimpleNamespace(model=tiny_model))
    (result,) = evaluate(samples, [Contender("live")], tmp_path / "out")
    assert result.scores.values["found"] == pytest.approx(200 / 3)
    np.testing.assert_array_equal(result.scores.frames["found"], [True, False, True])
    eyes = np.linalg.norm(points[36, :2] - points[45, :2])
    assert result.scores.values["nme"] == pytest.approx(100 / eyes, rel=1e-5)
    assert "nmf" not in result.scores.values
    # The second run reads what the first one kept: nothing is left to answer.
    (again,) = evaluate(samples, [Contender("live")], tmp_path / "out")
    assert again.scores.values["nme"] == result.scores.values["nme"]
    with pytest.raises(InputError, match="mediapipe follows videos"):
        evaluate(samples, [Contender("mediapipe")], tmp_path / "out")
