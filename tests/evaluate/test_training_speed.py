import sys
import time
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import steadyface
from steadyface.errors import InputError
from steadyface.evaluate.training_speed import (
    TRAININGS,
    WARM_UP,
    TimedStream,
    measure_train,
    new_training,
    train_section,
    training_row,
    write_drawn_samples,
)
from steadyface.learn.samples import load_samples
from steadyface.learn.sequences import load_sequences


def test_drawn_samples_are_a_sample_set(tiny_model, tmp_path):
    write_drawn_samples(tmp_path / "samples", tiny_model, count=6)
    samples = load_samples(tmp_path / "samples")
    assert samples.images.shape == (6, 160, 160, 3)
    assert samples.params.shape == (6, 12 + 6 + 4)
    # The dots lie where the labels say.
    x, y = np.round(120 * samples.landmarks478[0, 7] + 79.5).astype(int)
    np.testing.assert_array_equal(samples.images[0, y, x], (220, 180, 160))


def test_waiting_for_batches_is_timed():
    class Slow:
        next = 5

        def __next__(self):
            time.sleep(0.02)
            return "batch"

    stream = TimedStream(Slow())
    assert [next(stream), next(stream)] == ["batch", "batch"]
    assert 0.04 <= stream.seconds < 0.4
    assert stream.next == 5


def test_drawn_samples_can_be_short_videos(tiny_model, tmp_path):
    write_drawn_samples(tmp_path / "samples", tiny_model, count=6, frames=3)
    videos = load_sequences(tmp_path / "samples")
    assert (len(videos), videos.frames) == (2, 3)
    samples = load_samples(tmp_path / "samples")
    np.testing.assert_array_equal(samples.clip, [0, 0, 0, 1, 1, 1])
    # The points that a video's labels say in pixels are those of its parameters.
    crop, params = videos.crops[4], videos.params[4].astype(float)
    shape = tiny_model.landmarks("ibug68")(params[12:18], params[18:])
    seen = shape @ params[:12].reshape(3, 4)[:2, :3].T + params[[3, 7]]
    np.testing.assert_allclose(videos.landmarks68[4], crop.to_image(seen), atol=1e-2)


class Training:
    """A stand-in for `learn.run.Run`: waits 10 ms for a batch and learns 30 ms from it."""

    def __init__(self):
        self.config = SimpleNamespace(batches=SimpleNamespace(size=6), threads=2, workers=1)
        self.network = SimpleNamespace(train=lambda: None)
        self.steps = self.next = 0

    @contextmanager
    def stream(self):
        yield self

    def __next__(self):
        time.sleep(0.01)

    def advance(self, stream):
        # Compilation and such.
        time.sleep(0.03 if self.steps >= WARM_UP else 0.2)
        next(stream)
        self.steps += 1


def test_a_row_is_of_the_iterations_that_count():
    training, done = Training(), []
    row = training_row("displacement", training, 5, lambda *d: done.append(d))
    assert training.steps == WARM_UP + 5
    assert done == [(i + 1, WARM_UP + 5) for i in range(WARM_UP + 5)]
    assert row[:5] == ("displacement", 6, TRAININGS["displacement"], 2, 1)
    samples_per_s, ms, waiting = row[5:]
    assert 40 <= ms < 150
    assert samples_per_s == pytest.approx(6e3 / ms)
    assert 5 < waiting < 60


def test_waiting_has_a_goal_for_every_network():
    row = ("flow", 6, "pictures", 1, 1, 100.0, 60.0)
    section = train_section([(*row, 10.5), (*row, 9.5)], 5)
    assert [t.met for t in section.targets] == [False, True]
    assert [t.limit for t in section.targets] == [10, 10]


@pytest.mark.parametrize("name", list(TRAININGS))
def test_every_training_gets_batches_of_drawn_samples(name, tiny_model, tmp_path):
    trainer = new_training(name, tmp_path, tiny_model, threads=1, workers=0)
    with trainer.stream() as stream:
        batch = next(stream)
    assert {len(values) for values in batch.values()} == {trainer.config.batches.size}
    assert trainer.progress() == 0
    assert trainer.config.threads == 1


def test_unknown_trainings_and_a_missing_extra_are_named(tiny_model, monkeypatch):
    with pytest.raises(InputError, match="unknown training 'all': known are regressor, displacement, loc"):
        measure_train(only=["all"], model=tiny_model)
    # The package's attribute goes with the module that is imported anew: it has to come back, too.
    monkeypatch.setattr(steadyface, "learn", import_module("steadyface.learn"), raising=False)
    for name in [n for n in sys.modules if n.startswith("steadyface.learn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="training needs torch: install steadyface with its extra 'train'"):
        measure_train(model=tiny_model)
