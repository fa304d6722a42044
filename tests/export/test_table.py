import csv

import numpy as np
import pytest

from steadyface.export.table import table_columns, write_csv
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler
from steadyface.track import Track


def test_rows_hold_the_track(tiny_model, tmp_path):
    angles = np.deg2rad([[5.0, -20.0, 3.0], [0, 40, 0]])
    track = Track.from_image_pose(
        frame_index=np.array([4, 6]),
        time_s=np.array([0.16, 0.24]),
        rotation=axis_angle_from_matrix(matrix_from_euler(angles)),
        translation=np.array([[320.0, 200], [300, 210]]),
        scale=np.array([1.5, 1.6]),
        identity=np.zeros(tiny_model.identity_count),
        expression=np.array([[0.25, 0, 0, 1], [0, 0, 0, 0]]),
        sigma=np.full((2, 68), 0.5),
        confidence=np.array([0.9, 0.8]),
        image_size=(640, 480),
        fps=25.0,
        model=tiny_model,
    )
    write_csv(track, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == table_columns(track)
    assert [r["frame"] for r in rows] == ["4", "6"]
    first = {k: float(v) for k, v in rows[0].items()}
    assert [first[f"{n}_deg"] for n in ("pitch", "yaw", "roll")] == pytest.approx([5, -20, 3], abs=1e-3)
    assert first["jawOpen"] == 0.25
    assert first["landmark_07_x"] == pytest.approx(track.landmarks("ibug68")[0, 7, 0], abs=1e-3)
    assert first["landmark_07_sigma"] == 0.5
    assert float(rows[1]["time_s"]) == 0.24


def test_a_track_that_knows_says_where_it_was_filled_in_and_refined(tiny_model, tmp_path):
    one = np.ones(2)
    track = Track.from_image_pose(
        frame_index=np.arange(2),
        time_s=np.arange(2) / 25,
        rotation=np.zeros((2, 3)),
        translation=np.full((2, 2), 100.0),
        scale=one,
        identity=np.zeros(tiny_model.identity_count),
        expression=np.zeros((2, tiny_model.expression_count)),
        sigma=np.ones((2, 68)),
        confidence=np.array([0.8, 0]),
        image_size=(640, 480),
        fps=25.0,
        model=tiny_model,
        interpolated=np.array([False, True]),
        refined=np.array([True, False]),
        irradiance=np.zeros((2, 33)),
    )
    write_csv(track, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["frame", "time_s", "confidence", "interpolated", "refined"]
    assert [r["refined"] for r in rows] == ["1", "0"]
    assert list(rows[0]) == table_columns(track)
    assert [(r["interpolated"], float(r["confidence"])) for r in rows] == [("0", 0.8), ("1", 0)]
    assert float(rows[1]["landmark_67_sigma"]) == 1
