import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.fit.gauss_newton import SolverConfig, box, levenberg_marquardt


def least_squares(residual, jacobian):
    """cost and linearize of a residual given per problem: x (P,), problem index -> r (N,), J (N, P)."""

    def cost(x, index):
        return np.array([0.5 * (residual(a, i) ** 2).sum() for a, i in zip(x, index, strict=True)])

    def linearize(x, index):
        j = np.stack([jacobian(a, i) for a, i in zip(x, index, strict=True)])
        r = np.stack([residual(a, i) for a, i in zip(x, index, strict=True)])
        return np.einsum("bnp,bn->bp", j, r), np.einsum("bnp,bnq->bpq", j, j)

    return cost, linearize


def rosenbrock():
    return least_squares(
        lambda x, i: np.array([10 * (x[1] - x[0] ** 2), (i + 1) - x[0]]),
        lambda x, i: np.array([[-20 * x[0], 10], [-1, 0]]),
    )


def test_a_line_through_points_is_found_at_once():
    # y = 2 t + 1 at t = 0, 1, 2 exactly.
    a = np.array([[0.0, 1], [1, 1], [2, 1]])
    y = np.array([1.0, 3, 5])
    s = levenberg_marquardt(*least_squares(lambda x, i: a @ x - y, lambda x, i: a), np.zeros((1, 2)))
    np.testing.assert_allclose(s.state, [[2, 1]], atol=1e-7)
    assert s.converged.all()
    assert s.cost[0] < 1e-14


def test_a_curved_valley_is_followed_to_its_end():
    s = levenberg_marquardt(*rosenbrock(), np.array([[-1.2, 1.0]]), config=SolverConfig(max_iterations=100))
    np.testing.assert_allclose(s.state, [[1, 1]], atol=1e-6)
    assert s.converged.all()


def test_batched_equals_looped():
    cost, linearize = rosenbrock()
    start = np.random.default_rng(0).normal(0, 1, (7, 2))
    config = SolverConfig(max_iterations=12)  # too few for some, so that they end at different stages
    together = levenberg_marquardt(cost, linearize, start, config=config)
    for i in range(7):
        ith = (lambda x, n, i=i: cost(x, n + i), lambda x, n, i=i: linearize(x, n + i))
        alone = levenberg_marquardt(*ith, start[i : i + 1], config=config)
        np.testing.assert_allclose(together.state[i], alone.state[0], rtol=1e-12)
        assert together.iterations[i] == alone.iterations[0]
        assert together.converged[i] == alone.converged[0]
    assert 0 < together.converged.sum() < 7


def test_the_cost_never_rises():
    cost, linearize = rosenbrock()
    start = np.random.default_rng(1).normal(0, 3, (20, 2))
    last = cost(start, np.arange(20))
    for n in range(1, 15):
        s = levenberg_marquardt(cost, linearize, start, config=SolverConfig(max_iterations=n))
        assert (s.cost <= last).all()
        np.testing.assert_allclose(s.cost, cost(s.state, np.arange(20)))
        last = s.cost


def test_a_step_into_the_undefined_is_rejected_and_shortened():
    # r = log(x): the Gauss-Newton step from 4 is x - x log x < 0, where the logarithm is not finite.
    def residual(x, i):
        return np.log(x) if x[0] > 0 else np.array([np.nan])

    tried = []

    def cost(x, index):
        tried.append(x[0, 0])
        return np.array([0.5 * (residual(a, i) ** 2).sum() for a, i in zip(x, index, strict=True)])

    linearize = least_squares(residual, lambda x, i: 1 / x[None])[1]
    s = levenberg_marquardt(cost, linearize, np.array([[4.0]]))
    assert min(tried) < 0
    assert s.converged.all()
    np.testing.assert_allclose(s.state, [[1]], atol=1e-6)


def test_a_problem_without_a_finite_start_leaves_the_others_alone():
    cost, linearize = least_squares(lambda x, i: x - 3, lambda x, i: np.eye(1))
    s = levenberg_marquardt(cost, linearize, np.array([[0.0], [np.nan]]))
    assert s.converged.tolist() == [True, False]
    np.testing.assert_allclose(s.state[0], 3)
    assert np.isnan(s.state[1, 0])


def test_a_broken_linearisation_is_given_up_where_it_started():
    s = levenberg_marquardt(
        lambda x, n: 0.5 * (x**2).sum(-1),
        lambda x, n: (np.full_like(x, np.nan), np.ones((len(x), 1, 1))),
        np.array([[2.0]]),
    )
    assert not s.converged.any()
    assert s.state[0, 0] == 2


def test_a_bound_that_is_hit_holds_and_the_rest_is_solved_for_it():
    # 1/2 |x0 + x1 - 4|^2 + 1/2 |x0 - x1|^2 has its minimum at (2, 2); with x0 <= 1 it is where the
    # derivative to x1 is zero: (x0 + x1 - 4) - (x0 - x1) = 2 x1 - 4 = 0, so (1, 2).
    a = np.array([[1.0, 1], [1, -1]])
    b = np.array([4.0, 0])
    problem = least_squares(lambda x, i: a @ x - b, lambda x, i: a)
    s = levenberg_marquardt(*problem, np.zeros((1, 2)), bounds=box(np.zeros(2), np.array([1.0, 9])))
    np.testing.assert_allclose(s.state, [[1, 2]], atol=1e-7)
    assert s.converged.all()


def test_a_bound_is_left_again_when_the_minimum_is_inside():
    cost, linearize = least_squares(lambda x, i: x - 0.3, lambda x, i: np.eye(2))
    s = levenberg_marquardt(cost, linearize, np.array([[0.0, 1.0]]), bounds=box(np.zeros(2), np.ones(2)))
    np.testing.assert_allclose(s.state, 0.3, atol=1e-7)


def test_bounded_least_squares_meets_the_optimality_conditions():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(10, 12, 8))
    b = 3 * rng.normal(size=(10, 12))
    problem = least_squares(lambda x, i: a[i] @ x - b[i], lambda x, i: a[i])
    config = SolverConfig(cost_tolerance=0, max_iterations=60)
    s = levenberg_marquardt(
        *problem, np.full((10, 8), 0.5), bounds=box(np.zeros(8), np.ones(8)), config=config
    )
    gradient = problem[1](s.state, np.arange(10))[0]
    inside = (s.state > 0) & (s.state < 1)
    assert ((s.state >= 0) & (s.state <= 1)).all()
    assert 0.1 < inside.mean() < 0.9
    assert np.abs(gradient[inside]).max() < 1e-5
    assert (gradient[s.state == 0] > 0).all()
    assert (gradient[s.state == 1] < 0).all()


def test_eliminating_the_unbounded_coordinates_changes_nothing():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(10, 14, 9))
    b = 3 * rng.normal(size=(10, 14))
    problem = least_squares(lambda x, i: a[i] @ x - b[i], lambda x, i: a[i])
    upper = np.where(np.arange(9) % 2 == 0, 0.2, np.inf)
    eliminated = levenberg_marquardt(*problem, np.zeros((10, 9)), bounds=box(-upper, upper))
    # Bounds too far to be met leave nothing to eliminate: one dense system.
    dense = levenberg_marquardt(
        *problem, np.zeros((10, 9)), bounds=box(np.maximum(-upper, -1e9), np.minimum(upper, 1e9))
    )
    assert (np.abs(dense.state[:, ::2]) == 0.2).any()
    np.testing.assert_allclose(eliminated.state, dense.state, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(eliminated.iterations, dense.iterations)


def test_a_coordinate_the_cost_does_not_see_stays_put():
    j = np.array([[1.0, 0]])
    s = levenberg_marquardt(*least_squares(lambda x, i: x[:1] - 2, lambda x, i: j), np.array([[0.0, 5.0]]))
    np.testing.assert_allclose(s.state, [[2, 5]], atol=1e-7)


def test_the_step_is_applied_by_the_retraction():
    # An angle kept on the circle: the state is (cos, sin), the step an angle; the target is 90 degrees.
    def turn(x, step):
        c, s = np.cos(step[:, 0]), np.sin(step[:, 0])
        return np.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], -1)

    def linearize(x, n):
        j, r = np.stack([-x[:, 1], x[:, 0]], -1)[..., None], x - [0, 1]
        return np.einsum("bnp,bn->bp", j, r), np.einsum("bnp,bnq->bpq", j, j)

    s = levenberg_marquardt(
        lambda x, n: 0.5 * ((x - [0, 1]) ** 2).sum(-1), linearize, np.array([[1.0, 0]]), retract=turn
    )
    np.testing.assert_allclose(s.state, [[0, 1]], atol=1e-6)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match=r"must be \(B, D\)"):
        levenberg_marquardt(lambda x, n: x, lambda x, n: (x, x), np.zeros(3))
    with pytest.raises(InputError, match="max_iterations and"):
        SolverConfig(max_iterations=0)
