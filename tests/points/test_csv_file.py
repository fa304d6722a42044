import numpy as np
import pytest
from sequence_scene import SIZE

from steadyface.errors import InputError
from steadyface.export.table import write_csv
from steadyface.fit.rig import Rig
from steadyface.fit.sequence import fit_sequence
from steadyface.points.csv_file import read_csv

nan = np.nan


def table(tmp_path, *lines):
    (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "points.csv"


def test_a_row_a_frame(tmp_path):
    view = read_csv(
        table(tmp_path, "frame,time_s,x0,y0,x1,y1", "7,0.5,1,2,3,4", "3,0.1,5,6,,", "", "9,0.6,nan,nan,7,8")
    )
    np.testing.assert_array_equal(view.frame_index, [3, 7, 9])
    np.testing.assert_array_equal(view.time_s, [0.1, 0.5, 0.6])
    np.testing.assert_array_equal(view.points, [[[5, 6], [nan, nan]], [[1, 2], [3, 4]], [[nan, nan], [7, 8]]])
    assert view.names == ("0", "1")
    assert view.sigma is None


def test_columns_come_in_any_order_and_points_may_have_names_and_sigmas(tmp_path):
    view = read_csv(table(tmp_path, "y_1;x_1;x_0;y_0;note", "4;3;1;2;5", "8;7;5;6;0"))
    np.testing.assert_array_equal(view.points, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    assert view.frame_index is None
    view = read_csv(
        table(tmp_path, "tip_x,tip_y,tip_sigma,left eye_x,left eye_y,left eye_sigma", "1,2,0.5,3,4,2")
    )
    assert view.names == ("tip", "left eye")
    np.testing.assert_array_equal(view.points, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(view.sigma, [[0.5, 2]])


def test_openface_counts_frames_from_one_and_says_when_it_lost_the_face(tmp_path):
    # Its 3D points are X_0, its eyes' and gaze's columns look like points with names.
    head = "frame, face_id, timestamp, confidence, success, gaze_0_x, gaze_0_y, eye_lmk_x_0, eye_lmk_y_0, "
    head += "x_0, x_1, y_0, y_1, X_0, Y_0, AU01_r"
    rest = "0.1, 0.2, 50, 60, 10.5, 11.5, 20, 21, 1, 2, 0.3"
    view = read_csv(
        table(
            tmp_path, head, f"1, 0, 0, 0.98, 1, {rest}", f"2, 0, 0.04, 0, 0, {rest}", f"4,0,0.12,1,1,{rest}"
        )
    )
    np.testing.assert_array_equal(view.frame_index, [0, 1, 3])
    np.testing.assert_array_equal(view.time_s, [0, 0.04, 0.12])
    seen = [[10.5, 20], [11.5, 21]]
    np.testing.assert_array_equal(view.points, [seen, np.full((2, 2), nan), seen])


def test_a_row_a_point(tmp_path):
    view = read_csv(
        table(tmp_path, "frame,point,x,y,sigma", "2,1,3,4,0.5", "2,0,1,2,0.25", "0,2,5,6,1", "4,0,7,8,1")
    )
    np.testing.assert_array_equal(view.frame_index, [0, 2, 4])
    lost = [nan, nan]
    np.testing.assert_array_equal(
        view.points, [[lost, lost, [5, 6]], [[1, 2], [3, 4], lost], [[7, 8], lost, lost]]
    )
    np.testing.assert_array_equal(view.sigma, [[nan, nan, 1], [0.25, 0.5, nan], [1, nan, nan]])
    view = read_csv(table(tmp_path, "frame,time_s,point,x,y", "0,0.5,tip,1,2", "0,0.5,chin,3,4"))
    assert view.names == ("tip", "chin")
    np.testing.assert_array_equal(view.points, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(view.time_s, [0.5])


def test_our_own_table_is_read_back(tiny_model, tmp_path):
    shape = tiny_model.landmarks("ibug68")
    points = np.tile(shape.mean[:, :2] + 300, (3, 1, 1))
    fit = fit_sequence(points, np.ones((3, 68)), shape, rig=Rig.single(SIZE))
    track = fit.to_track(tiny_model, image_size=SIZE, fps=25.0, frame_index=np.array([4, 5, 8]))
    write_csv(track, tmp_path / "face.csv")
    view = read_csv(tmp_path / "face.csv")
    assert view.points.shape == (3, 68, 2)
    np.testing.assert_allclose(view.points, track.landmarks("ibug68")[..., :2], atol=1e-3)
    np.testing.assert_allclose(view.sigma, track.sigma, atol=1e-3)
    np.testing.assert_array_equal(view.frame_index, [4, 5, 8])


HEAD = "frame,time_s,x0,y0"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "points.csv is empty: a table of points needs a head line"),
        ([HEAD], "points.csv has no row"),
        ([HEAD, "0,0,1,2", "", "1,0.1,one,2"], "line 4: x0 must be a number or empty; got 'one'"),
        ([HEAD, "0,0,1,2", "1,0.1,1"], "line 3: 3 cells where the head line has 4"),
        ([HEAD, "0,0,1,2", "0,0.1,1,2"], "line 3: frame 0 is there twice: give the rows of one face alone"),
        ([HEAD, "0,0,1,2", "1.5,0.1,1,2"], "line 3: frame must be a whole number >= 0; got 1.5"),
        ([HEAD, ",0,1,2"], "line 2: frame must be a whole number >= 0; got nan"),
        ([HEAD, "1e30,0,1,2"], "line 2: frame must be a whole number >= 0"),
        ([HEAD, "0,1,1,2", "1,0.5,1,2"], "line 3: the time must increase from frame to frame; got 0.5"),
        ([HEAD, "0,,1,2"], "line 2: the time must increase from frame to frame; got nan"),
        (["frame,x0,y0,x0", "0,1,2,3"], "line 1: the column x0 is there twice"),
        (["frame,a,b", "0,1,2"], "line 1: no points in the columns frame, a, b"),
        (["x0,y0,x2,y2", "0,1,2,3"], "numbered from 0 without gaps; got 0, 2"),
        (["point,x,y", "0,1,2"], "with a row a point needs the column frame"),
        (["frame,point,x,y", "0,1,1,2", "0,1,3,4"], "line 3: point 1 of frame 0 is there twice"),
        (["frame,point,x,y", "0,123456789,1,2"], "line 2: points are numbered from 0; got 123456789"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, lines, message):
    with pytest.raises(InputError) as error:
        read_csv(table(tmp_path, *lines))
    assert message in str(error.value)
    assert "points.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "points.csv").write_bytes(b"frame,x0,y0\n0,\xff\xfe,1\n")
    with pytest.raises(InputError, match=r"points\.csv is not a table of text"):
        read_csv(tmp_path / "points.csv")
    with pytest.raises(InputError, match=r"cannot read .*none\.csv: No such file"):
        read_csv(tmp_path / "none.csv")


def test_columns_that_are_not_needed_may_hold_anything(tmp_path):
    view = read_csv(table(tmp_path, "note,x0,y0,point", "hello,1,2,a", ",3,4,"))
    np.testing.assert_array_equal(view.points, [[[1, 2]], [[3, 4]]])
