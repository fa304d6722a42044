from dataclasses import replace

import numpy as np
import pytest
from refined_scene import SMALL, FilmedHead, observations, perturbed, problem_of, textured_head, truth_of

from steadyface.errors import InputError
from steadyface.refine.irradiance import irradiance
from steadyface.refine.problem import RefineConfig
from steadyface.refine.texture_phase import learn_face

FRAMES = 8


@pytest.fixture(scope="module")
def head(tiny_model):
    # All points of a frame are off alike, so that they alone cannot tell where it is.
    return FilmedHead([truth_of(textured_head(tiny_model), FRAMES)], bias=1.5)


def learn(head, config=SMALL, spread=0.5, **options):
    problem = problem_of(head, config)
    guess = perturbed(head.truths[0], spread)
    seen = observations(head, problem, guess)
    return (
        problem,
        problem.state(seen, guess.identity, guess.focal),
        learn_face(problem, seen, guess.identity, guess.focal, **options),
    )


def shaken(problem, head, state):
    """How far samples are from the truth, px, but for what is the same in all frames."""
    truth = head.truths[0]
    true = truth.image_points(problem.surface.samples.shape)[..., :2]
    x = (
        problem.surface.samples.shape(np.tile(state.identity, (FRAMES, 1)), state.expression)
        @ np.swapaxes(state.rotation, 1, 2)
        + state.translation[:, None]
    )
    away = np.exp(state.log_focal[0]) * x[..., :2] / x[..., 2:] + truth.center - true
    return np.linalg.norm(away - away.mean(0), axis=-1).mean()


def test_texture_and_poses_are_found_together(head):
    problem, start, learned = learn(head)
    assert shaken(problem, head, learned.state) < 0.3 * shaken(problem, head, start)
    plain = problem.minimise(
        problem.alignment(observations(head, problem, head.truths[0]), ordered=False, shared=True), start
    )
    assert shaken(problem, head, learned.state) < 0.5 * shaken(problem, head, plain)
    views = problem.views(observations(head, problem, head.truths[0]), learned.state, 0)
    assert learned.light.shape == (FRAMES, len(problem.surface.basis))
    for view, light in zip(views, learned.light, strict=True):
        shown = learned.known.texture * irradiance(view.basis, light)
        sure = (view.visible > 0.5) & (learned.known.texture > 0)
        assert np.corrcoef(shown[sure], view.grey[sure])[0, 1] > 0.9
    assert learned.known.focal == pytest.approx(head.truths[0].focal, rel=0.1)
    assert (learned.known.identity == learned.state.identity).all()


def test_identity_and_focal_length_may_stay(head):
    _, start, learned = learn(head, replace(SMALL, own_identity=False))
    assert (learned.known.identity == start.identity).all()
    assert learned.known.focal == pytest.approx(np.exp(start.log_focal[0]))
    assert not np.allclose(learned.state.translation, start.translation)


def test_a_focal_length_without_doubt_stays(head):
    weights = replace(SMALL.weights, focal_log_sigma=0.0)
    _, start, learned = learn(head, replace(SMALL, weights=weights))
    assert learned.known.focal == pytest.approx(np.exp(start.log_focal[0]))
    assert not np.allclose(learned.known.identity, start.identity)


def test_without_steps_the_poses_stay_and_a_texture_is_found(head):
    _, start, learned = learn(head, replace(SMALL, iterations=0))
    for name in ("rotation", "translation", "expression", "identity", "log_focal"):
        np.testing.assert_array_equal(getattr(learned.state, name), getattr(start, name))
    assert (learned.known.texture > 0).mean() > 0.4


def test_one_frame_is_enough(tiny_model):
    alone = FilmedHead([truth_of(textured_head(tiny_model), 1)])
    problem = problem_of(alone)
    guess = perturbed(alone.truths[0])
    learned = learn_face(problem, observations(alone, problem, guess), guess.identity, guess.focal)
    assert learned.light.shape[0] == 1
    assert (learned.known.texture > 0).any()


def test_a_face_outside_the_picture_has_no_texture(tiny_model):
    truth = truth_of(textured_head(tiny_model), 3)
    away = FilmedHead([replace(truth, translation=truth.translation + np.array([900, 0, 0]))])
    problem = problem_of(away)
    learned = learn_face(problem, observations(away, problem, away.truths[0]), truth.identity, truth.focal)
    assert not learned.known.texture.any()
    assert np.isfinite(learned.state.translation).all()


def test_the_average_texture_is_only_one_models(head):
    with pytest.raises(InputError, match="is the face model 'anny''s, not 'tiny''s"):
        learn(head, replace(SMALL, own_texture=False))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", 0),
        ("samples", 0),
        ("samples", 40000),
        ("height", 15),
        ("iterations", -1),
        ("stride", 0),
        ("ahead", -1),
        ("least_support", 1.1),
        ("least_support", float("nan")),
        ("learning", ()),
        ("following", (1, -1)),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name} must be"):
        RefineConfig(**{name: value})
