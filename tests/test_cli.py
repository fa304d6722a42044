import csv
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest
from scene import Scene, seen_during, still_face

from steadyface import cli, pipeline
from steadyface.align import uv_flow
from steadyface.live import LiveTracker
from steadyface.track import Track
from steadyface.video import read_video, write_video


@pytest.fixture
def scene(tiny_model, monkeypatch):
    """A scene that the command sees in place of its own networks."""
    scene = Scene([still_face(tiny_model)])

    def tracker(**options):
        return LiveTracker(model=tiny_model, detector=scene.detector, regressor=scene.regressor, **options)

    class Aligner:
        """Of the standard quality: knows the points of the scene's face."""

        vertices, shape = np.arange(tiny_model.vertex_count), tiny_model.shape

        def __init__(self, model, threads):
            assert model is tiny_model

        def __call__(self, image, guess, crop):
            points = scene.truth(scene.index(image))[0].project(self.shape)[:, :2]
            return SimpleNamespace(points=points, sigma=np.full(len(points), 0.5))

    monkeypatch.setattr(pipeline, "LiveTracker", tracker)
    monkeypatch.setattr(uv_flow, "DenseAligner", Aligner)
    return scene


@pytest.fixture
def film(scene, tmp_path):
    path = tmp_path / "talk.mp4"
    with write_video(path, scene.size, 25.0) as write:
        for i in range(30):
            write(scene.image(i), i / 25)
    return path


def run(monkeypatch, *arguments):
    """Exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["steadyface", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as e:
        return e.code or 0
    return 0


def failed_with_one_line(capsys):
    err = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in err if line.startswith("error: ")]
    assert "Traceback" not in "\n".join(err)
    assert len(errors) == 1
    return errors[0]


def test_track_writes_its_files(film, tiny_model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "results" / "here"
    assert run(monkeypatch, "track", film, "-o", out) == 0
    assert sorted(p.name for p in out.iterdir()) == ["face0.csv", "face0.npz", "overlay.mp4"]
    assert len(Track.load(out / "face0.npz", tiny_model)) == 30
    with open(out / "face0.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 31
    with read_video(out / "overlay.mp4") as reader:
        assert len(list(reader)) == 30
    assert "30 frames" in capsys.readouterr().out


def test_the_quality_is_standard_unless_live_is_asked_for(film, tiny_model, tmp_path, monkeypatch, capsys):
    for arguments, fitted in (([], True), (["--quality", "live"], False)):
        assert run(monkeypatch, "track", film, "-o", tmp_path / "out", "--no-overlay", *arguments) == 0
        found = Track.load(tmp_path / "out" / "face0.npz", tiny_model)
        assert (found.focal is not None) == fitted
        assert (found.interpolated is not None) == fitted
        assert ("fitting" in capsys.readouterr().err) == fitted


def test_interpolated_frames_are_counted(film, scene, tiny_model, tmp_path, monkeypatch, capsys):
    scene.faces = [seen_during(still_face(tiny_model), (0, 12), (15, 30))]
    assert run(monkeypatch, "track", film, "-o", tmp_path / "out", "--no-overlay") == 0
    assert "30 frames, 1.2 s, 3 frames interpolated" in capsys.readouterr().out


def test_the_folder_is_named_after_the_video(film, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "track", film, "--no-overlay") == 0
    assert sorted(p.name for p in (tmp_path / "talk").iterdir()) == ["face0.csv", "face0.npz"]


def test_an_interruption_keeps_the_track(film, scene, tiny_model, tmp_path, monkeypatch, capsys):
    seen = scene.regressor

    def interrupted(image, crops):
        if scene.index(image) == 12:
            scene.regressor = seen
            raise KeyboardInterrupt
        return seen(image, crops)

    scene.regressor = interrupted
    assert run(monkeypatch, "track", film, "-o", tmp_path / "out", "--no-overlay") == 0
    assert len(Track.load(tmp_path / "out" / "face0.npz", tiny_model)) == 12
    assert "note: interrupted after 12 frames" in capsys.readouterr().err


def silent_film(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


def test_every_error_is_one_line(scene, film, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "file").write_text("")
    silent_film(tmp_path / "sound.m4a")
    for arguments, message in (
        (["track", tmp_path / "none.mp4"], "does not exist"),
        (["track", tmp_path / "empty.mp4"], "is empty"),
        (["track", tmp_path / "noise.mp4"], "not a video"),
        (["track", tmp_path / "sound.m4a"], "no video stream"),
        (["track", film, "--quality", "best"], "unknown quality 'best': known are live"),
        (["track", film, "--method", "best"], "unknown method 'best': known are 3ddfa_v2"),
        (["track", film, "-o", tmp_path / "file" / "out"], "cannot make the folder"),
        (["track", film, "-o", tmp_path / "file"], "cannot make the folder"),
    ):
        assert run(monkeypatch, *arguments) == 1
        assert message in failed_with_one_line(capsys)


def test_no_face_is_one_line(film, scene, tiny_model, tmp_path, monkeypatch, capsys):
    scene.faces = [seen_during(still_face(tiny_model), (99, 100))]
    assert run(monkeypatch, "track", film, "-o", tmp_path / "out") == 1
    assert "no face found in talk.mp4: looked at 30 frames" in failed_with_one_line(capsys)


def test_a_full_disk_is_one_line(film, tmp_path, monkeypatch, capsys):
    import errno
    import os

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    assert run(monkeypatch, "track", film, "-o", tmp_path / "out") == 1
    assert "the disk is full" in failed_with_one_line(capsys)
    assert list((tmp_path / "out").iterdir()) == []


def test_info_names_what_is_installed(monkeypatch, capsys):
    assert run(monkeypatch, "info") == 0
    out = capsys.readouterr().out
    for part in (
        "steadyface",
        "onnxruntime",
        "52 expression coefficients",
        "face_model.npz",
        "CPUExecutionProvider",
        "quality live",
        "quality standard",
    ):
        assert part in out


def test_unknown_options_are_refused(film, monkeypatch, capsys):
    assert run(monkeypatch, "track", film, "--nonsense") == 2
    assert "--nonsense" in capsys.readouterr().err


def test_train_passes_its_options_on(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "train", "--help") == 0
    assert "--objective" in capsys.readouterr().out
    assert run(monkeypatch, "train", "--out", tmp_path / "run") == 2
    assert "--set" in capsys.readouterr().err
    assert run(monkeypatch, "train", "--set", tmp_path, "--out", tmp_path / "run", "--minutes", 1) == 1
    assert "must hold images.npy and labels.npz" in failed_with_one_line(capsys)


def test_training_without_its_extra_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("steadyface.learn.")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(monkeypatch, "train", "--set", tmp_path, "--out", tmp_path / "run") == 1
    assert "training needs torch: install steadyface with its extra 'train'" in failed_with_one_line(capsys)
