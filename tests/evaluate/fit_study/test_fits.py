from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filmed_clip import script_of

from steadyface.evaluate.fit_study import study
from steadyface.evaluate.fit_study.errors import evenly_spread, score_faces
from steadyface.evaluate.fit_study.filming import Filmed
from steadyface.evaluate.fit_study.fits import FittedFace, Setting, fit_setting, said_by_network, settings
from steadyface.evaluate.fit_study.observe import Observed, with_true_points
from steadyface.evaluate.fit_study.rig import scripts_of, true_rig
from steadyface.evaluate.fit_study.tables import NETWORK
from steadyface.evaluate.steadybench.truth import Truth
from steadyface.face_model.morphable import MorphableModel

FRAMES = np.array([1, 5])


@pytest.fixture(scope="module")
def model(tiny_model) -> MorphableModel:
    mean = tiny_model.shape.mean
    nose = (np.abs(mean[:, 0]) < 30) & (np.abs(mean[:, 1] - 10) < 40) & (mean[:, 2] < 60)
    return replace(tiny_model, regions={**tiny_model.regions, "nose": nose})


def filmed_with(model):
    """Four cameras before a face of a model, eight frames, without pictures."""
    script = script_of(model)
    part = {n: getattr(script, n)[::6] for n in ("rotation", "translation", "expression")}
    scripts = scripts_of(replace(script, **part))
    face = np.tile(model.region("face"), (len(scripts[0]), 1))
    return Filmed("person1", [Truth(s, face) for s in scripts], [Path()] * len(scripts))


def seen_exactly(filmed, noise=0.2, identity=None):
    """What would be seen of it, with little noise; identity: that the network would say, the true one."""
    script = filmed.scripts[0]
    t, c, model = len(script), len(filmed.truths), script.model
    vertices = np.flatnonzero(model.region("face"))
    empty = np.zeros((t, c, len(vertices)))
    said = np.tile(script.identity if identity is None else identity, (t, c, 1))
    expression = np.repeat(script.expression[:, None], c, 1)
    seen = Observed(vertices, np.zeros((*empty.shape, 2)), empty, said, expression)
    return with_true_points(seen, filmed.truths, noise, np.random.default_rng(0))


def errors(setting, filmed, seen, model):
    faces = fit_setting(setting, seen, model, true_rig(filmed.scripts), 4.0, FRAMES)
    return score_faces(faces, filmed, model)


@pytest.mark.parametrize("known", [True, False])
def test_exact_points_of_four_views_give_the_true_face(model, known):
    filmed = filmed_with(model)
    found = errors(Setting(4, known=known), filmed, seen_exactly(filmed), model)
    assert found.mean < 0.01
    assert found.chamfer < 0.05


def test_the_true_face_has_no_error_and_a_swollen_one_has(model):
    filmed = filmed_with(model)
    script = filmed.scripts[0]
    neutral = model.shape.neutral(script.identity)
    moving = script.model.shape(np.tile(script.identity, (2, 1)), script.expression[FRAMES])
    exact = score_faces([FittedFace(neutral, FRAMES, moving)], filmed, model)
    assert max(exact.mean, exact.chamfer) < 1e-3
    # Of the neutral face size does not count, of the moving one it does.
    large = score_faces([FittedFace(1.1 * neutral, FRAMES, 1.1 * moving)], filmed, model)
    assert large.mean < 1e-3
    assert large.chamfer > 1
    dent = np.where(model.region("nose")[:, None], [0, 0, 6.0], 0)
    assert score_faces([FittedFace(neutral + dent, FRAMES, moving)], filmed, model).mean > 0.2
    assert score_faces([], filmed, model) is None


def test_the_prior_draws_towards_what_the_network_said(model):
    filmed = filmed_with(model)
    wrong = filmed.scripts[0].identity + 1
    noisy, true = (seen_exactly(filmed, noise=4.0, identity=i) for i in (wrong, None))
    single = Setting(1, whole=False)
    without = errors(single, filmed, true, model).mean
    assert errors(replace(single, prior=True), filmed, true, model).mean < without
    assert errors(replace(single, prior=True), filmed, noisy, model).mean > without


def test_offsets_find_what_lies_outside_the_model(model):
    bump = np.where(model.region("nose")[:, None], [2.0, -1, -3], 0)
    own = replace(model, shape=replace(model.shape, mean=model.shape.mean + bump))
    filmed = filmed_with(own)
    seen = seen_exactly(filmed)
    plain, nose = (errors(Setting(4, known=True, offsets=o), filmed, seen, model) for o in ("", "nose"))
    assert nose.mean < 0.1 * plain.mean
    assert nose.chamfer < 0.1 * plain.chamfer


def test_frames_without_a_face_are_left_out(model):
    filmed = filmed_with(model)
    seen = seen_exactly(filmed)
    seen.identity[FRAMES[0]], seen.expression[FRAMES[0]] = np.nan, np.nan
    seen.sigma[FRAMES[0]] = np.inf
    rig = true_rig(filmed.scripts)
    singles = fit_setting(Setting(1, whole=False), seen, model, rig, 4.0, FRAMES)
    assert [f.frames.tolist() for f in singles] == [[FRAMES[1]]]
    assert [f.frames.tolist() for f in said_by_network(seen, model, FRAMES, True)] == [[FRAMES[1]]]
    seen.identity[:] = np.nan
    assert said_by_network(seen, model, FRAMES, True) == []
    assert fit_setting(Setting(1), seen, model, rig, 4.0, FRAMES) == []
    # A moment that the second camera missed cannot place it.
    seen = seen_exactly(filmed)
    seen.sigma[:, 1] = np.inf
    assert fit_setting(Setting(2, whole=False), seen, model, rig, 4.0, FRAMES) == []


def test_every_setting_is_compared_once():
    compared = settings(4)
    assert len(set(compared)) == len(compared)
    assert all(s.cameras > 1 and s.whole and s.prior for s in compared if s.offsets)
    assert {s.cameras for s in settings(1)} == {1}


def test_a_person_is_compared_by_all_settings_and_by_none(model, monkeypatch):
    filmed = filmed_with(model)
    two = replace(filmed, truths=filmed.truths[:2])
    some = [Setting(2, whole=False, prior=True), Setting(2, prior=True, offsets="nose")]
    monkeypatch.setattr(study, "settings", lambda cameras: some if cameras == 2 else [])
    seen = seen_exactly(two, noise=1.0)
    found = study.compare_fits(study.StudyPlan(points="exact"), two, seen, model)
    assert list(found) == [*NETWORK, *some]
    assert all(e.mean < 0.1 for e in found.values())


def test_points_are_spread_evenly():
    line = np.zeros((101, 3))
    line[:, 0] = np.arange(101)
    taken = evenly_spread(line, line[:, 0] <= 80, 9)
    assert np.flatnonzero(taken)[[0, -1]].tolist() == [0, 80]
    assert np.diff(np.flatnonzero(taken)).max() <= 20
    assert evenly_spread(line, line[:, 0] < 5, 9).sum() == 5
