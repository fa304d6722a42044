import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.prediction import Prediction
from steadyface.face_model.morphable import load_face_model
from steadyface.points.npz_file import read_npz_points
from steadyface.track import Track

POINTS = np.random.default_rng(0).uniform(0, 100, (5, 7, 3))


def test_one_camera_with_all_that_may_be_known(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        points=POINTS,
        sigma=np.full((5, 7), 0.5),
        frame_index=np.arange(5) * 2,
        time_s=np.arange(5) / 10,
        fps=20,
        image_size=[640, 480],
        names=list("abcdefg"),
        markup="mine",
    )
    (view,) = read_npz_points(tmp_path / "a.npz")
    np.testing.assert_array_equal(view.points, POINTS[..., :2])
    np.testing.assert_array_equal(view.sigma, 0.5 * np.ones((5, 7)))
    np.testing.assert_array_equal(view.frame_index, [0, 2, 4, 6, 8])
    assert (view.fps, view.image_size, view.names, view.markup) == (20, (640, 480), tuple("abcdefg"), "mine")
    np.save(tmp_path / "a.npy", POINTS)
    (view,) = read_npz_points(tmp_path / "a.npy")
    np.testing.assert_array_equal(view.points, POINTS[..., :2])


def test_several_cameras(tmp_path):
    points = np.random.default_rng(1).uniform(0, 100, (5, 2, 7, 2))
    np.savez(tmp_path / "a.npz", points=points, image_size=[[640, 480], [320, 240]], sigma=points[..., 0] + 1)
    views = read_npz_points(tmp_path / "a.npz")
    assert [v.image_size for v in views] == [(640, 480), (320, 240)]
    for c, view in enumerate(views):
        np.testing.assert_array_equal(view.points, points[:, c])
        np.testing.assert_array_equal(view.sigma, points[:, c, :, 0] + 1)


def test_a_track_and_a_prediction_are_points_too(tmp_path):
    model = load_face_model()
    track = Track.from_image_pose(
        frame_index=np.array([3, 5]),
        time_s=np.array([0.1, 0.2]),
        rotation=np.zeros((2, 3)),
        translation=np.full((2, 2), 200.0),
        scale=np.ones(2),
        identity=np.zeros(model.identity_count),
        expression=np.zeros((2, model.expression_count)),
        sigma=np.full((2, 68), 1.5),
        confidence=np.ones(2),
        image_size=(400, 300),
        fps=20.0,
        model=model,
    )
    track.save(tmp_path / "track.npz")
    (view,) = read_npz_points(tmp_path / "track.npz", "ibug68")
    np.testing.assert_allclose(view.points, track.landmarks("ibug68")[..., :2])
    np.testing.assert_array_equal(view.sigma, track.sigma)
    np.testing.assert_array_equal(view.frame_index, [3, 5])
    assert view.image_size == (400, 300)
    (view,) = read_npz_points(tmp_path / "track.npz")
    assert view.points.shape == (2, 478, 2)

    Prediction.from_track(track, 6).save(tmp_path / "prediction.npz")
    (view,) = read_npz_points(tmp_path / "prediction.npz")
    assert view.markup == "mediapipe478"
    np.testing.assert_array_equal(view.seen.all(1), np.isin(np.arange(6), [3, 5]))
    (view,) = read_npz_points(tmp_path / "prediction.npz", "ibug68")
    np.testing.assert_allclose(view.points[[3, 5]], track.landmarks("ibug68")[..., :2], atol=1e-3)
    with pytest.raises(InputError, match=r"prediction\.npz: .* has the points ibug68, mediapipe478"):
        read_npz_points(tmp_path / "prediction.npz", "aflw21")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle ran",))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": POINTS, "sigmas": 1}, "unknown key 'sigmas': known are points, sigma"),
        ({"sigma": 1}, "it lacks the key 'points'"),
        ({"points": POINTS[0]}, r"points must be (T, L, 2) or (T, L, 3) pixels; got (7, 3)"),
        ({"points": POINTS[:0]}, r"points must be (T, L, 2) or (T, L, 3) pixels; got (0, 7, 3)"),
        ({"points": np.array(["a"])}, "points must be numbers; got an array of <U1"),
        ({"points": np.zeros((5, 2, 7, 3))}, "points of several cameras must be (T, C, L, 2)"),
        ({"points": POINTS, "sigma": np.ones(5)}, "sigma of shape (5, 7); got (5,)"),
        ({"points": np.zeros((5, 2, 7, 2)), "sigma": np.ones(5)}, "sigma must be (5, 2, 7) px"),
        ({"points": np.zeros((5, 2, 7, 2)), "image_size": np.ones(5)}, "image_size must be (2,) or (2, 2)"),
        ({"points": POINTS, "time_s": np.zeros(5)}, "time_s must be finite and increase"),
        ({"points": POINTS, "frame_index": np.arange(5)[::-1]}, "whole numbers >= 0 that increase"),
        ({"points": POINTS, "frame_index": np.arange(5) + 0.5}, "whole numbers >= 0 that increase"),
        ({"points": POINTS, "fps": 0}, "fps must be > 0; got 0"),
        ({"points": POINTS, "fps": [1, 2]}, "fps must be a single value"),
        ({"points": POINTS, "image_size": [0, 5]}, "the image size must be (width, height) > 0 px"),
        ({"points": POINTS, "names": ["a"]}, "7 points need as many names; got 1"),
        ({"points": np.array([Bomb()], object)}, "cannot read"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError) as error:
        read_npz_points(tmp_path / "a.npz")
    assert message in str(error.value)
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_broken_files_and_pickles_are_refused(tmp_path):
    np.save(tmp_path / "bomb.npy", np.array([Bomb()], object))
    (tmp_path / "noise.npz").write_bytes(b"PK\x03\x04 noise")
    (tmp_path / "noise.npy").write_bytes(b"noise")
    for name in ("bomb.npy", "noise.npz", "noise.npy"):
        with pytest.raises(InputError, match=f"cannot read .*{name}") as error:
            read_npz_points(tmp_path / name)
        assert "\n" not in str(error.value)
