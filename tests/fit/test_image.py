import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.fit.image import FitConfig, _Problem, fit_image, weak_perspective_pose
from steadyface.rotation import axis_angle_from_matrix, matrix_from_axis_angle, matrix_from_euler

# Next to no prior and a strict stop: for tests that ask for the truth back.
EXACT = FitConfig(point_sigma_mm=0.01, expression_l1=0.0)


@pytest.fixture(scope="module")
def faces(tiny_model):
    rng = np.random.default_rng(0)
    shape = tiny_model.landmarks("mediapipe478")
    angles = np.radians([[0, 0, 0], [10, 40, 5], [-15, -60, -30], [5, 75, 20], [20, -20, 170]])
    n = len(angles)
    return {
        "shape": shape,
        "rotation": matrix_from_euler(angles),
        "scale": rng.uniform(0.5, 3, n),
        "translation": rng.uniform(0, 400, (n, 2)),
        "identity": rng.normal(0, 1, (n, 6)),
        "expression": np.clip(rng.uniform(-0.5, 1, (n, 4)), 0, 1),
    }


def project(f):
    s = f["shape"](f["identity"], f["expression"]) @ np.swapaxes(f["rotation"], -1, -2)
    return f["scale"][:, None, None] * s[..., :2] + f["translation"][:, None]


def angle_between(axis_angle, matrix):
    relative = np.swapaxes(matrix_from_axis_angle(axis_angle), -1, -2) @ matrix
    return np.linalg.norm(axis_angle_from_matrix(relative), axis=-1)


def test_closed_form_pose_is_exact_on_the_reference(faces):
    reference = faces["shape"].mean
    still = faces | {"identity": np.zeros((5, 6)), "expression": np.zeros((5, 4))}
    r, s, t = weak_perspective_pose(project(still), reference)
    np.testing.assert_allclose(r, faces["rotation"], atol=1e-9)
    np.testing.assert_allclose(s, faces["scale"], rtol=1e-9)
    np.testing.assert_allclose(t, faces["translation"], atol=1e-7)


def test_the_truth_comes_back(faces):
    fit = fit_image(project(faces), faces["shape"], config=EXACT)
    assert fit.converged.all()
    assert angle_between(fit.rotation, faces["rotation"]).max() < np.radians(0.5)
    np.testing.assert_allclose(fit.identity, faces["identity"], atol=0.05)
    np.testing.assert_allclose(fit.expression, faces["expression"], atol=0.03)
    np.testing.assert_allclose(fit.project(faces["shape"]), project(faces), atol=0.05)
    assert (fit.residual < 0.05).all()


def test_batched_equals_looped_and_any_leading_axes(faces):
    points = project(faces)
    together = fit_image(points[:4].reshape(2, 2, -1, 2), faces["shape"])
    assert together.identity.shape == (2, 2, 6)
    for i in range(4):
        one = fit_image(points[i], faces["shape"])
        assert one.rotation.shape == (3,)
        np.testing.assert_allclose(one.expression, together.expression.reshape(4, -1)[i], atol=1e-4)
        same = together.project(faces["shape"]).reshape(4, -1, 2)[i]
        np.testing.assert_allclose(one.project(faces["shape"]), same, atol=1e-2)


def test_the_fit_moves_with_the_image(faces):
    points = project(faces)
    a = fit_image(points, faces["shape"])
    b = fit_image(2.5 * points + [7, -3], faces["shape"])
    np.testing.assert_allclose(b.rotation, a.rotation, atol=1e-4)
    np.testing.assert_allclose(b.scale, 2.5 * a.scale, rtol=1e-4)
    np.testing.assert_allclose(b.camera.center, 2.5 * a.camera.center + [7, -3], atol=0.05)
    np.testing.assert_allclose(b.identity, a.identity, atol=1e-3)


def test_expression_stays_in_its_range(faces):
    wild = faces | {"expression": np.tile([-1.0, 2.0, -0.5, 1.5], (5, 1))}
    fit = fit_image(project(wild), faces["shape"], config=FitConfig(point_sigma_mm=0.5))
    assert fit.expression.min() == 0
    assert fit.expression.max() == 1


def test_small_activations_vanish_under_the_slope(faces):
    quiet = faces | {"expression": np.full((5, 4), 0.01)}
    points = project(quiet)
    loose = fit_image(points, faces["shape"], config=FitConfig(point_sigma_mm=3, expression_l1=0))
    strict = fit_image(points, faces["shape"], config=FitConfig(point_sigma_mm=3, expression_l1=50))
    assert (strict.expression == 0).mean() > (loose.expression == 0).mean()
    assert (strict.expression == 0).mean() > 0.9


def test_a_stronger_prior_gives_a_more_average_face(faces):
    points = project(faces)
    norms = [
        np.linalg.norm(fit_image(points, faces["shape"], config=FitConfig(point_sigma_mm=s)).identity)
        for s in (1, 10, 100)
    ]
    assert norms[0] > norms[1] > norms[2]


def test_points_without_weight_do_not_count(faces):
    points = project(faces)
    weights = np.ones(478)
    weights[:50] = 0
    spoiled = points.copy()
    spoiled[:, :50] = np.nan
    a = fit_image(points, faces["shape"], weights=weights)
    b = fit_image(spoiled, faces["shape"], weights=weights)
    np.testing.assert_array_equal(a.identity, b.identity)


@pytest.mark.parametrize("robust", ["huber", "geman_mcclure"])
def test_robust_weights_withstand_outliers(faces, robust):
    points = project(faces)
    spoiled = points.copy()
    spoiled[:, ::10] += 40 * faces["scale"][:, None, None]
    good = np.arange(478) % 10 != 0
    plain = fit_image(spoiled, faces["shape"]).project(faces["shape"])
    fitted = fit_image(spoiled, faces["shape"], config=FitConfig(robust=robust, robust_rounds=8))
    error = np.abs(fitted.project(faces["shape"]) - points)[:, good].mean()
    assert error < 0.4 * np.abs(plain - points)[:, good].mean()


def test_pinhole_brings_the_truth_back(faces):
    rotation = faces["rotation"][:4]
    identity, expression = faces["identity"][:4], faces["expression"][:4]
    translation = np.array([[30.0, -20, 500], [-60, 10, 700], [0, 0, 450], [100, 50, 600]])
    x = faces["shape"](identity, expression) @ np.swapaxes(rotation, -1, -2) + translation[:, None]
    points = 800 * x[..., :2] / x[..., 2:] + [399.5, 299.5]
    fit = fit_image(points, faces["shape"], camera="pinhole", image_size=(800, 600), config=EXACT)
    np.testing.assert_allclose(fit.project(faces["shape"]), points, atol=0.05)
    assert angle_between(fit.rotation, rotation).max() < np.radians(0.5)
    np.testing.assert_allclose(fit.translation, translation, rtol=0.01, atol=1)
    np.testing.assert_allclose(fit.scale, 800 / fit.translation[:, 2])
    assert np.allclose(fit.camera.focal, 800, rtol=1e-12)
    # Told a wrong focal length with room to change it, the fit corrects it.
    wrong = FitConfig(point_sigma_mm=0.01, expression_l1=0, focal=1000, focal_log_sigma=0.5)
    free = fit_image(points, faces["shape"], camera="pinhole", image_size=(800, 600), config=wrong)
    assert np.abs(np.log(free.camera.focal / 800)).max() < 0.1


@pytest.mark.parametrize("camera", ["weak_perspective", "pinhole"])
def test_the_linearisation_is_the_gradient_of_the_cost(faces, camera):
    config = FitConfig(focal_log_sigma=0.2)
    problem = _Problem(faces["shape"], camera, (640, 480), config)
    rng = np.random.default_rng(0)
    translation = faces["translation"] if camera == "weak_perspective" else np.tile([10.0, 20, 900], (5, 1))
    first = np.log(faces["scale"]) if camera == "weak_perspective" else np.full(5, np.log(700.0))
    pose = [faces["rotation"].reshape(5, 9), first[:, None], translation]
    state = np.concatenate([*pose, faces["identity"], faces["expression"]], -1)
    points = project(faces) + rng.normal(0, 3, (5, 478, 2))
    root = rng.uniform(0.05, 0.2, (5, 478))
    gradient, hessian = problem.linearize(state, points, root)
    for i in range(gradient.shape[1]):
        step = np.zeros((5, gradient.shape[1]))
        step[:, i] = 1e-5
        ends = [problem.cost(problem.retract(state, s), points, root) for s in (step, -step)]
        scale = np.sqrt(hessian[:, i, i] * problem.cost(state, points, root))
        np.testing.assert_allclose(gradient[:, i] / scale, (ends[0] - ends[1]) / 2e-5 / scale, atol=1e-4)


def test_bad_arguments_are_named(faces):
    shape, points = faces["shape"], project(faces)[0]
    with pytest.raises(InputError, match=r"points must be \(\*, 478, 2\)"):
        fit_image(points[:100], shape)
    with pytest.raises(InputError, match="must be finite"):
        fit_image(np.where(np.arange(478)[:, None] == 3, np.nan, points), shape)
    with pytest.raises(InputError, match="at least 6 points"):
        fit_image(points, shape, weights=np.zeros(478))
    with pytest.raises(InputError, match="weights must be"):
        fit_image(points, shape, weights=np.ones(4))
    with pytest.raises(InputError, match="needs image_size"):
        fit_image(points, shape, camera="pinhole")
    with pytest.raises(InputError, match="camera must be"):
        fit_image(points, shape, camera="fisheye")
    with pytest.raises(InputError, match="robust must be"):
        FitConfig(robust="huberr")  # type: ignore[arg-type]


def test_points_of_one_plane_have_a_pose_too():
    rng = np.random.default_rng(0)
    plane = np.concatenate([rng.normal(0, 40, (12, 2)), np.zeros((12, 1))], -1)
    turned = plane @ matrix_from_axis_angle(np.array([0.0, 0.0, 0.6])).T
    rotation, scale, translation = weak_perspective_pose(3 * turned[:, :2] + [200, 100], plane)
    np.testing.assert_allclose(scale, 3)
    np.testing.assert_allclose(scale * plane @ rotation[:2].T + translation, 3 * turned[:, :2] + [200, 100])
