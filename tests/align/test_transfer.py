from dataclasses import replace

import numpy as np
import pytest

from steadyface.align.alignment import Alignment
from steadyface.align.transfer import IdentityExchange
from steadyface.face_model.morphable import LinearShape
from steadyface.rotation import matrix_from_axis_angle


def face(model, rng, **changes):
    base = Alignment(
        rotation=np.array([0.2, -0.5, 0.3]),
        scale=1.5,
        translation=np.array([200.0, 150.0]),
        identity=rng.normal(size=model.identity_count),
        expression=rng.uniform(0.3, 0.7, model.expression_count),
        landmark_sigma=np.full(68, 1.0),
        confidence=0.9,
    )
    return replace(base, **changes)


def moved(a, b, shape):
    return np.linalg.norm((a.project(shape) - b.project(shape))[:, :2], axis=-1)


def test_its_own_identity_changes_nothing(tiny_model):
    a = face(tiny_model, np.random.default_rng(0))
    b = IdentityExchange(tiny_model.landmarks("ibug68"))(a, a.identity)
    for name in ("rotation", "scale", "translation", "identity", "expression"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), atol=1e-9)


def test_the_landmarks_move_less_than_by_a_plain_exchange(tiny_model):
    rng = np.random.default_rng(1)
    shape = tiny_model.landmarks("ibug68")
    for _ in range(10):
        a = face(tiny_model, rng)
        identity = a.identity + rng.normal(0, 0.5, tiny_model.identity_count)
        plain, kept = replace(a, identity=identity), IdentityExchange(shape)(a, identity)
        np.testing.assert_array_equal(kept.identity, identity)
        assert moved(a, kept, shape).mean() < moved(a, plain, shape).mean()


def rigid_identity(model):
    """The model's landmarks with identities that are motions: a shift, a growth, and a turn about z."""
    shape = model.landmarks("ibug68")
    x = shape.mean - shape.mean.mean(0)
    turn = x @ matrix_from_axis_angle(np.array([0, 0, 0.05])).T - x
    basis = np.stack([np.tile([3.0, -2, 0], (68, 1)), 0.05 * x, turn])
    return LinearShape(shape.mean, basis, np.zeros((model.expression_count, 68, 3)))


@pytest.mark.parametrize("component", [0, 1, 2])
def test_identities_that_are_motions_are_undone_by_the_pose(tiny_model, component):
    shape = rigid_identity(tiny_model)
    a = face(tiny_model, np.random.default_rng(0), identity=np.zeros(3))
    identity = np.eye(3)[component]
    kept = IdentityExchange(shape)(a, identity)
    assert moved(a, replace(a, identity=identity), shape).mean() > 1
    assert moved(a, kept, shape).max() < 0.35


def test_expression_stays_in_range(tiny_model):
    a = face(tiny_model, np.random.default_rng(3), expression=np.array([0, 1, 0, 1.0]))
    b = IdentityExchange(tiny_model.landmarks("ibug68"))(a, a.identity + 3)
    assert ((b.expression >= 0) & (b.expression <= 1)).all()
