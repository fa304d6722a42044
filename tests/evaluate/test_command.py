"""The commands: what they parse, run and write, with stand-ins for what takes long."""

import json
import os
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filmed_clip import T, clip_of, perfect, script_of
from typer.testing import CliRunner

from steadyface.cli import app
from steadyface.errors import InputError
from steadyface.evaluate import report
from steadyface.evaluate.command import parse_contenders
from steadyface.evaluate.datasets.steadybench import read_table
from steadyface.evaluate.filming_speed import film_clips, measure_film
from steadyface.evaluate.leaderboard import prepare, run_steadybench
from steadyface.evaluate.prediction import Prediction
from steadyface.evaluate.protocol import Contender
from steadyface.evaluate.speed import STAGES, OneCore, fit_row, measure_live, random_faces
from steadyface.evaluate.steadybench.make import VERSION


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.mark.parametrize(
    "name",
    [
        "steadybench",
        "live",
        "networks",
        "train",
        "fit",
        "film",
        "clips",
        "portraits",
        "views",
        "refine",
        "report",
        "ablation",
    ],
)
def test_every_benchmark_has_a_help(name):
    result = invoke("benchmark", name, "--help")
    assert result.exit_code == 0
    assert "--out" in result.output


def test_methods_peers_and_predictions_are_told_apart():
    assert parse_contenders(None, None, None) == [Contender("live")]
    found = parse_contenders(["dlib"], ["mediapipe=/x/bin/python", "dlib=/y"], ["mine=/folder"])
    assert found == [
        Contender("dlib", python=Path("/y")),
        Contender("mediapipe", python=Path("/x/bin/python")),
        Contender("mine", folder=Path("/folder")),
    ]
    assert parse_contenders(None, None, ["mine=/folder"]) == [Contender("mine", folder=Path("/folder"))]
    for bad in ("mediapipe", "=python", "mediapipe="):
        with pytest.raises(InputError, match=r"--peer needs NAME=PYTHON, got"):
            parse_contenders(None, [bad], None)


def test_a_mistake_is_one_line(tmp_path):
    for args, words in (
        (("videos", "--root", tmp_path), "mediapipe478.npz is missing"),
        (("nothing", "--root", tmp_path), "unknown dataset 'nothing'"),
        (("videos", "--root", tmp_path, "--method", "magic"), "unknown method 'magic'"),
        (("videos", "--root", tmp_path, "--option", "subset=1"), "no option 'subset'"),
    ):
        result = invoke("evaluate", *args)
        assert isinstance(result.exception, InputError)
        assert words in str(result.exception)


@pytest.fixture
def videos(tmp_path):
    """A folder of two "videos" with MediaPipe's landmarks, and another tool's predictions of them."""
    rng = np.random.default_rng(0)
    points = {name: rng.uniform(0, 100, (12, 478, 3)).cumsum(0) for name in ("a", "b")}
    root, theirs = tmp_path / "videos", tmp_path / "theirs"
    root.mkdir()
    theirs.mkdir()
    np.savez(root / "mediapipe478.npz", **points)
    for name, p in points.items():
        (root / f"{name}.mp4").write_bytes(b"")
        said = {"mediapipe478": p[..., :2] - 0.5 + [0, 1.0]}
        Prediction("theirs", np.ones(12, bool), said, seconds=np.full(12, 0.1)).save(theirs / f"{name}.npz")
    return root, theirs


def test_a_dataset_is_evaluated_into_a_folder(videos, tmp_path):
    root, theirs = videos
    out = tmp_path / "out"
    args = ("videos", "--root", root, "--prediction", f"theirs={theirs}", "--out", out)
    result = invoke("evaluate", *args)
    assert result.exit_code == 0, result.exception
    assert result.output.strip().endswith("report.md")
    section = report.load(out / "report.json")
    assert section.command == "steadyface evaluate videos --method theirs"
    accuracy = section.tables[0]
    assert accuracy.rows[0][:2] == ("theirs", 100)
    assert accuracy.rows[0][2] > 0
    assert section.machine["cores"] >= 1
    page = (out / "report.md").read_text()
    assert page.startswith("# videos\n")
    assert "| theirs | 100 |" in page
    for picture in ("ced.png", "ssme.png", "jitter_lag.png"):
        assert f"({picture})" in page
        assert (out / picture).is_file()
    before = (out / "report.json").read_bytes()
    invoke("evaluate", *args)
    assert (out / "report.json").read_bytes() == before
    result = invoke("evaluate", *args, "--limit", "1")
    assert "1 clips, 12 frames" in (out / "report.md").read_text()


@pytest.fixture
def benchmark_folder(tmp_path, tiny_model, monkeypatch):
    """A folder with the table of a benchmark, whose reader gives clips that were never filmed."""
    root = tmp_path / "bench"
    root.mkdir()
    rows = [{"name": f"{c}01", "category": c} for c in "ABC"]
    table = {"format": "steadybench", "version": VERSION, "seed": 0, "textures": "mean", "clips": rows}
    (root / "steadybench.json").write_text(json.dumps(table))
    clips = []
    for i, row in enumerate(rows):
        video = root / row["name"] / "video.mp4"
        video.parent.mkdir()
        video.write_bytes(b"")
        clip = clip_of(script_of(tiny_model, i), row["name"], category=row["category"])
        clips.append(replace(clip, source=video))
    monkeypatch.setattr("steadyface.evaluate.leaderboard.read_steadybench", lambda _: iter(clips))
    return root, {c.name: c for c in clips}


def test_the_benchmark_becomes_a_section_with_goals_and_figures(benchmark_folder, tmp_path):
    root, clips = benchmark_folder
    docs = tmp_path / "docs"

    def run(method, videos, out, *, python, progress):
        out.mkdir(parents=True, exist_ok=True)
        for name in videos:
            truth = perfect(clips[name])
            shift = 1.0 if method == "live" else 3 * np.sin(np.arange(T))[:, None, None]
            points = {m: p[..., :2] + shift for m, p in truth.points.items()}
            Prediction(method, truth.found, points, seconds=truth.seconds).save(out / f"{name}.npz")
        return [out / f"{name}.npz" for name in videos]

    contenders = [Contender("live"), Contender("mediapipe")]
    page = run_steadybench(root, None, 0, 3, contenders, docs, lambda *_: None, run=run)
    assert page == docs / "results.md"
    section = report.load(docs / "results" / "steadybench.json")
    assert section.command == ("steadyface benchmark steadybench --clips 3 --method live --method mediapipe")
    assert [t.what.split(",")[-1] for t in section.targets] == [
        *(" category A",) * 2,
        *(" category B",) * 2,
        *(" category C",) * 2,
    ]
    assert all(t.met for t in section.targets)
    assert "textures mean" in section.notes[2]
    for _, path in section.pictures:
        assert (docs / path).is_file()
        assert f"({path})" in page.read_text()


def test_the_studio_quality_has_goals_over_the_standard_one(benchmark_folder, tmp_path):
    root, clips = benchmark_folder
    docs = tmp_path / "docs"
    wrong = {"standard": 2.0, "studio": 1.0}

    def run(method, videos, out, *, python, progress):
        out.mkdir(parents=True, exist_ok=True)
        for name in videos:
            truth = perfect(clips[name])
            # In one category the studio quality is no gain.
            size = 2.1 if (method, name) == ("studio", "B01") else wrong[method]
            shift = size * np.sin(np.arange(T))[:, None, None]
            points = {m: p[..., :2] + shift for m, p in truth.points.items()}
            Prediction(method, truth.found, points, seconds=truth.seconds).save(out / f"{name}.npz")
        return [out / f"{name}.npz" for name in videos]

    contenders = [Contender("standard"), Contender("studio")]
    run_steadybench(root, None, 0, 3, contenders, docs, lambda *_: None, run=run)
    section = report.load(docs / "results" / "steadybench.json")
    goals = {t.what: t for t in section.targets}
    assert len(goals) == 12
    for name in ("NME", "SSME", "NMF"):
        whole = goals[f"{name} of studio over standard's"]
        assert (whole.limit, whole.relation) == (0.85, "<=")
        assert whole.met
        assert [goals[f"{name} of studio over standard's, category {c}"].met for c in "ABC"] == [
            *(True, False, True)
        ]
        assert goals[f"{name} of studio over standard's, category A"].value == pytest.approx(0.5, rel=1e-3)


def test_a_benchmark_is_filmed_once_and_no_other_takes_its_place(benchmark_folder, tmp_path):
    root, _ = benchmark_folder
    asked = []

    def make(folder, plan, *, portraits, seed, progress):
        asked.append((folder, len(plan), portraits, seed))
        progress(1, 2)

    told = []
    prepare(tmp_path / "new", "faces", 2, 6, lambda *a: told.append(a), make)
    assert asked == [(tmp_path / "new", 6, "faces", 2)]
    assert told == [("filming, frames", 1, 2)]
    prepare(root, None, 0, 3, print, make)
    assert len(asked) == 1
    for args, words in (
        ((None, 1, 3), "seed 0, not 1"),
        ((None, 0, 6), "clips 3, not 6"),
        (("faces", 0, 3), "portraits False, not True"),
    ):
        with pytest.raises(InputError, match=words):
            prepare(root, *args, print, make)


def test_another_version_is_filmed_again(benchmark_folder, tmp_path):
    table = read_table(benchmark_folder[0]) | {"version": -1}
    made = []

    def make(folder, plan, *, portraits, seed, progress):
        made.append(portraits)

    for textures, portraits, again in (
        ("mean", None, True),
        ("heldout-9", "faces", True),
        ("heldout-9", None, False),
    ):
        (tmp_path / "steadybench.json").write_text(json.dumps(table | {"textures": textures}))
        made.clear()
        if again:
            prepare(tmp_path, portraits, 0, 3, print, make)
            assert made == [portraits]
        else:
            with pytest.raises(InputError, match=r"version -1 of the benchmark.*give --portraits"):
                prepare(tmp_path, portraits, 0, 3, print, make)
            assert not made


def test_the_live_trackers_stages_are_told_apart():
    (table,) = measure_live(1.0, sizes=((320, 240),)).tables
    assert table.columns == ("image", "(detector)", *STAGES, "all", "frames/s", "found %")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["image"] == "320 x 240"
    assert row["found %"] == 100
    assert all(row[s] > 0 for s in STAGES)
    assert row["all"] > max(row[s] for s in STAGES)
    assert row["frames/s"] == pytest.approx(1000 / row["all"])


def test_a_measuring_process_has_one_thread_and_one_core_and_this_one_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with OneCore() as alone:
        assert alone(os.getpid) != os.getpid()
        assert alone(os.getenv, "OMP_NUM_THREADS") == "1"
        if hasattr(os, "sched_getaffinity"):
            assert len(alone(os.sched_getaffinity, 0)) == 1
        with pytest.raises(ZeroDivisionError):
            alone(divmod, 1, 0)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_random_faces_lie_in_the_picture_and_are_the_same_again(tiny_model):
    points = random_faces(tiny_model, 5)
    assert points.shape == (5, 478, 2)
    assert np.abs(points - [320, 240]).max() < 500
    np.testing.assert_array_equal(points, random_faces(tiny_model, 5))


def test_fits_are_counted_and_are_good():
    name, number, rate, ms, residual, converged = fit_row("pairs", 3, 2)
    assert (name, number, converged) == ("pairs", 3, 100)
    assert rate * ms == pytest.approx(1000)
    # Noise of half a pixel in x and y, and little more.
    assert 0.6 < residual < 1.2


def test_filming_is_timed(monkeypatch):
    class Here:
        def __init__(self, which):
            self.which = which

        def __enter__(self):
            return self

        def submit(self, function, size, seed):
            assert seed == self.which
            future = Future()
            future.set_result((size * 4, 2.0 if function is film_clips else 1.0))
            return future

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("steadyface.evaluate.filming_speed.OneCore", Here)
    monkeypatch.setattr("steadyface.evaluate.filming_speed.cores", lambda: [3, 2, 1])
    told = []
    (table,) = measure_film(10, 5, progress=lambda *a: told.append(a)).tables
    assert table.columns == ("what", "1 core", "2 cores")
    assert [row[1:] for row in table.rows] == [(20, 40), (20, 40)]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_without_matplotlib_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="extra 'evaluate'"):
        run_steadybench(tmp_path / "bench", None, 0, 3, [], tmp_path / "docs", print, make=pytest.fail)
    result = invoke("evaluate", "videos", "--root", tmp_path / "none", "--out", tmp_path / "report")
    assert "extra 'evaluate'" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
