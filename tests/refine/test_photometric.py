from dataclasses import replace

import cv2
import numpy as np
import pytest
from refined_scene import SMALL, FilmedHead, observations, perturbed, problem_of, textured_head, truth_of

from steadyface.fit.sequence_terms import POSE
from steadyface.refine.appearance import judge
from steadyface.refine.patch import cut
from steadyface.refine.photometric import PhotometricEnergy, PhotometricFrame

T = 4


@pytest.fixture(scope="module")
def head(tiny_model):
    return FilmedHead([truth_of(textured_head(tiny_model), T)])


@pytest.fixture(scope="module")
def problem(head):
    return problem_of(head, replace(SMALL, samples=300))


def smooth(seed):
    """A picture whose slopes hardly change from pixel to pixel."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 210, (6, 8)).astype(np.float32)
    return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def seen(head, problem):
    """Observations of smooth pictures, in single precision rather than in whole grey levels."""
    guess = perturbed(head.truths[0])
    seen = observations(head, problem, guess)
    out = []
    for row, o in enumerate(seen):
        patch = cut(np.zeros((240, 320, 3), np.uint8), np.array([[0, 0], [319, 239.0]]), 4000)
        grey = smooth(row)
        slopes = np.gradient(grey)[::-1]
        out.append(replace(o, patch=replace(patch, pixels=np.dstack([grey, *slopes]).astype(np.float32))))
    return out


def energy_of(problem, seen, prior=None, *, shared=True, ordered=False, left_out=()):
    """The energy about the observed poses, its state, and an unrelated texture that weighs unevenly."""
    rng = np.random.default_rng(2)
    state = problem.state(seen, rng.normal(0, 0.3, 6), 380.0)
    n = problem.config.samples
    texture = rng.uniform(60, 200, n).astype(np.float32)
    prior = problem.surface.basis.prior if prior is None else prior
    frames = []
    for i, view in enumerate(problem.views(seen, state, 0)):
        weight = rng.uniform(0, 0.02, n) * view.visible
        frames.append(None if i in left_out else PhotometricFrame.of(view, texture, weight, prior * 0.01))
    alignment = problem.alignment(seen, ordered=ordered, shared=shared)
    return PhotometricEnergy(alignment, problem.surface.samples.shape, frames), state


@pytest.mark.parametrize("held", [None, 1e-6])
def test_the_gradient_is_that_of_the_cost(problem, seen, held):
    """held: None for the prior of the light as it is, else a weak one."""
    prior = None if held is None else np.full(len(problem.surface.basis), held)
    energy, state = energy_of(problem, seen, prior)
    system = energy.linearize(state)
    step = np.r_[np.full(3, 1e-3), np.full(3, 0.3), np.full(4, 0.02)]
    for i in range(T):
        for k, h in enumerate(step):
            move = np.zeros_like(system.gradient)
            move[i, k] = h
            ends = [energy.cost(energy.retract(state, s * move, np.zeros(7))) for s in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * h)
            scale = np.sqrt(system.diagonal[i, k, k])
            assert slope / scale == pytest.approx(system.gradient[i, k] / scale, abs=0.15)
    for k, h in enumerate(np.r_[np.full(6, 0.03), 1e-3]):
        move = np.zeros(7)
        move[k] = h
        ends = [energy.cost(energy.retract(state, np.zeros((T, 10)), s * move)) for s in (1, -1)]
        scale = np.sqrt(system.corner[k, k])
        assert (ends[0] - ends[1]) / (2 * h) / scale == pytest.approx(
            system.shared_gradient[k] / scale, abs=0.3
        )


def test_the_matrix_is_gauss_newtons_with_the_light_projected_out(problem, seen):
    energy, state = energy_of(problem, seen)
    a = energy.alignment
    plain, both = a.linearize(state), energy.linearize(state)
    prior = problem.surface.basis.prior * 0.01
    corner, shared_gradient = np.zeros((7, 7)), np.zeros(7)
    for i, frame in enumerate(energy.frames):
        columns, j = [], POSE + 4
        read = frame.patch.read(energy._points(state, i)[2]).astype(float)
        for k, h in enumerate(np.r_[np.full(3, 1e-4), np.full(3, 0.02), np.full(11, 1e-3)]):
            ends = []
            for step in (h, -h):
                frames, shared = np.zeros((T, j)), np.zeros(7)
                if k < j:
                    frames[i, k] = step
                else:
                    shared[k - j] = step
                ends.append(points(energy, energy.retract(state, frames, shared), i))
            columns.append((ends[0] - ends[1]) / (2 * h))
        jacobian = np.einsum("nd,knd->nk", read[:, 1:], np.array(columns))
        w, s = frame.weight.astype(float), frame.shown.astype(float)
        normal = (s * w[:, None]).T @ s + np.diag(prior)
        inside = np.diag(w) - (w[:, None] * s) @ np.linalg.solve(normal, (s * w[:, None]).T)
        h, g = jacobian.T @ inside @ jacobian, jacobian.T @ inside @ read[:, 0]
        scale = np.sqrt(np.diag(h))
        whole = np.zeros((17, 17))
        whole[:j, :j] = both.diagonal[i] - plain.diagonal[i]
        whole[:j, j:] = both.cross[i] - plain.cross[i]
        whole[j:, :j] = whole[:j, j:].T
        whole[j:, j:] = h[j:, j:]
        np.testing.assert_allclose(whole / scale / scale[:, None], h / scale / scale[:, None], atol=0.01)
        np.testing.assert_allclose(
            (both.gradient[i] - plain.gradient[i]) / scale[:j], g[:j] / scale[:j], atol=0.05
        )
        corner += h[j:, j:]
        shared_gradient += g[j:]
    scale = np.sqrt(np.diag(corner))
    np.testing.assert_allclose(
        (both.corner - plain.corner) / scale / scale[:, None], corner / scale / scale[:, None], atol=0.01
    )
    np.testing.assert_allclose(
        (both.shared_gradient - plain.shared_gradient) / scale, shared_gradient / scale, atol=0.1
    )
    assert (both.near == plain.near).all()
    assert (both.far == plain.far).all()


def points(energy, state, i):
    """Samples in the image, in double precision."""
    shape = energy.shape
    mean, identity, expression = (
        np.asarray(x, float) for x in (shape.mean, shape.identity_basis, shape.expression_basis)
    )
    x = mean + np.tensordot(state.identity, identity, 1) + np.tensordot(state.expression[i], expression, 1)
    x = x @ state.rotation[i].T + state.translation[i]
    return np.exp(state.log_focal[0]) * x[:, :2] / x[:, 2:] + energy.alignment.center[0]


def test_the_best_light_is_that_of_least_squares(problem, seen):
    energy, state = energy_of(problem, seen)
    frame = energy.frames[0]
    grey = frame.patch.read(energy._points(state, 0)[2])[:, 0]
    prior = problem.surface.basis.prior * 0.01
    root = np.sqrt(frame.weight.astype(float))
    rows = np.concatenate([frame.shown * root[:, None], np.diag(np.sqrt(prior))])
    light = np.linalg.lstsq(rows, np.r_[grey * root, np.zeros(len(prior))], rcond=None)[0]
    np.testing.assert_allclose(frame.error(grey), grey - frame.shown @ light, atol=0.1)
    # The cost is the least over all lights of what they leave and what the prior asks for them.
    least = (frame.weight @ (grey - frame.shown @ light) ** 2 + prior @ light**2) / 2
    assert energy.photometric_costs(state)[0] == pytest.approx(least, rel=1e-3)


def test_a_frame_of_its_texture_under_a_light_costs_nothing(problem, seen):
    energy, _ = energy_of(problem, seen, np.full(len(problem.surface.basis), 1e-6))
    frame = energy.frames[0]
    light = np.random.default_rng(0).normal(size=frame.shown.shape[1])
    assert np.abs(frame.error((frame.shown @ light).astype(np.float32))).max() < 0.1


def test_frames_that_are_left_out_are_alignments_alone(problem, seen):
    energy, state = energy_of(problem, seen, left_out=(0, 2), ordered=True)
    plain, both = energy.alignment.linearize(state), energy.linearize(state)
    for i in range(T):
        assert (both.diagonal[i] == plain.diagonal[i]).all() == (i in (0, 2))
        assert (both.gradient[i] == plain.gradient[i]).all() == (i in (0, 2))
    costs = energy.photometric_costs(state)
    assert [c == 0 for c in costs] == [True, False, True, False]
    assert energy.cost(state) == pytest.approx(energy.alignment.cost(state) + sum(costs))
    none, _ = energy_of(problem, seen, left_out=range(T))
    assert none.cost(state) == none.alignment.cost(state)


def test_what_frames_share_may_stay(problem, seen):
    free, state = energy_of(problem, seen)
    fixed, _ = energy_of(problem, seen, shared=False)
    a, b = free.linearize(state), fixed.linearize(state)
    assert b.cross.shape == (T, 10, 0)
    np.testing.assert_allclose(b.gradient, a.gradient, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(b.diagonal, a.diagonal, rtol=1e-3, atol=1e-3 * np.abs(a.diagonal).max())
    moved = fixed.retract(state, np.full((T, 10), 0.01), np.zeros(0))
    assert (moved.identity == state.identity).all()
    assert (moved.log_focal == state.log_focal).all()


def test_a_face_behind_the_camera_costs_infinitely(problem, seen):
    energy, state = energy_of(problem, seen)
    assert energy.cost(replace(state, translation=-state.translation)) == np.inf


def test_steps_down_the_energy_bring_the_pose_nearer(head, problem):
    """Of pictures rather than points: points are told to be far off and hardly trusted."""
    truth = head.truths[0]
    guess = perturbed(truth, 0.5)
    seen = [
        replace(o, sigma=np.full(len(o.points), 30, np.float32)) for o in observations(head, problem, guess)
    ]
    true = problem.state(observations(head, problem, truth), truth.identity, truth.focal)
    texture = np.median([v.grey for v in problem.views(seen, true, 0)], 0).astype(np.float32)
    p = problem.config.photometric
    state = problem.state(seen, truth.identity, truth.focal)
    alignment = problem.alignment(seen, ordered=False, shared=False)
    for _ in range(2):
        views = problem.views(seen, state, 0)
        judged = [judge(v, texture, problem.surface.basis.prior, p) for v in views]
        frames = [problem.photometric_frame(v, j, texture)[0] for v, j in zip(views, judged, strict=True)]
        energy = problem.together(alignment, frames)
        before = energy.cost(state)
        state = problem.minimise(energy, state)
        assert energy.cost(state) < before

    def away(s):
        return np.mean(
            [np.linalg.norm(points(energy, s, i) - points(energy, true, i), axis=-1).mean() for i in range(T)]
        )

    assert away(state) < 0.35 * away(problem.state(seen, truth.identity, truth.focal))
