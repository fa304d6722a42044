import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.points.pts_file import read_pts, read_pts_frames


def test_pts_count_pixels_from_one(tmp_path):
    file = tmp_path / "a.pts"
    file.write_text("version: 1\nn_points:  3\n{\n1.0 1.0\n640 480\n101.25 57.5\n}\n")
    np.testing.assert_array_equal(read_pts(file), [[0, 0], [639, 479], [100.25, 56.5]])
    file.write_text("version: 1\nn_points: 1\n{\n5 6 -7.5\n}")
    # Depth has no first pixel.
    np.testing.assert_array_equal(read_pts(file, 1), [[4, 5, -7.5]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: 1\nn_points: 2\n{\n1 1\n}\n",
        "version: 1\nn_points 1\n{\n1 1\n}\n",
        "version: 1\nn_points: 1\n{\n1 1\n",
        "version: 1\nn_points: 2\n{\n1 1\n1 2 3\n}\n",
        "version: 1\nn_points: 1\n{\nnose 1\n}\n",
    ],
)
def test_what_is_no_pts_file_is_refused(tmp_path, text):
    file = tmp_path / "a.pts"
    file.write_text(text)
    with pytest.raises(InputError, match=r"a\.pts is not a \.pts file"):
        read_pts(file)


def test_pts_of_another_number_of_points_are_refused(tmp_path):
    file = tmp_path / "a.pts"
    file.write_text("version: 1\nn_points: 1\n{\n1 1\n}\n")
    with pytest.raises(InputError, match="has 1 points where 68 are expected"):
        read_pts(file, 68)


def write(path, points):
    lines = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n")


def test_frames_are_numbered_by_their_names_from_one(tmp_path):
    for number in (10, 9, 1):
        write(tmp_path / f"{number}.pts", [(number + 1, 1), (5, 5)])
    view = read_pts_frames(tmp_path.glob("*.pts"))
    np.testing.assert_array_equal(view.frame_index, [0, 8, 9])
    np.testing.assert_array_equal(view.points[:, 0], [[1, 0], [9, 0], [10, 0]])
    write(tmp_path / "frame_0.pts", [(1, 1), (5, 5)])
    np.testing.assert_array_equal(read_pts_frames(tmp_path.glob("*.pts")).frame_index, [0, 1, 9, 10])


def test_names_without_numbers_are_taken_in_order(tmp_path):
    for name, x in (("a", 1), ("b", 2), ("c", 3)):
        write(tmp_path / f"{name}.pts", [(x, 1)])
    view = read_pts_frames(tmp_path.glob("*.pts"))
    np.testing.assert_array_equal(view.frame_index, [0, 1, 2])
    np.testing.assert_array_equal(view.points[:, 0, 0], [0, 1, 2])


def test_files_of_one_sequence_have_equally_many_points(tmp_path):
    write(tmp_path / "1.pts", [(1, 1), (2, 2)])
    write(tmp_path / "2.pts", [(1, 1)])
    with pytest.raises(InputError, match=r"2\.pts has 1 points where 2 are expected"):
        read_pts_frames(tmp_path.glob("*.pts"))
    with pytest.raises(InputError, match=r"there is no \.pts file"):
        read_pts_frames([])
    with pytest.raises(InputError, match=r"cannot read .*none\.pts: No such file"):
        read_pts_frames([tmp_path / "none.pts"])
