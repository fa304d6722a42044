import numpy as np
import pytest

from steadyface.fit.block_arrow import ArrowSystem, frame_covariances, solve


def random_system(frames=7, unknowns=6, shared=4, seed=0):
    """A positive definite arrow made of random second differences and observations."""
    rng = np.random.default_rng(seed)
    t, p, s = frames, unknowns, shared
    diagonal, cross, corner = np.zeros((t, p, p)), np.zeros((t, p, s)), np.eye(s)
    near, far = np.zeros((max(t - 1, 0), p)), np.zeros((max(t - 2, 0), p))
    for i in range(t):
        j = rng.normal(size=(p + s + 3, p + s))
        diagonal[i], cross[i] = j[:, :p].T @ j[:, :p], j[:, :p].T @ j[:, p:]
        corner += j[:, p:].T @ j[:, p:]
    for i in range(t - 2):
        slide = rng.normal(size=(3, p))
        for a in range(3):
            diagonal[i + a][np.arange(p), np.arange(p)] += slide[a] ** 2
        for a in range(2):
            near[i + a] += slide[a + 1] * slide[a]
        far[i] += slide[2] * slide[0]
    return ArrowSystem(diagonal, near, far, cross, corner, rng.normal(size=(t, p)), rng.normal(size=s))


@pytest.mark.parametrize("frames", [1, 2, 3, 9])
@pytest.mark.parametrize("shared", [0, 4])
def test_the_structured_solve_is_the_dense_one(frames, shared):
    system = random_system(frames, shared=shared)
    h, g = system.dense()
    assert np.linalg.eigvalsh(h).min() > 0
    expected = -np.linalg.solve(h, g)
    step, shared_step = solve(system)
    np.testing.assert_allclose(step.ravel(), expected[: step.size], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(shared_step, expected[step.size :], rtol=1e-8, atol=1e-10)


def test_what_is_not_free_stays_and_the_rest_is_minimal():
    system = random_system()
    free = np.random.default_rng(1).random(system.gradient.shape) < 0.7
    free[3] = False
    step, shared = solve(system, free=free)
    h, g = system.dense()
    keep = np.concatenate([free.ravel(), np.ones(len(shared), bool)])
    expected = np.zeros(len(g))
    expected[keep] = -np.linalg.solve(h[np.ix_(keep, keep)], g[keep])
    np.testing.assert_allclose(np.concatenate([step.ravel(), shared]), expected, atol=1e-10)


def test_damping_multiplies_the_diagonal():
    system = random_system()
    h, g = system.dense()
    expected = -np.linalg.solve(h + 0.3 * np.diag(np.diag(h)), g)
    step, shared = solve(system, damping=0.3)
    np.testing.assert_allclose(np.concatenate([step.ravel(), shared]), expected, rtol=1e-8)


def test_the_product_is_the_dense_one():
    system = random_system()
    rng = np.random.default_rng(2)
    x, s = rng.normal(size=system.gradient.shape), rng.normal(size=4)
    frames, shared = system.apply(x, s)
    h, _ = system.dense()
    np.testing.assert_allclose(np.concatenate([frames.ravel(), shared]), h @ np.concatenate([x.ravel(), s]))


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_covariances_are_the_blocks_of_the_inverse(frames):
    system = random_system(frames)
    t, p = system.gradient.shape
    h, _ = system.dense()
    inverse = np.linalg.inv(h[: t * p, : t * p]).reshape(t, p, t, p)
    np.testing.assert_allclose(
        frame_covariances(system), inverse[np.arange(t), :, np.arange(t)], rtol=1e-8, atol=1e-12
    )


def test_a_hand_solvable_arrow():
    # min (x - 1)^2/2 + (y - 3)^2/2 + (s - x)^2/2 + (s - y)^2/2 over two frames x, y and a shared s.
    system = ArrowSystem(
        np.full((2, 1, 1), 2.0), np.zeros((1, 1)), np.zeros((0, 1)), np.full((2, 1, 1), -1.0),
        np.array([[2.0]]), np.array([[-1.0], [-3.0]]), np.zeros(1),
    )  # fmt: skip
    frames, shared = solve(system)
    np.testing.assert_allclose(shared, [2])
    np.testing.assert_allclose(frames[:, 0], [1.5, 2.5])
