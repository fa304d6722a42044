import subprocess
import sys

import numpy as np
import pytest

from steadyface.evaluate.methods import PEERS
from steadyface.evaluate.peers import adapter
from steadyface.evaluate.prediction import Prediction
from steadyface.video import write_video


def make_video(path, count=6, size=(32, 24)):
    with write_video(path, size, 25) as write:
        for i in range(count):
            image = np.zeros((size[1], size[0], 3), np.uint8)
            image[..., 0] = 40 * i
            write(image, i / 25)
    return path


def test_frames_are_rgb_and_in_order(tmp_path):
    images = list(adapter.frames(make_video(tmp_path / "a.mp4")))
    assert [image.shape for image in images] == [(24, 32, 3)] * 6
    np.testing.assert_allclose([image[..., 0].mean() for image in images], 40 * np.arange(6), atol=6)
    assert max(image[..., 2].mean() for image in images) < 6


def test_a_tracker_is_timed_and_its_answers_spread_over_the_frames(tmp_path):
    def process(image):
        red = image[..., 0].mean()
        return np.full((5, 2), red) if red > 60 else None

    found, answers, seconds, memory_mb = adapter.follow(make_video(tmp_path / "a.mp4"), process)
    np.testing.assert_array_equal(found, [False, False, True, True, True, True])
    assert seconds.shape == (6,)
    assert (seconds > 0).all()
    assert memory_mb > 10
    points = adapter.spread(found, answers, (5, 2))
    assert np.isnan(points[:2]).all()
    np.testing.assert_allclose(points[2:, 3, 1], 40 * np.arange(2, 6), atol=6)
    assert adapter.spread(np.zeros(3, bool), [], (5, 2)).shape == (3, 5, 2)


def test_what_is_written_is_a_prediction(tmp_path):
    adapter.write(tmp_path / "a.npz", method="m", found=[True], points_ibug68=np.zeros((1, 68, 2)))
    assert Prediction.load(tmp_path / "a.npz").method == "m"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_no_video_ends_the_script(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(SystemExit, match=f"cannot read the video .*{name}"):
            adapter.follow(tmp_path / name, lambda _: None)


SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
from adapter import arguments, peak_memory_mb
args = arguments("a tool", size={"type": int, "default": 3})
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else args.threads
print(args.video, args.out.name, args.size, cores, peak_memory_mb())
"""


def test_a_script_is_held_to_its_threads_and_counts_its_own_memory():
    # A process counts as large as the one it was forked from, unless one looks closely.
    ballast = np.ones(400_000_000, np.uint8)
    command = [sys.executable, "-c", SCRIPT, str(PEERS), "v.mp4", "o.npz", "--size", "4"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[:4] == ["v.mp4", "o.npz", "4", "1"]
    if sys.platform == "linux":
        assert 10 < float(said[4]) < ballast.nbytes / 1e6
