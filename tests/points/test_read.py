import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.points.read import read_points

POINTS = np.arange(12.0).reshape(2, 3, 2)


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "a.npz", points=POINTS)
    (tmp_path / "a.csv").write_text("x0,y0,x1,y1,x2,y2\n0,1,2,3,4,5\n6,7,8,9,10,11\n")
    (tmp_path / "pts").mkdir()
    for i in range(2):
        lines = "\n".join(f"{x} {y}" for x, y in POINTS[i] + 1)
        (tmp_path / "pts" / f"{i + 1:06d}.pts").write_text(f"version: 1\nn_points: 3\n{{\n{lines}\n}}\n")
    return tmp_path


def test_all_kinds_of_files_say_the_same(files):
    both = sorted((files / "pts").glob("*.pts"))
    for paths in (files / "a.npz", str(files / "a.csv"), files / "pts", both):
        (view,) = read_points(paths)
        np.testing.assert_array_equal(view.points, POINTS)
        np.testing.assert_array_equal(view.frames, [0, 1])
    views = read_points([files / "a.npz", files / "pts"], image_size=(20, 10), markup="mine")
    assert len(views) == 2
    assert views[1].image_size == (20, 10)
    assert views[1].markup == "mine"


@pytest.mark.parametrize(
    ("pixels", "change"),
    [
        ("centers", lambda x: x),
        ("corners", lambda x: x - 0.5),
        ("one", lambda x: x - 1),
        ("normalized", lambda x: x * [20, 10] - 0.5),
    ],
)
def test_pixels_may_be_counted_otherwise(files, pixels, change):
    (view,) = read_points(files / "a.npz", pixels=pixels, image_size=(20, 10))
    np.testing.assert_allclose(view.points, change(POINTS))
    # What is asked for is taken off what the file says, not off what was moved before.
    (view,) = read_points(files / "pts", pixels=pixels, image_size=(20, 10))
    np.testing.assert_allclose(view.points, change(POINTS + 1))


def test_wrong_arguments_are_one_line(files):
    (files / "a.txt").write_text("")
    (files / "none").mkdir()
    for arguments, message in (
        ({"paths": files / "a.npz", "pixels": "half"}, "unknown pixels 'half': known are centers, corners"),
        ({"paths": files / "a.npz", "pixels": "normalized"}, "are normalized: give the image size"),
        ({"paths": files / "b.npz"}, "there is no such file"),
        ({"paths": files / "a.txt"}, "of an unknown kind"),
        ({"paths": files / "none"}, "has no .pts file"),
        ({"paths": files / "a.npz", "image_size": (0, 0)}, "the image size must be"),
    ):
        with pytest.raises(InputError) as error:
            read_points(**arguments)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
