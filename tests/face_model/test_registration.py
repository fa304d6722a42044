import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.face_model.imported import nearest_mirrored
from steadyface.face_model.landmark_files import read_landmarks
from steadyface.face_model.morphable import load_face_model
from steadyface.face_model.registration import barycentric, register, vertex_embedding


@pytest.fixture(scope="module")
def head():
    return load_face_model()


def skin(head, identity):
    """The skin of an embedded head as a mesh of its own: vertices, triangles."""
    kept = np.flatnonzero(head.region("skin"))
    new = np.full(head.vertex_count, -1)
    new[kept] = np.arange(len(kept))
    triangles = new[head.triangles]
    return head.shape.neutral(identity)[kept].astype(float), triangles[(triangles >= 0).all(1)]


def warped(x):
    """Off the embedded model: longer one way, shorter the other, and waves of 3 mm."""
    return x * [1.05, 0.97, 1.04] + 3 * np.sin(x / 30 + 2)


@pytest.mark.parametrize(("warp", "most"), [(lambda x: x, 1.2), (warped, 1.8)])
def test_landmarks_land_where_they_are_on_the_other_face(head, warp, most):
    rng = np.random.default_rng(4)
    who, offset = rng.normal(0, 1, head.identity_count), np.array([5.0, -40.0, 90.0])
    vertices, triangles = skin(head, who)
    vertices = warp(vertices) + offset
    found = register(vertices, triangles)
    assert found.good
    for name, e in found.embeddings.items():
        wanted = warp(head.landmarks(name).neutral(who)) + offset
        got = np.einsum("lcd,lc->ld", vertices[triangles[e.triangle]], e.barycentric)
        assert np.linalg.norm(got - wanted, axis=1).mean() < most
    assert np.linalg.norm(found.eyes - offset - warp(np.zeros(3))) < 5


def test_the_embedded_head_lies_on_itself(head):
    vertices, triangles = skin(head, np.zeros(head.identity_count))
    found = register(vertices, triangles)
    assert found.distance.max() < 1e-3
    np.testing.assert_allclose(found.eyes, 0, atol=1e-3)
    assert found.scale == pytest.approx(1, abs=1e-4)


def test_a_ball_is_no_face(head):
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 60), np.linspace(0.01, np.pi - 0.01, 40), indexing="ij")
    ball = 90 * np.stack([np.cos(u) * np.sin(v), np.cos(v), np.sin(u) * np.sin(v)], -1).reshape(-1, 3)
    i = (np.arange(59)[:, None] * 40 + np.arange(39)).ravel()
    triangles = np.concatenate([np.stack([i, i + 1, i + 40], 1), np.stack([i + 1, i + 41, i + 40], 1)])
    assert not register(ball, triangles).good


def test_known_landmarks_hold_the_registration(head):
    rng = np.random.default_rng(5)
    who = rng.normal(0, 1, head.identity_count)
    vertices, triangles = skin(head, who)
    known = head.landmarks("ibug68").neutral(who)
    away = {}
    for name, given in (("alone", None), ("held", known)):
        e = register(vertices, triangles, given).embeddings["mediapipe478"]
        got = np.einsum("lcd,lc->ld", vertices[triangles[e.triangle]], e.barycentric)
        away[name] = np.linalg.norm(got - head.landmarks("mediapipe478").neutral(who), axis=1).mean()
    assert away["held"] < away["alone"]


def test_barycentric_weights_bring_points_back():
    rng = np.random.default_rng(0)
    corners, weights = rng.normal(0, 1, (50, 3, 3)), rng.dirichlet(np.ones(3), 50)
    points = np.einsum("nc,ncd->nd", weights, corners)
    np.testing.assert_allclose(barycentric(points, corners), weights, atol=1e-5)


def test_vertices_are_corners_of_their_triangles():
    triangles = np.array([[4, 0, 2], [2, 3, 4]])
    e = vertex_embedding(np.array([3, 4, 0]), triangles)
    np.testing.assert_array_equal((triangles[e.triangle] * e.barycentric).sum(1), [3, 4, 0])
    with pytest.raises(ValueError, match="belongs to no triangle"):
        vertex_embedding(np.array([1]), triangles)
    with pytest.raises(ValueError, match="belongs to no triangle"):
        vertex_embedding(np.array([5]), triangles)


def test_the_nearest_mirrored_vertex_is_the_mirror_of_a_symmetric_mesh(head):
    vertices, _ = skin(head, np.zeros(head.identity_count))
    mirrored = vertices[nearest_mirrored(vertices)]
    np.testing.assert_allclose(mirrored, vertices * [-1, 1, 1], atol=0.1)


def test_files_of_landmarks(tmp_path):
    rng = np.random.default_rng(0)
    triangle, weights = rng.integers(0, 99, 478), rng.dirichlet(np.ones(3), 478)
    np.savez(tmp_path / "own.npz", mediapipe478_triangle=triangle, mediapipe478_barycentric=weights)
    index, e = read_landmarks(tmp_path / "own.npz")["mediapipe478"]
    np.testing.assert_array_equal(index, np.arange(478))
    np.testing.assert_array_equal(e.triangle, triangle)
    chosen = rng.permutation(478)[:105]
    np.savez(
        tmp_path / "mediapipe.npz",
        lmk_face_idx=triangle[chosen],
        lmk_b_coords=weights[chosen],
        landmark_indices=chosen,
    )
    index, e = read_landmarks(tmp_path / "mediapipe.npz")["mediapipe478"]
    np.testing.assert_array_equal(index, chosen)
    np.testing.assert_allclose(e.barycentric, weights[chosen], rtol=1e-6)
    np.savez(tmp_path / "none.npz", a=1)
    with pytest.raises(InputError, match=r"none\.npz places no landmarks"):
        read_landmarks(tmp_path / "none.npz")
    np.savez(tmp_path / "few.npz", lmk_face_idx=triangle[:5], lmk_b_coords=weights[:5])
    with pytest.raises(InputError, match="must place 17, 51 or 68"):
        read_landmarks(tmp_path / "few.npz")
    np.savez(tmp_path / "half.npz", ibug68_triangle=triangle[:68])
    with pytest.raises(InputError, match=r"lacks 'ibug68_barycentric'"):
        read_landmarks(tmp_path / "half.npz")
    with pytest.raises(InputError, match=r"read from \.npz, \.npy and \.pkl"):
        read_landmarks(tmp_path / "x.txt")
