import math

import numpy as np
import pytest

from steadyface.errors import InputError, OutputError
from steadyface.evaluate.prediction import Prediction
from steadyface.rotation import matrix_from_axis_angle
from steadyface.track import Track

FOUND = np.array([True, False, True, True])


def missing(array):
    array = np.asarray(array, float)
    array[~FOUND] = np.nan
    return array


def whole():
    """The fields of a prediction of 4 frames that gives everything, the second frame without a face."""
    rng = np.random.default_rng(0)
    return {
        "method": "some tool 1.2",
        "found": FOUND,
        "points": {
            "ibug68": missing(rng.normal(0, 9, (4, 68, 2))),
            "mediapipe478": missing(rng.normal(0, 9, (4, 478, 3))),
            "own5": missing(rng.normal(0, 9, (4, 5, 3))),
        },
        "vertices": missing(rng.normal(0, 9, (4, 6, 3))),
        "vertex_pixels": missing(rng.normal(0, 9, (4, 6, 2))),
        "triangles": np.array([[0, 1, 2], [3, 4, 5]]),
        "metric": True,
        "rotation": missing(matrix_from_axis_angle(rng.normal(0, 1, (4, 3)))),
        "expression": missing(rng.uniform(0, 1, (4, 2))),
        "expression_names": ("jawOpen", "mouthPucker"),
        "seconds": np.array([0.5, 0.1, 0.1, 0.2]),
        "memory_mb": 123.5,
    }


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        if isinstance(a[key], dict):
            assert_same(a[key], b[key])
        else:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_a_file_gives_back_what_was_saved(tmp_path):
    Prediction(**whole()).save(tmp_path / "a.npz")
    assert_same(vars(Prediction.load(tmp_path / "a.npz")), whole())
    least = {"method": "m", "found": FOUND, "points": {"ibug68": whole()["points"]["ibug68"]}}
    Prediction(**least).save(tmp_path / "b.npz")
    again = Prediction.load(tmp_path / "b.npz")
    assert len(again) == 4
    assert again.vertices is again.rotation is again.expression is again.seconds is None
    assert not again.metric
    assert math.isnan(again.memory_mb)


def test_any_tool_may_write_the_file_with_numpy_alone(tmp_path):
    points = np.zeros((2, 68, 2), np.float32)
    points[1] = np.nan
    np.savez_compressed(
        tmp_path / "a.npz", method="mine", found=[True, False], points_ibug68=points, metric=False
    )
    prediction = Prediction.load(tmp_path / "a.npz")
    assert prediction.method == "mine"
    np.testing.assert_array_equal(prediction.found, [True, False])
    np.testing.assert_array_equal(prediction.points["ibug68"], points)


def track(model):
    rng = np.random.default_rng(1)
    return Track.from_image_pose(
        frame_index=np.array([1, 2, 4, 9]),
        time_s=np.array([1, 2, 4, 9]) / 25,
        rotation=rng.normal(0, 0.3, (4, 3)),
        translation=rng.uniform(50, 90, (4, 2)),
        scale=rng.uniform(0.5, 2, 4),
        identity=rng.normal(0, 1, model.identity_count),
        expression=rng.uniform(0, 1, (4, model.expression_count)),
        sigma=np.ones((4, 68)),
        confidence=np.ones(4),
        image_size=(160, 120),
        fps=25.0,
        model=model,
    )


def test_a_track_becomes_a_prediction_of_its_clip(tiny_model):
    followed = track(tiny_model)
    seconds = np.full(6, 0.01)
    prediction = Prediction.from_track(followed, 6, method="ours", seconds=seconds, memory_mb=80.0)
    assert (prediction.method, prediction.metric, prediction.memory_mb) == ("ours", True, 80.0)
    # The frame past the clip's end is left out.
    np.testing.assert_array_equal(np.flatnonzero(prediction.found), [1, 2, 4])
    for name in ("ibug68", "mediapipe478"):
        np.testing.assert_allclose(
            prediction.points[name][[1, 2, 4]], followed.landmarks(name)[:3], rtol=1e-5
        )
    np.testing.assert_allclose(prediction.vertices[4], followed.vertices()[2], rtol=1e-5)
    image = followed.image_points(tiny_model.shape)[2, :, :2]
    np.testing.assert_allclose(prediction.vertex_pixels[4], image, rtol=1e-5)
    np.testing.assert_allclose(
        prediction.rotation[2], matrix_from_axis_angle(followed.rotation[1]), atol=1e-6
    )
    np.testing.assert_allclose(prediction.expression[1], followed.expression[0], rtol=1e-5)
    assert prediction.expression_names == tiny_model.expression_names
    np.testing.assert_array_equal(prediction.triangles, tiny_model.triangles)


def test_no_track_is_a_prediction_without_a_face(tiny_model):
    none, some = (Prediction.from_track(t, 6, model=tiny_model) for t in (None, track(tiny_model)))
    assert not none.found.any()
    assert all(np.isnan(p).all() for p in none.points.values())
    assert np.isnan(none.vertices).all()
    for name in ("vertices", "vertex_pixels", "rotation", "expression"):
        assert getattr(none, name).shape == getattr(some, name).shape


def changed(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


BAD = {
    "found must be .* bool, got .* int64": lambda f: {"found": f["found"].astype(np.int64)},
    "needs points of some mark-up: ibug68": lambda f: {"points": {}},
    r"points_ibug68 must be \(4, 68, 2 or 3\) numbers, got \(4, 67, 2\)": lambda f: {
        "points": {"ibug68": f["points"]["ibug68"][:, 1:]}
    },
    r"points_ibug68 must be .* got \(3, 68, 2\)": lambda f: {"points": {"ibug68": f["points"]["ibug68"][1:]}},
    r"points_own must be \(4, L, 2 or 3\) .* got \(4, 5, 4\)": lambda f: {
        "points": {"own": np.zeros((4, 5, 4))}
    },
    "points_own5 must be .* numbers, got .* of <U": lambda f: {"points": {"own5": np.full((4, 5, 2), "x")}},
    "points_own is not finite in frame 2, where found says": lambda f: {
        "points": {"own": changed(f["points"]["own5"], (2, 1), np.nan)}
    },
    "points_own must be NaN in frame 1, where found is false": lambda f: {
        "points": {"own": changed(f["points"]["own5"], 1, 0)}
    },
    "vertices is not finite in frame 0": lambda f: {"vertices": changed(f["vertices"], 0, np.inf)},
    "triangles without vertices": lambda f: {"vertices": None, "vertex_pixels": None},
    "vertex_pixels without vertices": lambda f: {"vertices": None},
    "vertices without triangles": lambda f: {"triangles": None},
    r"triangles must be indices of the 6 vertices from 0, got 1 to 6": lambda f: {
        "triangles": f["triangles"] + 1
    },
    r"triangles must be \(F, 3\) integers, got .* float64": lambda f: {"triangles": 1.0 * f["triangles"]},
    "vertex_pixels must hold the 6 vertices": lambda f: {"vertex_pixels": f["vertex_pixels"][:, 1:]},
    "rotation must be rotation matrices": lambda f: {"rotation": 2 * f["rotation"]},
    "rotation must be rotation matrices: .* determinant 1": lambda f: {"rotation": -f["rotation"]},
    "expression and expression_names go together": lambda f: {"expression_names": None},
    r"expression is \(4, 2\) .* there are 1 names": lambda f: {"expression_names": ("jawOpen",)},
    r"seconds must be \(4,\), .* got \(3,\)": lambda f: {"seconds": f["seconds"][1:]},
    "seconds must be .* zero or more": lambda f: {"seconds": -f["seconds"]},
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_named(message):
    fields = whole()
    with pytest.raises(InputError, match=message):
        Prediction(**{**fields, **BAD[message](fields)})


FILES = {
    "it lacks the key found": {"method": "m", "points_ibug68": np.zeros((1, 68, 2))},
    "it lacks the key method": {"found": [True], "points_ibug68": np.zeros((1, 68, 2))},
    "unknown key 'landmarks': known are method, found, .* for example points_ibug68": {
        "method": "m",
        "found": [True],
        "landmarks": np.zeros((1, 68, 2)),
    },
    r"a.npz is not a prediction: points_ibug68 must be \(1, 68": {
        "method": "m",
        "found": [True],
        "points_ibug68": np.zeros((68, 2)),
    },
    "memory_mb must be a single value": {
        "method": "m",
        "found": [True],
        "points_ibug68": np.zeros((1, 68, 2)),
        "memory_mb": [1, 2],
    },
    "must be an npz file of plain arrays": {"method": np.array([{}], object)},
}


@pytest.mark.parametrize("message", FILES)
def test_malformed_files_are_explained(message, tmp_path):
    np.savez(tmp_path / "a.npz", **FILES[message])
    with pytest.raises(InputError, match=message):
        Prediction.load(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_other_files_are_no_predictions(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz is not a prediction"):
        Prediction.load(tmp_path / "a.npz")


def test_a_lone_array_is_no_prediction(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"a\.npz is not a prediction"):
        Prediction.load(tmp_path / "a.npz")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match=r"a\.npz: there is no such file"):
        Prediction.load(tmp_path / "a.npz")
    with pytest.raises(OutputError, match="does not exist"):
        Prediction(**whole()).save(tmp_path / "no" / "a.npz")
