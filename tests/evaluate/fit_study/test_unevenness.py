import numpy as np
import pytest

from steadyface.evaluate.fit_study.unevenness import uneven_head, unevenness
from steadyface.face_model.morphable import load_face_model
from steadyface.synthesis.head import build_head


@pytest.fixture(scope="module")
def head():
    return build_head(load_face_model())


@pytest.fixture(scope="module")
def moved(head):
    return unevenness(head, np.random.default_rng(0), 1.5)


def test_no_identity_and_no_similarity_makes_an_unevenness(head, moved):
    model = head.model
    face = np.flatnonzero(model.region("face"))
    assert np.sqrt((moved[face] ** 2).sum(-1).mean()) == pytest.approx(1.5)
    rest = head.rest[face].astype(float)
    turns = [np.cross(axis, rest) for axis in np.eye(3)]
    for direction in (*model.shape.identity_basis[:, face], rest, *turns, np.ones_like(rest)):
        cosine = (moved[face] * direction).sum() / np.linalg.norm(moved[face]) / np.linalg.norm(direction)
        assert abs(cosine) < 1e-4


def test_an_unevenness_is_smooth(head, moved):
    t = head.model.triangles[head.model.region("face")[head.model.triangles].all(1)]
    length = np.linalg.norm(head.rest[t[:, 0]] - head.rest[t[:, 1]], axis=-1)
    change = np.linalg.norm(moved[t[:, 0]] - moved[t[:, 1]], axis=-1)
    assert np.median(change / length) < 0.25


def test_a_head_and_its_model_are_displaced_alike(head, moved):
    own = uneven_head(head, moved)
    v = head.model.vertex_count
    rng = np.random.default_rng(1)
    identity, expression = rng.normal(size=80), rng.uniform(size=52)
    points = own.points(identity, expression)
    np.testing.assert_allclose(points - head.points(identity, expression), moved, atol=1e-4)
    np.testing.assert_allclose(own.model.shape(identity, expression), points[:v], atol=1e-3)
