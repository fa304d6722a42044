from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from steadyface.cli import app
from steadyface.errors import InputError
from steadyface.evaluate.fit_study import study
from steadyface.evaluate.fit_study.filming import FilmPlan, film_person, read_person
from steadyface.evaluate.fit_study.rig import PLACES
from steadyface.evaluate.report import Section, load
from steadyface.evaluate.steadybench.cast import build_cast

PLAN = FilmPlan(people=1, frames=2, size=(160, 120), places=PLACES[:1])


@pytest.fixture(scope="module")
def cast():
    return build_cast()


@pytest.fixture(scope="module")
def root(cast, tmp_path_factory):
    """One person filmed by two cameras."""
    frames = []
    root = tmp_path_factory.mktemp("views")
    film_person(PLAN, 0, cast, root, lambda: frames.append(1))
    assert len(frames) == 4
    return root


def test_a_person_is_filmed_by_all_cameras_and_read_back(root, cast):
    filmed = read_person(PLAN, 0, cast, root)
    assert len(filmed.truths) == 2
    for c, truth in enumerate(filmed.truths):
        images = filmed.images(c)
        assert images.shape == (2, 120, 160, 3)
        assert images.std() > 10
        face = truth.script.model.region("face")
        assert 0.3 < truth.visible[:, face].mean() < 0.99
    # The face is the person's own, not the model's.
    own, shared = (m.shape.mean[cast.model.region("face")] for m in (truth.script.model, cast.model))
    assert np.sqrt(((own - shared) ** 2).sum(-1).mean()) == pytest.approx(1, rel=1e-3)


def test_cameras_see_what_is_where_the_truth_says(root, cast):
    filmed = read_person(PLAN, 0, cast, root)
    for c, truth in enumerate(filmed.truths):
        image = filmed.images(c)[0].astype(float)
        points = truth.points("ibug68", 0)[:, :2]
        # Pupils are darker than what surrounds the eyes.
        for eye in (slice(36, 42), slice(42, 48)):
            x, y = np.rint(points[eye].mean(0)).astype(int)
            brows = np.rint(points[eye].mean(0) + np.array([0, 9])).astype(int)
            assert image[y - 1 : y + 2, x - 1 : x + 2].min() < image[brows[1], brows[0]].mean()


def test_what_is_filmed_is_kept_until_the_plan_changes(root, cast):
    frames = []
    film_person(PLAN, 0, cast, root, lambda: frames.append(1))
    assert not frames
    assert PLAN.digest(0, cast) == replace(PLAN, people=5).digest(0, cast)
    assert PLAN.digest(0, cast) != replace(PLAN, frames=3).digest(0, cast)
    assert PLAN.digest(0, cast) != PLAN.digest(1, cast)


def test_true_points_are_seen_where_the_cameras_see_them(root, cast):
    plan = study.StudyPlan(PLAN, "exact")
    filmed = read_person(PLAN, 0, cast, root)
    seen = study.see(plan, filmed, 0, cast.model, align=lambda _: None)
    assert np.isnan(seen.identity).all()
    shown = np.isfinite(seen.sigma)
    expected = np.stack([t.visible[:, seen.vertices] for t in filmed.truths], 1)
    np.testing.assert_array_equal(shown, expected)
    true = filmed.scripts[1].image_points(filmed.scripts[1].model.shape.points(seen.vertices))[..., :2]
    assert np.std(seen.points[:, 1] - true) == pytest.approx(study.NOISE_PX, rel=0.1)


def test_only_known_points_are_fitted():
    with pytest.raises(InputError, match="unknown points 'best': give one of dense, live, exact"):
        study.StudyPlan(points="best")


def test_the_command_writes_its_section(monkeypatch, tmp_path):
    asked = []

    def run(root, plan, portraits, processes, progress):
        progress(1, 1)
        asked.append((root.name, plan.points, plan.film.people, portraits, processes))
        return Section("views", "Views", "steadyface benchmark views")

    monkeypatch.setattr(study, "run_study", run)
    words = [
        "benchmark",
        "views",
        "--root",
        "films",
        "--people",
        "3",
        "--points",
        "live",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert asked == [("films", "live", 3, None, 2)]
    assert load(tmp_path / "results" / "views.json").title == "Views"
