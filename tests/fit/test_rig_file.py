import json

import numpy as np
import pytest
from sequence_scene import SIZE, two_cameras

from steadyface.errors import InputError
from steadyface.fit.rig_file import read_cameras, write_cameras


def write(path, *cameras):
    path.write_text(json.dumps({"cameras": cameras}))
    return path


def test_cameras_come_back_as_they_were_written(tmp_path):
    rig = two_cameras()
    write_cameras(rig, [SIZE, (320, 240)], tmp_path / "cameras.json")
    again, sizes = read_cameras(tmp_path / "cameras.json")
    for name in ("focal", "center", "rotation", "translation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rig, name))
    assert again.known
    assert sizes == [SIZE, (320, 240)]


def test_a_matrix_is_focal_length_and_centre(tmp_path):
    k = [[900, 0, 310.5], [0, 900.5, 250], [0, 0, 1]]
    path = write(tmp_path / "a.json", {"K": k, "image_size": [640, 480]}, {"focal": 500})
    rig, sizes = read_cameras(path, [None, (100, 50)])
    np.testing.assert_allclose(rig.focal, [900.25, 500])
    np.testing.assert_allclose(rig.center, [[310.5, 250], [49.5, 24.5]])
    assert not rig.known
    assert sizes == [(640, 480), (100, 50)]
    # The place of one camera alone is no question.
    assert read_cameras(write(tmp_path / "b.json", {"focal": 9, "center": [1, 2]}))[0].known


PLACE = {"rotation": np.eye(3).tolist(), "translation": [0, 0, 0]}
GOOD = {"focal": 900, "center": [1, 2]}


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ([GOOD | {"fx": 1}], "camera 0: unknown key 'fx': known are focal, K, center"),
        ([GOOD, {"center": [1, 2]}], "camera 1: give focal (px) or K (3 x 3), one of them"),
        ([{"focal": 900}], "camera 0: give center ([x, y] px) or image_size ([width, height])"),
        ([GOOD | {"focal": -1}], "the focal length must be > 0 px; got -1"),
        ([GOOD | {"focal": "long"}], "focal must be a number; got long"),
        ([GOOD | {"center": [1]}], "center must be 2 numbers; got [1]"),
        ([GOOD | {"rotation": PLACE["rotation"]}], "rotation and translation go together"),
        ([GOOD | PLACE | {"rotation": (2 * np.eye(3)).tolist()}], "must be a rotation matrix"),
        ([GOOD | PLACE | {"rotation": np.diag([1, 1, -1]).tolist()}], "must be a rotation matrix"),
        ([GOOD | PLACE, GOOD], "give rotation and translation for all cameras or for none"),
        ([{"K": [[900, 0, 1], [0, 500, 2], [0, 0, 1]]}], "square pixels without skew"),
        ([{"K": [[900, 5, 1], [0, 900, 2], [0, 0, 1]]}], "square pixels without skew"),
        ([GOOD | {"distortion": [0.1, 0, 0, 0]}], "lenses that distort are unknown here: undistort"),
        ([GOOD | {"image_size": [0, 1]}], "the image size must be (width, height) > 0 px"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, cameras, message):
    with pytest.raises(InputError) as error:
        read_cameras(write(tmp_path / "cameras.json", *cameras))
    assert message in str(error.value)
    assert "cameras.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_list_of_cameras_is_refused(tmp_path):
    path = tmp_path / "cameras.json"
    for text in ("[]", "{}", '{"cameras": []}', '{"cameras": [1]}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r'must be \{"cameras": \['):
            read_cameras(path)
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_cameras(path)
    with pytest.raises(InputError, match="cannot read"):
        read_cameras(tmp_path / "none.json")
    with pytest.raises(InputError, match="has 1 cameras, but there are 2 views"):
        read_cameras(write(path, GOOD), [SIZE, SIZE])
