import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.points.image_points import ImagePoints
from steadyface.points.markup import known_points, read_vertices


def view(count, names=None, markup=None):
    return ImagePoints(np.zeros((2, count, 2)), names=names, markup=markup)


@pytest.mark.parametrize(
    ("count", "name", "part"),
    [
        (68, "ibug68", slice(None)),
        (51, "ibug68", slice(17, None)),
        (478, "mediapipe478", slice(None)),
        (468, "mediapipe478", slice(468)),
    ],
)
def test_the_number_of_points_tells_what_they_are(tiny_model, count, name, part):
    known = known_points(tiny_model, view(count))
    shape = tiny_model.landmarks(name)
    np.testing.assert_array_equal(known.shape.mean, shape.mean[part])
    np.testing.assert_array_equal(known.shape.expression_basis, shape.expression_basis[:, part])
    # Corners and weights are the same points.
    at = (tiny_model.shape.mean[known.corners] * known.weights[..., None]).sum(1)
    np.testing.assert_allclose(at, known.shape.mean, atol=1e-4)
    nearest = np.linalg.norm(tiny_model.shape.mean[known.vertices] - known.shape.mean, axis=-1)
    other = np.linalg.norm(tiny_model.shape.mean[known.corners[:, 0]] - known.shape.mean, axis=-1)
    assert nearest.mean() <= other.mean()


def test_all_vertices_and_vertices_of_ones_own(tiny_model):
    v = tiny_model.vertex_count
    known = known_points(tiny_model, view(v))
    np.testing.assert_array_equal(known.shape.mean, tiny_model.shape.mean)
    known = known_points(tiny_model, view(3), [5, 17, 2])
    np.testing.assert_array_equal(known.shape.mean, tiny_model.shape.mean[[5, 17, 2]])
    np.testing.assert_array_equal(known.index, [0, 1, 2])
    named = known_points(tiny_model, view(3, ("tip", "chin", "ear")), {"ear": 9, "tip": 4})
    np.testing.assert_array_equal(named.index, [2, 0])
    np.testing.assert_array_equal(named.shape.identity_basis, tiny_model.shape.identity_basis[:, [9, 4]])


@pytest.mark.parametrize(
    ("points", "vertices", "message"),
    [
        (view(21), None, "21 points are of no known set: known are 68 (ibug68), 51 (ibug51)"),
        (view(68, markup="wflw98"), None, "unknown mark-up 'wflw98': known are ibug68, ibug51"),
        (view(68, markup="ibug51"), None, "ibug51 has 51 points; got 68"),
        (view(3), [1, 2], "3 points need as many vertices; got (2,)"),
        (
            view(3),
            [1, 2, 10**9],
            "whole numbers from 0 to 399 for the face model 'tiny'; got 1 to 1000000000",
        ),
        (view(3), [1, 2, -1], "whole numbers from 0 to 399"),
        (view(3), {"nose": 3}, "there is no point 'nose': the points are 0, 1, 2"),
    ],
)
def test_what_is_unknown_is_answered_with_what_is_known(tiny_model, points, vertices, message):
    with pytest.raises(InputError) as error:
        known_points(tiny_model, points, vertices)
    assert message in str(error.value)


def test_vertices_are_read_from_json(tmp_path):
    path = tmp_path / "points.json"
    for text, wanted in (("[1, 2]", [1, 2]), ('{"tip": 3}', {"tip": 3})):
        path.write_text(text)
        assert read_vertices(path) == wanted
    for text in ("[1.5]", "[true]", "[]", "{}", '{"tip": "3"}', "3", '"tip"'):
        path.write_text(text)
        with pytest.raises(InputError, match="must be a list of vertices"):
            read_vertices(path)
    for text in ("[1", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(InputError, match="is not JSON"):
            read_vertices(path)
    with pytest.raises(InputError, match="cannot read"):
        read_vertices(tmp_path / "none.json")
