import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.points.image_points import ImagePoints, on_one_time_line

nan = np.nan


def view(frames, **known):
    """A camera with two points in each frame, x being the frame's number."""
    frames = np.asarray(frames)
    x = frames.astype(float)[:, None]
    points = np.stack([np.hstack([x, x]), np.hstack([x, x]) + 100], -1)
    return ImagePoints(points, np.ones((len(frames), 2)), frame_index=frames, **known)


def test_frames_nobody_saw_are_filled_in_where_the_gap_is_short():
    line = on_one_time_line([view([2, 3, 6, 30], fps=10.0)], gap_s=0.5)
    np.testing.assert_array_equal(line.frame_index, [2, 3, 4, 5, 6, 30])
    np.testing.assert_allclose(line.time_s, np.array([2, 3, 4, 5, 6, 30]) / 10)
    assert line.fps == 10
    seen = np.isfinite(line.points).all((1, 2, 3))
    np.testing.assert_array_equal(seen, [True, True, False, False, True, True])
    np.testing.assert_array_equal(np.isfinite(line.sigma[:, 0, 0]), seen)
    np.testing.assert_array_equal(on_one_time_line([view([2, 3, 6, 30])], gap_s=0).frame_index, [2, 3, 6, 30])


def test_empty_frames_at_the_ends_are_left_out_and_huge_numbers_cost_nothing():
    v = view([0, 1, 2, 3, 10**12])
    v.points[[0, 3]] = nan
    line = on_one_time_line([v])
    np.testing.assert_array_equal(line.frame_index, [1, 2, 10**12])


def test_cameras_are_put_together_by_their_frames():
    line = on_one_time_line([view([0, 1, 3]), view([1, 2, 3])])
    np.testing.assert_array_equal(line.frame_index, [0, 1, 2, 3])
    x = line.points[:, :, 0, 0]
    np.testing.assert_array_equal(x, [[0, nan], [1, 1], [nan, 2], [3, 3]])
    np.testing.assert_array_equal(line.sigma[:, :, 0], np.where(np.isfinite(x), 1, np.inf))


def test_times_are_those_of_the_points_or_the_video():
    times = np.array([0.0, 0.1, 0.35])
    line = on_one_time_line([view([0, 1, 3], time_s=times), view([0, 2, 5])])
    np.testing.assert_allclose(line.time_s, [0, 0.1, 0.225, 0.35, 0.35 + 0.1, 0.35 + 0.2], atol=0.03)
    assert line.time_s[2] == pytest.approx(0.225)
    assert line.time_s[-1] == pytest.approx(0.35 + 2 / line.fps)
    video = np.array([0, 0.2, 0.25, 0.9])
    line = on_one_time_line([view([0, 1, 3], time_s=times)], video)
    np.testing.assert_array_equal(line.time_s, [0, 0.2, 0.9])
    assert on_one_time_line([view([0, 1])]).fps == 30


def test_what_does_not_go_together_is_named():
    plain = ImagePoints(np.ones((4, 2, 2)), np.ones((4, 2)))
    late = view([0, 1, 2], time_s=np.array([1.0, 2, 3]))
    for views, video, message in (
        (
            [view([0, 1, 2]), plain],
            None,
            "all cameras need the same frames, got 3, 4: cut the files, or give",
        ),
        (
            [view([0, 1, 2], time_s=np.array([0.0, 1, 2])), late],
            None,
            "differ by 1000 ms in frames of the same",
        ),
        ([view([0, 9])], np.arange(5.0), "points of frame 9, but the video has frames 0 to 4"),
        ([ImagePoints(np.full((4, 2, 2), nan), np.ones((4, 2)))], None, "no point is seen"),
    ):
        with pytest.raises(InputError) as error:
            on_one_time_line(views, video)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
