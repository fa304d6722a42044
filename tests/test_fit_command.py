import json
import sys

import numpy as np
import pytest
from model_files import write_obj
from sequence_scene import SIZE, sequence, two_cameras

from steadyface import cli
from steadyface.face_model import morphable
from steadyface.fit.rig_file import read_cameras, write_cameras
from steadyface.track import Track
from steadyface.video import read_video, write_video

FRAMES = 6


@pytest.fixture
def model(tiny_model, monkeypatch):
    """The small model in place of the embedded one."""
    monkeypatch.setattr(morphable, "load_face_model", lambda *_: tiny_model)
    return tiny_model


@pytest.fixture
def scene(model):
    return sequence(model.landmarks("ibug68"), FRAMES, noise=0.3, rig=two_cameras())


@pytest.fixture
def film(tmp_path):
    with write_video(tmp_path / "talk.mp4", SIZE, 25.0) as write:
        for i in range(FRAMES):
            write(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), i / 25)
    return tmp_path / "talk.mp4"


def run(monkeypatch, *arguments):
    """Exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["steadyface", "fit", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as e:
        return e.code or 0
    return 0


def error_line(capsys):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def wide(points):
    head = ["frame", *(f"{axis}{i}" for i in range(points.shape[1]) for axis in "xy")]
    rows = [",".join([str(i), *map(str, row.ravel())]) for i, row in enumerate(points)]
    return "\n".join([",".join(head), *rows])


def test_a_table_and_its_video_give_a_track_and_an_overlay(scene, film, model, tmp_path, monkeypatch, capsys):
    (tmp_path / "talk.csv").write_text(wide(scene.points[:, 0]))
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "talk.csv", "--video", film, "--overlay", "--sigma", 0.3) == 0
    out = capsys.readouterr().out
    assert "talk.track.npz: 6 frames\n" in out
    assert "px (median), focal length" in out
    track = Track.load(tmp_path / "talk.track.npz", model)
    np.testing.assert_allclose(track.time_s, np.arange(FRAMES) / 25, atol=1e-6)
    away = np.linalg.norm(track.landmarks("ibug68")[..., :2] - scene.exact[:, 0], axis=-1)
    assert away.mean() < 0.6
    with read_video(tmp_path / "talk.track.overlay.mp4") as reader:
        drawn = [frame.image.std() for frame in reader]
    assert len(drawn) == FRAMES
    assert min(drawn) > 5
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["talk.csv", "talk.mp4", "talk.track.npz", "talk.track.overlay.mp4"]
    )


def test_pts_files_are_frames_and_gaps_are_reported(scene, model, tmp_path, monkeypatch, capsys):
    (tmp_path / "pts").mkdir()
    for i in (0, 1, 2, 4, 5):
        lines = "\n".join(f"{x} {y}" for x, y in scene.points[i, 0] + 1)
        (tmp_path / "pts" / f"{i + 1:06d}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    common = ("--image-size", *SIZE, "--focal", 800, "--sigma", 0.3)
    assert run(monkeypatch, tmp_path / "pts", "-o", tmp_path / "a.npz", *common) == 0
    assert "a.npz: 6 frames, 1 of them interpolated" in capsys.readouterr().out
    files = sorted((tmp_path / "pts").iterdir())
    (tmp_path / "out").mkdir()
    assert run(monkeypatch, *files, "-o", tmp_path / "out", "--gap", 0, *common) == 0
    assert "000001.track.npz: 5 frames\n" in capsys.readouterr().out
    track = Track.load(tmp_path / "out" / "000001.track.npz", model)
    np.testing.assert_array_equal(track.frame_index, [0, 1, 2, 4, 5])
    away = np.linalg.norm(track.landmarks("ibug68")[..., :2] - scene.exact[[0, 1, 2, 4, 5], 0], axis=-1)
    assert away.mean() < 0.6


def test_views_give_cameras_and_a_neutral_face(scene, model, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "left.npz", points=scene.points[:, 0], sigma=scene.sigma[:, 0], image_size=SIZE)
    (tmp_path / "right.csv").write_text(wide(scene.points[:, 1]))
    write_cameras(scene.rig, [SIZE, SIZE], tmp_path / "known.json")
    both = (tmp_path / "left.npz", tmp_path / "right.csv", "-o", tmp_path / "out.npz", "--sigma", 0.3)
    assert run(monkeypatch, *both, "--image-size", *SIZE) == 0
    out = capsys.readouterr().out
    assert "camera 1: points within" in out
    found, sizes = read_cameras(tmp_path / "out.cameras.json")
    assert len(found) == 2
    assert sizes == [SIZE, SIZE]
    assert not (tmp_path / "out.neutral.obj").exists()
    assert run(monkeypatch, *both, "--cameras", tmp_path / "known.json", "--offsets", "face") == 0
    rig, _ = read_cameras(tmp_path / "out.cameras.json")
    np.testing.assert_allclose(rig.translation, scene.rig.translation)
    lines = (tmp_path / "out.neutral.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert vertices.shape == (model.vertex_count, 3)
    away = np.linalg.norm(vertices * [1, -1, -1] - model.shape.neutral(scene.identity), axis=-1)
    assert away.mean() < 3
    # What was written is a neutral face that can be read.
    again = (tmp_path / "left.npz", "-o", tmp_path / "again.npz", "--neutral", tmp_path / "out.neutral.obj")
    assert run(monkeypatch, *again) == 0
    identity = Track.load(tmp_path / "again.npz", model).identity
    away = np.linalg.norm(vertices * [1, -1, -1] - model.shape.neutral(identity), axis=-1)
    assert away.mean() < 2


def test_points_of_ones_own_and_pixels_of_another_kind(model, tmp_path, monkeypatch, capsys):
    chosen = np.arange(0, 400, 9)
    points = model.shape.mean[chosen, :2] + [320, 240]
    view = np.tile((points + 0.5) / SIZE, (3, 1, 1))
    np.savez(tmp_path / "mine.npz", points=view, names=[f"p{v}" for v in chosen])
    (tmp_path / "map.json").write_text(json.dumps({f"p{v}": int(v) for v in chosen}))
    options = ("--points", tmp_path / "map.json", "--image-size", *SIZE, "-o", tmp_path / "out.npz")
    assert run(monkeypatch, tmp_path / "mine.npz", "--pixels", "normalized", *options) == 0
    track = Track.load(tmp_path / "out.npz", model)
    drawn = track.camera.project(track.vertices())[0, chosen]
    assert np.abs(drawn - points).mean() < 3
    capsys.readouterr()
    assert run(monkeypatch, tmp_path / "mine.npz", *options) == 1
    assert "if they are normalized, say so (--pixels normalized)" in error_line(capsys)


def test_every_error_is_one_line(scene, film, model, tmp_path, monkeypatch, capsys):
    points = tmp_path / "a.npz"
    np.savez(points, points=scene.points[:, 0], image_size=SIZE)
    (tmp_path / "bad.csv").write_text("frame,x0,y0\n0,1,2\n1,3,nose\n")
    write_obj(tmp_path / "short.obj", np.zeros((3, 3)))
    few = tmp_path / "few.npz"
    np.savez(few, points=scene.points[:, 0, 17:], image_size=SIZE)
    for arguments, message in (
        ([tmp_path / "none.npz"], "there is no such file"),
        ([tmp_path / "bad.csv"], "bad.csv, line 3: y0 must be a number or empty; got 'nose'"),
        ([points, "--overlay"], "--overlay needs --video"),
        ([points, "-o", points], "is one of the inputs"),
        ([points, "-o", points / "out.npz"], "cannot make the folder"),
        ([points, "--markup", "mine"], "unknown mark-up 'mine'"),
        ([points, "--pixels", "mine"], "unknown pixels 'mine'"),
        ([points, "--neutral", tmp_path / "short.obj"], "must hold the 400 vertices"),
        ([points, "--cameras", tmp_path / "none.json"], "cannot read"),
        ([points, "--video", tmp_path / "none.mp4"], "does not exist"),
        ([points, few], "all cameras need the same points"),
    ):
        assert run(monkeypatch, *arguments) == 1
        assert message in error_line(capsys)


def test_a_missing_model_is_one_line(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "a.npz", points=np.zeros((1, 68, 2)), image_size=SIZE)
    assert run(monkeypatch, tmp_path / "a.npz", "--model", tmp_path / "flame.pkl") == 1
    assert "unknown face model" in error_line(capsys)
