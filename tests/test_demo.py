from types import SimpleNamespace

import numpy as np
import pytest
from scene import Scene

from steadyface import demo
from steadyface.align.alignment import Alignment
from steadyface.demo import SIZE, measure, run_demo, script
from steadyface.errors import InputError
from steadyface.live import LiveTracker
from steadyface.rotation import axis_angle_from_matrix
from steadyface.video import read_video


def truth_at(truth):
    """The script as a scene's face, which weak perspective sees."""
    seen = axis_angle_from_matrix(truth.seen_rotation())

    def face(index):
        return Alignment(
            rotation=seen[index],
            scale=float(truth.scale[index]),
            translation=truth.scale[index] * truth.translation[index, :2] + truth.center,
            identity=truth.identity,
            expression=truth.expression[index],
            landmark_sigma=np.full(68, 0.5),
            confidence=0.95,
        )

    return face


def test_the_truth_has_no_error(tiny_model):
    truth = script(tiny_model, 2.0)
    report = measure(truth, truth, 30.0)
    assert (report.frames, report.tracked) == (60, 60)
    assert report.landmarks == pytest.approx(0, abs=1e-9)
    assert report.angle_deg == pytest.approx(0, abs=1e-5)
    assert report.mouth == pytest.approx(1)
    assert report.eyes == pytest.approx(1)


def test_the_head_stays_in_the_picture_and_its_expressions_in_range(tiny_model):
    truth = script(tiny_model, 20.0)
    points = truth.landmarks("ibug68")
    assert (points[..., :2] > 0).all()
    assert (points[..., :2] < SIZE).all()
    assert ((truth.expression >= 0) & (truth.expression <= 1)).all()
    assert truth.expression[:, 0].max() > 0.5


def test_too_short_a_demo_is_refused(tiny_model):
    with pytest.raises(InputError, match=r"a second at least, got 0\.5"):
        script(tiny_model, 0.5)


@pytest.mark.parametrize("quality", ["live", "standard"])
def test_the_demo_films_tracks_and_measures(quality, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "FPS", 10.0)
    truth = script(tiny_model, 1.0)
    scene = Scene([truth_at(truth)], size=SIZE)
    shown = iter(range(1000))
    scene.index = lambda image: scene.now
    tracker = LiveTracker(model=tiny_model, detector=scene.detector, regressor=scene.regressor, max_faces=1)

    class Following:
        """The tracker, which tells the scene the frame it is at."""

        model = tiny_model

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __call__(self, frame, time_s):
            scene.now = next(shown)
            return tracker(frame, time_s)

    class Aligner:
        """Knows the points of the frame that the tracker was at."""

        vertices, shape = np.arange(tiny_model.vertex_count), tiny_model.shape

        def __call__(self, image, guess, crop):
            points = truth.image_points(self.shape, scene.now)[:, :2]
            return SimpleNamespace(points=points, sigma=np.full(len(points), 0.5))

    steps = []
    report = run_demo(
        tmp_path,
        seconds=1.0,
        quality=quality,
        tracker=Following(),
        aligner=Aligner(),
        stage=steps.append,
        progress=lambda *n: steps.append(n),
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.mp4", "face0.npz", "overlay.mp4"]
    assert report.tracked == 10
    assert report.angle_deg < 0.5
    # The fit finds the camera, of which weak perspective knows nothing.
    assert (report.landmarks < 2) == (quality == "standard")
    assert report.mouth > 0.9
    fitting = ["fitting", (10, 10)] if quality == "standard" else []
    every = [(i + 1, 10) for i in range(10)]
    assert steps == ["filming", *every, "following", *every, *fitting, "overlay", *every]
    assert "tracked 10 of 10 frames" in str(report)
    with read_video(tmp_path / "demo.mp4") as reader:
        frames = [f.image for f in reader]
    # The head is drawn where the truth says: its middle stands out from the background around it.
    row = truth.landmarks("ibug68", 0)[:, :2].mean(0).astype(int)
    assert frames[0].shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(frames[0][row[1], row[0]].astype(int) - frames[0][5, 5]).max() > 15
