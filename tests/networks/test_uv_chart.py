import numpy as np
import pytest

from steadyface.face_model.morphable import load_face_model
from steadyface.networks.uv_chart import sampling_matrix, smoothest_map, texel_weights, uv_chart


@pytest.fixture(scope="module")
def face():
    return load_face_model()


@pytest.fixture(scope="module")
def chart(face):
    return uv_chart(face)


def test_chart_lies_in_the_square_and_names_each_vertex_once(chart, face):
    assert chart.position.min() >= 0
    assert chart.position.max() <= 1
    assert (np.diff(chart.vertices) > 0).all()
    assert chart.weight.mean() == pytest.approx(1, abs=1e-5)
    # All of the face but the inside of mouth and sockets.
    assert face.regions["face"][chart.vertices].sum() > 0.8 * face.regions["face"].sum()


def test_chart_does_not_fold(chart, face):
    place = np.full((face.vertex_count, 2), np.nan)
    place[chart.vertices] = chart.position
    a, b, c = place[face.triangles].transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    # Triangles across the back of the head, where the chart is cut, span all of it.
    whole = np.isfinite(area) & (np.ptp(np.stack([a, b, c]), axis=0).max(-1) < 0.3)
    sign = np.sign(area[whole])
    assert (sign == np.median(sign)).mean() > 0.995


def test_chart_gives_the_eyes_more_room_than_the_texture_does(chart, face):
    def cells(place):
        return len(np.unique((place * 32).astype(int), axis=0))

    eyes = face.regions["eyes"][chart.vertices]
    first = {v: u for v, u in zip(face.triangles.ravel()[::-1], face.uv_triangles.ravel()[::-1], strict=True)}
    texture = face.uv[[first[v] for v in chart.vertices]]
    assert cells(chart.position[eyes]) > 4 * cells(texture[eyes])


def test_map_of_32_texels_holds_a_face_to_less_than_a_pixel(chart, face):
    # The mean face at 256 pixels; what bilinear reading cannot show is the floor of the network's error.
    points = face.shape.mean[chart.vertices][:, :2] * (256 / 220) + 128
    size = 32
    grid = smoothest_map(chart.position, points, size, 1e-4)
    read = sampling_matrix(chart.position, size) @ grid.reshape(-1, 2)
    error = np.linalg.norm(read - points, axis=-1)
    assert error[face.regions["face"][chart.vertices]].mean() < 0.75


def test_sampling_matrix_reads_planes_exactly():
    size = 8
    place = np.random.default_rng(0).uniform(0.5 / size, 1 - 0.5 / size, (50, 2))
    centre = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(centre, centre)
    plane = (3 * x - 2 * y + 1).ravel()
    read = sampling_matrix(place, size) @ plane
    np.testing.assert_allclose(read, 3 * place[:, 0] - 2 * place[:, 1] + 1)
    corners = sampling_matrix(np.array([[0.0, 0.0], [1.0, 1.0]]), size) @ plane
    np.testing.assert_allclose(corners, plane[[0, -1]])


def test_model_without_regions_has_a_chart(tiny_model):
    chart = uv_chart(tiny_model)
    assert len(chart) == tiny_model.vertex_count


def test_texels_take_linear_values_from_their_vertices():
    position = np.random.default_rng(0).random((400, 2))
    near, weight = texel_weights(position, 8)
    assert near.shape == weight.shape == (64, 8)
    np.testing.assert_allclose(weight.sum(1), 1, atol=1e-6)
    y, x = np.mgrid[:8, :8]
    center = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / 8
    plane = np.array([3.0, -2.0])
    np.testing.assert_allclose(((position @ plane)[near] * weight).sum(1), center @ plane, atol=0.05)


def test_texels_far_from_all_vertices_take_their_mean():
    position = 0.1 * np.random.default_rng(0).random((50, 2))
    near, weight = texel_weights(position, 16)
    value = position @ np.array([1.0, 1.0])
    far = (value[near] * weight).sum(1)[-1]
    assert value.min() - 0.1 < far < value.max() + 0.1
