import csv
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from refined_scene import FilmedHead, perturbed, textured_head, truth_of
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
    return filmed_scene(scene, tmp_path / "talk.mp4", 30)


def filmed_scene(scene, path, frames):
    with write_video(path, scene.size, 25.0) as write:
        for i in range(frames):
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


STUDIO_FILES = ("csv", "mtl", "npz", "obj", "png")


def studio_files(*names, videos=("overlay.mp4", "side_by_side.mp4")):
    return sorted([*(f"{name}.{suffix}" for name in names for suffix in STUDIO_FILES), *videos])


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_studio_quality_adds_texture_and_comparison(scene, tiny_model, tmp_path, monkeypatch, capsys):
    film = filmed_scene(scene, tmp_path / "talk.mp4", 11)
    assert run(monkeypatch, "track", film, "-o", tmp_path / "out", "--quality", "studio") == 0
    assert names_in(tmp_path / "out") == studio_files("face0")
    found = Track.load(tmp_path / "out" / "face0.npz", tiny_model)
    said = capsys.readouterr()
    assert f"11 frames, 0.4 s, {found.refined.sum()} frames refined" in said.out
    assert "learning the texture" in said.err
    # In two steps it is what the studio quality of the package is.
    (same,) = pipeline.track(film, "studio")
    np.testing.assert_array_equal(found.rotation, same.rotation)
    np.testing.assert_array_equal(found.texture, same.texture)


@pytest.fixture(scope="module")
def filmed(tiny_model, tmp_path_factory):
    """Folder with the film of two heads and rough tracks of them; what an aligner knows of them."""
    model = textured_head(tiny_model)
    truths = [truth_of(model, 14, seed, shift) for seed, shift in ((0, -110.0), (1, 110.0))]
    heads = FilmedHead(truths)
    folder = tmp_path_factory.mktemp("filmed")
    heads.film(folder / "talk.mp4")
    for i, truth in enumerate(truths):
        perturbed(truth).save(folder / f"face{i}.npz")
    return folder, heads


@pytest.fixture
def heads(filmed, monkeypatch):
    """The folder, which is the present one too; the aligner and the face model are those of its heads."""
    folder, heads = filmed
    monkeypatch.setattr(uv_flow, "DenseAligner", lambda model, threads: heads)
    monkeypatch.setattr(import_module("steadyface.track"), "load_face_model", lambda name: heads.model)
    monkeypatch.chdir(folder)
    return heads


def test_refine_writes_a_folder_of_its_own(heads, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "refine", "face0.npz", "face1.npz", "talk.mp4", "-o", tmp_path) == 0
    assert names_in(tmp_path) == studio_files("face0", "face1")
    for i, truth in enumerate(heads.truths):
        rough, fine = Track.load(f"face{i}.npz"), Track.load(tmp_path / f"face{i}.npz")
        assert fine.refined.sum() > 10
        away = [np.linalg.norm(t.landmarks() - truth.landmarks(), axis=-1).mean() for t in (rough, fine)]
        assert away[1] < 0.6 * away[0]
    assert f"14 frames, 0.5 s, {fine.refined.sum()} frames refined" in capsys.readouterr().out
    with read_video(tmp_path / "side_by_side.mp4") as reader:
        assert len(list(reader)) == 14


def test_a_name_is_kept_and_nothing_is_overwritten(heads, tmp_path, monkeypatch, capsys):
    came_in = Path("face1.npz").read_bytes()
    assert run(monkeypatch, "refine", "face1.npz", "talk.mp4", "-o", ".") == 1
    assert "face1.npz is what came in" in failed_with_one_line(capsys)
    monkeypatch.setattr(pipeline, "refine", lambda video, tracks, **_: [replace(t) for t in tracks])
    assert run(monkeypatch, "refine", "face1.npz", "talk.mp4", "--no-overlay") == 0
    assert names_in(Path("talk_studio")) == ["face1.csv", "face1.npz"]
    assert run(monkeypatch, "refine", "talk_studio/face1.npz", "talk.mp4") == 1
    assert "would be overwritten: give another folder" in failed_with_one_line(capsys)
    assert Path("face1.npz").read_bytes() == came_in


def test_an_interrupted_refinement_writes_nothing(heads, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "frames_of_tracks", interrupted)
    assert run(monkeypatch, "refine", "face0.npz", "talk.mp4", "-o", tmp_path / "out") == 1
    assert "note: interrupted while refining" in capsys.readouterr().err
    assert names_in(tmp_path / "out") == []


def test_every_error_of_refine_is_one_line(heads, tmp_path, monkeypatch, capsys):
    short, small = tmp_path / "short.mp4", tmp_path / "small.mp4"
    heads.film(short, frames=9)
    with write_video(small, (64, 48), 25.0) as write:
        write(np.zeros((48, 64, 3), np.uint8), 0.0)
    (tmp_path / "face0.npz").write_bytes(b"no track")
    out = ("-o", tmp_path / "out")
    for arguments, message in (
        (["face0.npz", small, *out], "the track is of a video of 320 x 240 pixels, small.mp4 has 64 x 48"),
        (["face0.npz", short, *out], "the track goes to frame 13, short.mp4 has 9"),
        (["face0.npz", "none.mp4", *out], "none.mp4: it does not exist"),
        (["none.npz", "talk.mp4", *out], "cannot read the track none.npz"),
        (["talk.mp4", "face0.npz", *out], "talk.mp4 is not a steadyface track"),
        ([tmp_path / "face0.npz", "talk.mp4", *out], "face0.npz is not a steadyface track"),
        (["face0.npz", tmp_path / "face0.npz", "talk.mp4", *out], "two tracks are named face0"),
        (["face0.npz", "talk.mp4", "--mode", "best", *out], "unknown mode 'best': known are fast, paper"),
        (["face0.npz", "talk.mp4", "--epochs", 3, *out], "--epochs and --device are of the paper's mode"),
    ):
        assert run(monkeypatch, "refine", *arguments) == 1
        assert message in failed_with_one_line(capsys)


def test_the_papers_mode_writes_the_same(heads, tmp_path, monkeypatch, capsys):
    from steadyface.networks.self_refinement import SelfRefinementConfig
    from steadyface.refine import paper

    networks = SelfRefinementConfig(
        texture_size=64, texture_width=8, texture_levels=2, irradiance_levels=2, identity_width=16
    )
    config = paper.PaperConfig(frames=4, batch=8, crop=64, irradiance_size=16, networks=networks)
    monkeypatch.setattr(paper, "PaperConfig", lambda **options: replace(config, **options))
    arguments = "refine", "face0.npz", "talk.mp4", "-o", tmp_path, "--mode", "paper", "--epochs", 2
    assert run(monkeypatch, *arguments, "--device", "nonsense") == 1
    assert "torch has no device 'nonsense'" in failed_with_one_line(capsys)
    assert run(monkeypatch, *arguments) == 0
    assert names_in(tmp_path) == studio_files("face0")
    assert Track.load(tmp_path / "face0.npz").irradiance.shape == (14, 33)
    assert "frames refined" in capsys.readouterr().out


def test_the_papers_mode_without_its_extra_is_one_line(heads, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("steadyface.refine.paper")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(monkeypatch, "refine", "face0.npz", "talk.mp4", "-o", tmp_path, "--mode", "paper") == 1
    assert "needs torch: install steadyface with its extra 'train'" in failed_with_one_line(capsys)


def test_the_demo_of_the_studio_quality_says_what_was_refined(heads, tmp_path, monkeypatch, capsys):
    def run_demo(folder, quality, **_):
        heads.film(folder / "demo.mp4")
        (track,) = pipeline.refine(folder / "demo.mp4", perturbed(heads.truths[0]))
        track.save(folder / "face0.npz")
        return f"tracked at {quality}"

    monkeypatch.setattr("steadyface.demo.run_demo", run_demo)
    assert run(monkeypatch, "demo", "--quality", "studio", "-o", tmp_path) == 0
    said = capsys.readouterr().out
    assert "tracked at studio" in said
    assert "frames refined" in said
    assert {"face0.obj", "side_by_side.mp4"} <= set(names_in(tmp_path))


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
        "quality studio",
        "torch",
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
