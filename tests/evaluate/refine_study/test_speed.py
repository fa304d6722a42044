import os
from types import SimpleNamespace

import numpy as np
import pytest

from steadyface.demo import SIZE
from steadyface.evaluate.refine_study import speed
from steadyface.evaluate.refine_study.speed import Timing, film_face, speed_section, time_refinement
from steadyface.evaluate.speed import Cores, cores
from steadyface.face_model.morphable import load_face_model
from steadyface.refine.samples import spread_samples
from steadyface.video import write_video


def test_phases_and_the_dense_network_are_told_apart(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    path = tmp_path / "a.mp4"
    with write_video(path, (32, 32), 25) as write:
        for i in range(3):
            write(np.zeros((32, 32, 3), np.uint8), i / 25)

    class Dense:
        vertices = shape = None

        def __call__(self, image, guess, crop):
            now[0] += 2.0

    def refine(video, start, *, stage, progress, threads, aligner):
        assert (video, threads) == (path, 2)
        stage("learning the texture")
        for i in range(3):
            aligner(None, None, None)
            now[0] += 1.0
            progress(i + 1, 3)
        now[0] += 20.0
        stage("refining")
        for i in range(10):
            aligner(None, None, None)
            now[0] += 3.0
            progress(i + 1, 10)

    monkeypatch.setattr(speed, "refine", refine)
    found = time_refinement(path, range(10), 2, Dense())
    assert found == Timing(
        10, 3, look=9.0, look_dense=6.0, learn=20.0, follow=50.0, follow_dense=20.0, decode=0.0
    )
    assert (found.texture, found.rate) == (29.0, 0.2)


def test_the_goals_are_those_of_most_cores():
    slow, fast = (
        Timing(100, 128, 4.0, 2.0, learn, follow, 2.0, 0.5) for learn, follow in ((40, 20), (20, 8))
    )
    section = speed_section({1: slow, 2: fast}, "command")
    assert [t.value for t in section.targets] == [12.5, 24.0]
    assert all(t.met for t in section.targets)
    assert not any(t.met for t in speed_section({1: slow}, "command").targets)
    row = dict(zip(section.tables[0].columns, section.tables[0].rows[0], strict=True))
    assert row["texture phase, s"] == 44
    assert row["dense network, ms"] + row["the rest, ms"] == pytest.approx(1000 / row["frames/s"])


def test_the_filmed_face_is_as_high_as_it_is_called(monkeypatch, tmp_path):
    filmed = []
    monkeypatch.setattr("steadyface.demo.film", lambda truth, path: filmed.append(truth))
    film_face(tmp_path / "a.mp4", 60)
    (truth,) = filmed
    assert len(truth) == 60
    points = truth.image_points(spread_samples(load_face_model(), 1000).shape)
    # In perspective not quite.
    assert np.ptp(points[..., 1], axis=1).max() == pytest.approx(speed.HEIGHT, rel=5e-3)
    assert (points[..., :2].min((0, 1)) > 0).all()
    assert (points[..., :2].max((0, 1)) < SIZE).all()
    np.testing.assert_allclose(truth.scale, truth.focal / truth.translation[:, 2])


def test_a_process_on_several_cores_has_as_many_threads():
    count = min(2, len(cores()))
    with Cores(range(count)) as some:
        assert some(os.getenv, "OMP_NUM_THREADS") == str(count)
        if hasattr(os, "sched_getaffinity"):
            assert some(os.sched_getaffinity, 0) == set(cores()[:count])
