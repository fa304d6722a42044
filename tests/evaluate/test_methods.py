import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scene import Scene

import steadyface
from steadyface.align.methods import ALIGNMENT_METHODS, DEFAULT
from steadyface.errors import InputError
from steadyface.evaluate.methods import METHODS, Method, given_predictions, run_method
from steadyface.evaluate.prediction import Prediction
from steadyface.video import write_video

FAKE = """
import os, sys
from pathlib import Path
import numpy as np

video, out, _, threads, *options = sys.argv[1:]
with open(Path(__file__).with_suffix(".log"), "a") as log:
    print(Path(video).name, threads, os.environ["OMP_NUM_THREADS"], *options, file=log)
frames = int(Path(video).read_text())
found = np.arange(frames) % 3 > 0
points = np.full((frames, 68, 2), np.nan)
points[found] = 7
np.savez(out, method="fake", found=found, points_ibug68=points, seconds=np.full(frames, 0.01), memory_mb=50)
"""


class Fake:
    """A tracker in a folder: a script that writes what it is called with to a log."""

    def __init__(self, folder, code=FAKE, **method):
        self.script = folder / "fake.py"
        self.script.write_text(code)
        # Older than any result.
        os.utime(self.script, (1, 1))
        self.methods = {"fake": Method("a fake", self.script, ("--flag", "1"), **method)}

    def calls(self):
        return self.script.with_suffix(".log").read_text().splitlines()


def make_videos(folder, *lengths):
    videos = [folder / f"clip{i}.mp4" for i in range(len(lengths))]
    for video, length in zip(videos, lengths, strict=True):
        video.write_text(str(length))
        os.utime(video, (1, 1))
    return videos


def test_every_video_gets_a_prediction(tmp_path):
    fake, done = Fake(tmp_path), []
    paths = run_method(
        "fake",
        make_videos(tmp_path, 5, 8),
        tmp_path / "new" / "out",
        threads=2,
        progress=lambda n, total: done.append((n, total)),
        methods=fake.methods,
    )
    assert paths == [tmp_path / "new" / "out" / f"clip{i}.npz" for i in range(2)]
    assert [len(Prediction.load(path)) for path in paths] == [5, 8]
    assert fake.calls() == ["clip0.mp4 2 2 --flag 1", "clip1.mp4 2 2 --flag 1"]
    assert done == [(1, 2), (2, 2)]


def test_videos_may_be_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    named = {f"{name}/x": make_videos(tmp_path / name, 4)[0] for name in "ab"}
    fake = Fake(tmp_path)
    paths = run_method("fake", named, tmp_path / "out", methods=fake.methods)
    assert paths == [tmp_path / "out" / name / "x.npz" for name in "ab"]
    with pytest.raises(InputError, match="two videos are called 'clip0': give names"):
        run_method("fake", list(named.values()), tmp_path / "out", methods=fake.methods)


def test_a_run_goes_on_where_it_stopped(tmp_path):
    fake = Fake(tmp_path)
    videos = make_videos(tmp_path, 3, 4, 5, 6)

    def run():
        before = len(fake.calls()) if fake.script.with_suffix(".log").exists() else 0
        run_method("fake", videos, tmp_path, methods=fake.methods)
        return [call.split()[0] for call in fake.calls()[before:]]

    assert run() == [v.name for v in videos]
    assert run() == []
    (tmp_path / "clip1.npz").unlink()
    whole = (tmp_path / "clip2.npz").read_bytes()
    (tmp_path / "clip2.npz").write_bytes(whole[: len(whole) // 2])
    later = (tmp_path / "clip3.npz").stat().st_mtime + 3600
    os.utime(videos[3], (later, later))
    assert run() == ["clip1.mp4", "clip2.mp4", "clip3.mp4"]
    os.utime(videos[3], (1, 1))
    assert run() == []
    os.utime(fake.script, (later, later))
    assert len(run()) == 4


def test_our_own_results_depend_on_the_networks():
    names = {path.name for path in METHODS["live"].sources()}
    assert {"regressor.onnx", "detector.onnx", "face_model.npz", "filter.py", "steadyface.py"} <= names
    assert {path.name for path in METHODS["dlib"].sources()} == {"dlib_68.py"}
    # What is changed in the fit or in the refinement leaves the results of lesser qualities as they are.
    fit = {path for path in METHODS["standard"].sources() if path.parent.name == "fit"}
    assert "sequence_energy.py" in {path.name for path in fit}
    assert not fit & set(METHODS["live"].sources())
    assert set(METHODS["live"].sources()) < set(METHODS["standard"].sources())
    assert set(METHODS["standard"].sources()) < set(METHODS["studio"].sources())
    refine = {path for path in METHODS["studio"].sources() if path.parent.name == "refine"}
    assert "follow.py" in {path.name for path in refine}
    assert not refine & set(METHODS["standard"].sources())


@pytest.mark.parametrize(("name", "title"), [("displacement", "learning"), ("local-motion", "motion")])
def test_the_networks_of_other_papers_are_methods_of_their_own(name, title):
    method, aligner = METHODS[f"live-{name}"], ALIGNMENT_METHODS[name]
    assert method.options[-2:] == ("--method", name)
    assert method.title.endswith(title)
    assert {f"assets/{aligner.asset}", f"align/{aligner.module}.py"} <= set(method.parts)
    assert "assets/regressor.onnx" not in method.parts


def test_the_files_that_our_results_depend_on_are_there():
    package = Path(steadyface.__file__).parent
    for part in METHODS["studio"].parts:
        # The one network that a checkout may lack.
        assert any(package.glob(part)) or part == "assets/uv_flow.onnx", part


@pytest.mark.parametrize("name", ["live", "live-displacement", "live-local-motion"])
def test_all_modules_that_a_live_track_imports_count(name):
    """Whatever of the package the script of the live quality loads, the evaluation and the fit aside."""
    network = next((n for n in ALIGNMENT_METHODS if name.endswith(n)), DEFAULT)
    code = (
        "import sys, steadyface.evaluate.peers.steadyface, steadyface.pipeline, steadyface.detect.detector, "
        f"steadyface.align.{ALIGNMENT_METHODS[network].module}; print(*(m.__file__ for m in "
        "sys.modules.values() if m.__name__.startswith('steadyface.') and m.__file__))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    package = Path(steadyface.__file__).parent
    loaded = {Path(path).relative_to(package).as_posix() for path in loaded.split()}
    # What the better qualities add.
    sources = [*METHODS["studio"].sources(), *METHODS[name].sources()]
    known = {path.relative_to(package).as_posix() for path in sources}
    apart = {path for path in loaded if path.startswith(("evaluate/", "export/")) or "__init__" in path}
    assert loaded - known - apart <= {"errors.py", "output.py"}


def test_every_method_has_its_script():
    ours = {"studio", "standard", "live", "live-unfiltered", "live-displacement", "live-local-motion"}
    assert {*ours, "mediapipe", "dlib"} <= METHODS.keys()
    assert all(method.script.is_file() for method in METHODS.values())


def test_unknown_methods_and_missing_videos(tmp_path):
    with pytest.raises(
        InputError, match="unknown method 'lve': known are studio, standard, live, live-unfiltered"
    ):
        run_method("lve", [], tmp_path)
    with pytest.raises(InputError, match=r"cannot read the video .*a\.mp4: there is no such file"):
        run_method("live", [tmp_path / "a.mp4"], tmp_path)
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        run_method("live", [], tmp_path, threads=0)


def test_a_missing_environment_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path / "peers"))
    videos = make_videos(tmp_path, 3)
    command = "python -m steadyface.evaluate.peers.environment mediapipe"
    with pytest.raises(
        InputError, match=f"mediapipe has no environment in .*peers: make it with `{command}`"
    ):
        run_method("mediapipe", videos, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="environments are laid out differently there")
def test_a_prepared_environment_is_used_unless_another_python_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "ours"))
    python = tmp_path / "tool" / "bin" / "python"
    python.parent.mkdir(parents=True)
    used = tmp_path / "used"
    python.write_text(f'#!/bin/sh\necho "$PYTHONPATH" >> {used}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fake = Fake(tmp_path, environment="tool")
    videos = make_videos(tmp_path, 3)
    run_method("fake", videos, tmp_path / "a", methods=fake.methods)
    # Another tool's python does not see this one's packages.
    assert used.read_text() == "\n"
    run_method("fake", videos, tmp_path / "b", python=sys.executable, methods=fake.methods)
    assert len(fake.calls()) == 2
    assert used.read_text() == "\n"
    with pytest.raises(InputError, match=r"cannot run fake: .*nothing: no such file"):
        run_method("fake", videos, tmp_path / "c", python=tmp_path / "nothing", methods=fake.methods)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no graphics card')", "fake failed on clip0.mp4: no graphics card"),
        ("raise KeyError('weights')", "fake failed on clip0.mp4: KeyError: 'weights'"),
        (
            "import sys; sys.stderr.write('ValueError: bad\\nW0000 late log\\n'); sys.exit(1)",
            "clip0.mp4: ValueError: bad$",
        ),
        ("import os; os._exit(3)", "fake failed on clip0.mp4: it ended with status 3"),
        ("pass", r"clip0\.npz: there is no such file"),
        (FAKE.replace("points_ibug68", "points_ibug86"), "^$"),
        (
            FAKE.replace("found=found", "found=~found"),
            r"clip0\.npz is not a prediction: points_ibug68 is not",
        ),
    ],
)
def test_a_failing_tool_is_quoted(code, message, tmp_path):
    fake = Fake(tmp_path, code)
    videos = make_videos(tmp_path, 4)
    if message == "^$":
        # Other mark-ups are welcome.
        run_method("fake", videos, tmp_path, methods=fake.methods)
        return
    with pytest.raises(InputError, match=message):
        run_method("fake", videos, tmp_path, methods=fake.methods)


def test_predictions_of_any_tool_are_found_by_name(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.npz").touch()
    assert given_predictions(tmp_path, ["c", "a"]) == [tmp_path / "c.npz", tmp_path / "a.npz"]
    with pytest.raises(InputError, match=r"lacks 2 of the 3 predictions, x\.npz first"):
        given_predictions(tmp_path, ["a", "x", "y"])


def test_our_own_tracker_follows_the_same_protocol(tmp_path):
    video = tmp_path / "empty.mp4"
    scene = Scene([])
    with write_video(video, scene.size, 25) as write:
        for i in range(6):
            write(scene.image(i), i / 25)
    (path,) = run_method("live", [video], tmp_path)
    prediction = Prediction.load(path)
    assert prediction.method == "steadyface live"
    np.testing.assert_array_equal(prediction.found, np.zeros(6, bool))
    assert prediction.seconds.shape == (6,)
    assert (prediction.seconds > 0).all()
    assert 20 < prediction.memory_mb < 2000
    assert Path(path).name == "empty.npz"
