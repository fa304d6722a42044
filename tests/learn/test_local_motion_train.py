from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from steadyface.align.crop import Crop
from steadyface.align.face_square import face_square
from steadyface.errors import InputError, OutputError
from steadyface.learn.augment import View
from steadyface.learn.checkpoint import load_checkpoint
from steadyface.learn.local_motion_batches import WindowConfig, WindowMaker, strayed, window_of
from steadyface.learn.local_motion_export import export_local_motion
from steadyface.learn.local_motion_train import (
    LocalMotionTrainConfig,
    LocalMotionTrainer,
    train_local_motion,
)
from steadyface.learn.local_motion_validate import HeldOutWindows, to_network
from steadyface.learn.log import read
from steadyface.networks.local_motion import NETWORKS, LocalMotion
from steadyface.points.ibug68_mirror import IBUG68_MIRROR

SMALL = {"channels": (4, 8, 8, 8, 8), "units": 16, "filters": 6, "head_filters": 8}
VIDEOS, FRAMES, SIDE = 10, 7, 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Short videos of a face that is 68 white dots on a dark circle, as `filming --frames` lays them out."""
    rng = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("set") / "sequences"
    folder.mkdir()
    # A shape that mirrors into itself.
    shape = rng.uniform((-0.3, -0.2), (0.3, 0.4), (68, 2))
    shape = 0.5 * (shape + shape[IBUG68_MIRROR] * [-1, 1])
    images, crops, landmarks = [], [], []
    for _ in range(VIDEOS):
        start, step = rng.uniform(200, 300, 2), rng.normal(0, 4, 2)
        for t in range(FRAMES):
            crop = Crop(start + t * step, 80.0, 0.02 * t)
            stored = Crop(crop.center, 4 / 3 * crop.side, crop.roll)
            points = shape + rng.normal(0, 0.003, (68, 2))
            picture = np.full((SIDE, SIDE, 3), 60, np.uint8)
            inside = (stored.from_image(crop.to_image(points)) + 0.5) * SIDE - 0.5
            for x, y in inside:
                cv2.circle(picture, (round(16 * x), round(16 * y)), 24, (250, 240, 230), -1, cv2.LINE_AA, 4)
            images.append(picture)
            crops.append([*crop.center, crop.side, crop.roll])
            landmarks.append(points)
    count = len(images)
    np.save(folder / "images.npy", np.stack(images))
    np.savez(
        folder / "labels.npz",
        rotation=np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        scale=np.full(count, 1 / 220),
        translation=np.zeros((count, 2)),
        identity=np.zeros((count, 2), np.float32),
        expression=np.zeros((count, 2), np.float32),
        crop=np.array(crops),
        landmarks68=np.array(landmarks, np.float32),
        clip=np.repeat(np.arange(VIDEOS), FRAMES),
    )
    return folder


def config(folder, out, name="2D", **more):
    network = replace(NETWORKS[name], **SMALL)
    batches = WindowConfig(str(folder), size=4)
    return LocalMotionTrainConfig(str(out), batches, network, workers=0, **more)


def test_windows_show_their_landmarks(folder):
    maker = WindowMaker(WindowConfig(str(folder), size=1))
    rows = [3, 4, 5]
    crop = strayed(maker.sequences.crops[4], View(False, 1.1, 0.2, np.array([0.03, -0.04])))
    for mirrored in (False, True):
        pictures, points = window_of(maker.sequences, rows, crop, 64, mirrored)
        x, y = np.round((points + 0.5) * 64 - 0.5).astype(int).T
        assert pictures.shape == (3, 64, 64, 3)
        # A dot lies at each point of the last frame, and the head has moved on from the first.
        assert pictures[2, y, x, 0].mean() > 200 > pictures[2, ..., 0].mean()


def test_straying_is_what_the_view_says(folder):
    maker = WindowMaker(WindowConfig(str(folder)))
    head = maker.sequences.crops[8]
    view = View(False, 1.2, 0.3, np.array([0.05, -0.02]))
    u = np.array([[0.1, 0.2], [-0.3, 0.05]])
    seen = strayed(head, view).from_image(head.to_image(u))
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(seen, 1.2 * u @ np.array([[c, -s], [s, c]]).T + view.shift, atol=1e-12)


def test_the_square_of_the_last_frame_but_one_is_looked_at(folder):
    """Unstrayed: a face that moves is off its place by its last step."""
    s = WindowMaker(WindowConfig(str(folder))).sequences
    rows = [FRAMES + 1, FRAMES + 2, FRAMES + 3]
    _, points = window_of(s, rows, s.crops[rows[1]], 64)
    square = face_square(s.crops[rows[1]])
    np.testing.assert_allclose(square.to_image(points), s.landmarks68[rows[2]], atol=1e-3)


def test_batches_are_a_function_of_their_number_and_leave_out_the_last_videos(folder):
    maker, again = (WindowMaker(WindowConfig(str(folder), size=6)) for _ in range(2))
    for key, value in maker(5).items():
        np.testing.assert_array_equal(value, again(5)[key])
    assert not np.array_equal(maker(5)["images"], maker(6)["images"])
    assert list(maker.videos) == list(range(9))
    assert maker.epoch() == 4 * 9 * 2
    held = HeldOutWindows(WindowConfig(str(folder)))
    assert held.images.shape == (2, 3, 64, 64, 3)


def test_windows_run_both_ways_and_stand_still(folder):
    maker = WindowMaker(WindowConfig(str(folder), still=0.3))
    rng = np.random.default_rng(0)
    steps = [tuple(np.diff(maker._draw_rows(rng)).tolist()) for _ in range(60)]
    assert set(steps) == {(1, 1), (-1, -1), (0, 0)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_and_is_exported(folder, tmp_path, name):
    c = config(folder, tmp_path, name, iterations=3, learning_rate=3e-3, schedule="cosine")
    results = train_local_motion(c, show=False)
    assert np.isfinite(results["videos"]["error"])
    assert (tmp_path / "local_motion.onnx").is_file()
    records = [r for r in read(tmp_path / "log.jsonl") if r["kind"] == "train"]
    assert np.isfinite(records[-1]["loss"])


def test_the_loss_falls_from_that_of_the_mean_landmarks(folder, tmp_path):
    trainer = LocalMotionTrainer(
        config(folder, tmp_path, learning_rate=1e-3, schedule="cosine", iterations=99)
    )
    arrays = trainer.maker(0)
    points = trainer.network.eval().landmarks(to_network(arrays["images"]))[0].detach().numpy()
    mean = np.mean([trainer.maker(i)["landmarks"] for i in range(8)], (0, 1))
    assert np.abs(points - mean).max() < 0.05
    trainer.network.train()
    losses = [float(trainer.step(arrays)["loss"]) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_a_run_goes_on_where_it_stopped(folder, tmp_path):
    whole = config(folder, tmp_path / "whole", "2DRNN", iterations=6)
    half = replace(whole, out=str(tmp_path / "half"), iterations=3)
    train_local_motion(whole, show=False)
    train_local_motion(half, show=False)
    train_local_motion(replace(half, iterations=6), resume=True, show=False)
    a, b = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("whole", "half"))
    assert (a["iteration"], b["iteration"]) == (6, 6)
    for key, value in a["network"].items():
        torch.testing.assert_close(b["network"][key], value)


def test_the_rate_falls_after_ten_epochs_without_gain(folder, tmp_path):
    trainer = LocalMotionTrainer(config(folder, tmp_path, iterations=9))
    errors = iter([5.0, *[6.0] * 10, 4.0, *[4.5] * 10])
    trainer.validate = lambda: {"videos": {"error": next(errors)}}
    rates = []
    for _ in range(22):
        trainer._end_epoch()
        rates.append(trainer.set_rate())
    assert rates[9] == pytest.approx(1e-4)
    assert rates[10] == rates[20] == pytest.approx(1e-5)
    assert rates[21] == pytest.approx(1e-6)


def test_heatmaps_are_learned_against_gaussians(folder, tmp_path):
    trainer = LocalMotionTrainer(config(folder, tmp_path, "2DFCRNN", iterations=9))
    truth = torch.zeros(1, 68, 2)
    perfect = torch.exp(-0.5 * ((torch.arange(64) - 31.5) ** 2) / 3)
    perfect = (perfect[:, None] * perfect).expand(1, 68, 64, 64)
    assert float(trainer.loss(perfect, truth)) < 1e-12
    assert float(trainer.loss(perfect.roll(2, -1), truth)) > 1e-4


@pytest.mark.parametrize(("weights", "atol"), [("single", 1e-5), ("half", 1e-3), ("int8", 1e-2)])
def test_exported_landmarks_are_those_of_torch(folder, tmp_path, weights, atol):
    import onnxruntime

    torch.manual_seed(1)
    network = LocalMotion(replace(NETWORKS["3DRNN"], **SMALL)).eval()
    path = tmp_path / "n.onnx"
    export_local_motion(network, path, np.full(68, 0.01), weights, {"note": "made by a test"})
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = HeldOutWindows(WindowConfig(str(folder))).images
    ours, peak = session.run(None, {"images": to_network(images).numpy()})
    with torch.no_grad():
        theirs = network.landmarks(to_network(images))[0]
    np.testing.assert_allclose(ours, theirs, atol=atol)
    assert (np.asarray(peak) == 1).all()
    known = session.get_modelmeta().custom_metadata_map
    assert (known["markup"], known["window"], known["input_size"]) == ("ibug68", "3", "64")
    assert known["note"] == "made by a test"


def test_small_weights_make_small_files(tmp_path):
    network = LocalMotion(replace(NETWORKS["2DRNN"], **{**SMALL, "units": 128})).eval()
    sizes = []
    for weights in ("single", "half", "int8"):
        export_local_motion(network, tmp_path / "n.onnx", np.full(68, 0.01), weights)
        sizes.append((tmp_path / "n.onnx").stat().st_size)
    assert sizes[0] > 1.5 * sizes[1] > 1.8 * sizes[2]


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    from steadyface.learn import local_motion_export

    monkeypatch.setitem(local_motion_export.TOLERANCE, "half", 1e-9)
    network = LocalMotion(replace(NETWORKS["2D"], **SMALL)).eval()
    with pytest.raises(OutputError, match="differs from the trained one"):
        export_local_motion(network, tmp_path / "n.onnx", np.full(68, 0.01))
    assert not (tmp_path / "n.onnx").exists()


def test_what_does_not_fit_is_refused(folder, tmp_path):
    c = config(folder, tmp_path)
    with pytest.raises(InputError, match="pictures of 64 px, the batches have 3 of 32"):
        LocalMotionTrainer(replace(c, batches=replace(c.batches, image_size=32)))
    with pytest.raises(InputError, match="unknown schedule 'linear'"):
        LocalMotionTrainer(replace(c, schedule="linear"))
    with pytest.raises(InputError, match="unknown weights 'tiny'"):
        export_local_motion(LocalMotion(c.network), tmp_path / "n.onnx", np.ones(68), "tiny")
