from dataclasses import replace

import numpy as np
import pytest

from steadyface.evaluate.fit_study.errors import FaceErrors
from steadyface.evaluate.fit_study.fits import Setting, settings
from steadyface.evaluate.fit_study.study import StudyPlan
from steadyface.evaluate.fit_study.tables import NETWORK, Results, Spread, claims, headline, pairs, section_of
from steadyface.evaluate.report import load, save


def people(*errors):
    """For each person a function of a setting that gives the neutral error; CD is twice that."""
    keys = [*NETWORK, *settings(4)]
    return [{k: FaceErrors(0.9 * e(k), e(k), 0.5 * e(k), 2 * e(k)) for k in keys} for e in errors]


def with_prior(key):
    return 1.0 if isinstance(key, Setting) and key.prior else 2.0


def test_a_spread_is_the_mean_and_its_standard_error():
    spread = Spread.of([1.0, 2, 3, np.nan])
    assert spread.mean == pytest.approx(2)
    assert spread.error == pytest.approx(1 / np.sqrt(3))
    assert spread.sign == 1
    assert Spread(-1.0, 0.6).sign == 0
    assert Spread(-1.0, 0.4).sign == -1
    assert np.isnan(Spread.of([np.nan]).mean)
    # Of one person nobody knows what is clear.
    assert Spread.of([1.0]).sign == 0


def test_settings_are_compared_with_those_that_differ_in_one_thing():
    for what, compared in pairs([*NETWORK, *settings(4)]).items():
        assert compared, what
        for before, after in compared:
            if isinstance(before, Setting):
                changed = [n for n in before.__dataclass_fields__ if getattr(before, n) != getattr(after, n)]
                assert len(changed) == 1, (what, before, after)


def test_what_helps_is_said_from_the_numbers():
    results = Results(people(*(lambda k, s=s: s + with_prior(k) for s in (0.0, 0.1, 0.4))))
    assert results.gain(Setting(1), Setting(1, prior=True), "chamfer").mean == pytest.approx(-2)
    (text,) = claims(results)
    count = len(pairs(results.keys)["neutral prior"])
    assert f"Neutral prior ({count} comparisons): neutral error clearly lower in {count}, higher in 0" in text
    assert "Twice the views (" in text
    (text,) = headline(results)
    assert "prior changes that of a single image by -1.000 ± 0.000 mm" in text
    assert "nose that of these four views by +0.000 ± 0.000 mm" in text
    assert headline(Results([{Setting(1): None}])) == ()
    worse = Results(people(*(lambda k, s=s: s - with_prior(k) for s in (5.0, 5.1))))
    assert f"neutral error clearly lower in 0, higher in {count}" in claims(worse)[0]


def test_a_section_holds_every_setting_and_every_person(tmp_path):
    plan = StudyPlan()
    some = people(with_prior, lambda k: 2 * with_prior(k))
    some[1][Setting(1)] = None
    section = section_of(some, plan, "mean", "steadyface benchmark views")
    save(section, tmp_path)
    again = load(tmp_path / "results" / "views.json")
    errors, gains, mean, cd = again.tables
    assert len(errors.rows) == len(mean.rows) == len(cd.rows) == len(some[0])
    row = next(r for r in mean.rows if r[:3] == ("sequence", "no", "no"))
    assert row[3:] == (2.0, None)
    row = next(r for r in cd.rows if r[:3] == ("sequence", "yes", "no"))
    assert row[3:] == (2.0, 4.0)
    assert len(gains.rows) == sum(map(len, pairs(list(some[0])).values()))
    assert "mean of the sequence" in (tmp_path / "results.md").read_text()
    exact = section_of(some, replace(plan, points="exact"), "mean", "")
    assert exact.name == "views_exact"
