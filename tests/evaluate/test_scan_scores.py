"""Scans in a calibrated camera: the seven points that are seen, and errors that do not depend on units."""

import numpy as np
import pytest
from filmed_clip import clip_of, perfect, script_of

from steadyface.errors import InputError
from steadyface.evaluate.datasets.sample import Calibration, Clip, Mesh
from steadyface.evaluate.prediction import Prediction
from steadyface.evaluate.protocol import Contender, evaluate
from steadyface.evaluate.scan_scores import scan_error, score_scans, seen_points, seven_pixels
from steadyface.evaluate.tables import dataset_section
from steadyface.rotation import matrix_from_axis_angle

TURN = matrix_from_axis_angle(np.array([0.3, -0.5, 0.1]))
MOVE = np.array([100.0, -40, 300])


def in_the_world(points, unit=1.0):
    """Points of the camera frame in a world of another unit, turned and moved."""
    return (points - MOVE) @ TURN * unit


def camera_of(script, unit=1.0):
    """The calibration of a script's camera, in units of that world."""
    intrinsics = np.array([[script.focal, 0, 320], [0, script.focal, 240], [0, 0, 1.0]])
    return Calibration(intrinsics, np.column_stack([TURN, unit * MOVE]))


def test_the_camera_sees_the_vertex_in_front():
    script_camera = Calibration(np.diag([100.0, 100, 1]), np.eye(3, 4))
    front = np.array([[x, y, 50.0] for x in range(-5, 6) for y in range(-5, 6)])
    behind = np.concatenate([2 * front, [[0, 0, -10]]])
    pixels = np.array([[4.0, 2.0], [-6.0, 8.0]])
    seen = seen_points(pixels, np.concatenate([behind, front]), script_camera)
    np.testing.assert_array_equal(seen[:, 2], 50)
    np.testing.assert_allclose(seen[:, :2], pixels / 2, atol=1.1)
    with pytest.raises(InputError, match="before the camera"):
        seen_points(pixels, -front, script_camera)


def test_a_scan_of_the_prediction_itself_is_close_in_any_unit(tiny_model):
    clip = clip_of(script_of(tiny_model))
    script = clip.attributes["truth"].script
    prediction = perfect(clip)

    def error(unit, offset=0.0):
        vertices = script.vertices(3)
        scan = Mesh(in_the_world(vertices + offset, unit), tiny_model.triangles)
        return scan_error(prediction, 3, scan, camera_of(script, unit), tiny_model)

    np.testing.assert_allclose([error(1.0), error(0.013)], 0, atol=1e-6)
    bumps = np.random.default_rng(0).normal(0, 3, (tiny_model.vertex_count, 3))
    np.testing.assert_allclose(error(1.0, bumps), error(0.013, bumps), rtol=1e-3)
    assert 0.5 < error(1.0, bumps)[1] < 10


def test_what_a_method_does_not_give_is_not_scored(tiny_model):
    clip = clip_of(script_of(tiny_model))
    script = clip.attributes["truth"].script
    points = Prediction("points", np.ones(48, bool), {"ibug68": clip.landmarks})
    meshes = [lambda: Mesh(in_the_world(script.vertices(0)), tiny_model.triangles)] * 48
    scores = score_scans(points, meshes, [camera_of(script)] * 48, tiny_model, moving=True)
    assert set(scores.values) == {"found", "memory_mb", "jitter"}
    other = Prediction("other", np.ones(1, bool), {"aflw21": np.zeros((1, 21, 2))})
    assert seven_pixels(other, 0) is None


def test_clips_with_meshes_alone_are_scored_by_them(tmp_path, tiny_model, monkeypatch):
    model = tiny_model
    monkeypatch.setattr("steadyface.evaluate.protocol.load_face_model", lambda: model)
    clip = clip_of(script_of(model))
    script = clip.attributes["truth"].script
    video = tmp_path / "video.mp4"
    video.write_bytes(b"")
    scanned = Clip(
        *("scans", "s", video, 6),
        calibration=camera_of(script),
        mesh=lambda i: Mesh(in_the_world(script.vertices(i)), model.triangles),
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    perfect(clip).save(folder / "s.npz")
    results = evaluate([scanned], [Contender("mine", folder=folder)], tmp_path / "out")
    values = results[0].scores.values
    assert values["scan_median"] < 0.5
    assert values["found"] == 100
    assert values["jitter"] > 0
    section = dataset_section(results, "scans", "Scans", "c")
    (table,) = [t for t in section.tables if t.caption.startswith("Scan to surface")]
    assert table.columns == ("method", "median %", "mean %", "deviation %")
    again = evaluate([scanned], [Contender("mine", folder=folder)], tmp_path / "out")
    assert dict(again[0].scores.values) == pytest.approx(dict(values), nan_ok=True)
