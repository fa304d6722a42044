from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from steadyface.errors import InputError
from steadyface.evaluate.steadybench.motion import MOTIONS
from steadyface.evaluate.steadybench.plan import (
    CATEGORIES,
    CONDITIONS,
    TABLE,
    ClipPlan,
    make_plan,
    variant_plan,
)
from steadyface.evaluate.steadybench.poses import POSES


def test_the_benchmark_has_twelve_clips_of_each_category_with_every_kind_of_motion():
    plans = make_plan()
    assert len(plans) == 36
    assert len({p.name for p in plans}) == 36
    assert len({p.seed for p in plans}) == 36
    for category in CATEGORIES:
        mine = [p for p in plans if p.category == category]
        assert len(mine) == 12
        assert len({p.motion for p in mine}) >= 6
        talking = sum(p.expression == "speech" for p in mine)
        assert 5 <= talking <= 8
        # From light to dark in every category.
        tones = sorted(p.tone for p in mine)
        assert max(b - a for a, b in pairwise(tones)) < 0.1
        assert tones[0] < 0.1
        assert tones[-1] > 0.9
    assert all(p.condition == "clean" for p in plans if p.category == "A")
    assert all(p.condition != "clean" for p in plans if p.category != "A")
    assert all((p.frames, p.fps, p.size) == (120, 25.0, (640, 480)) for p in plans)


def test_names_say_what_a_clip_shows():
    names = [p.name for p in make_plan()]
    assert names[0] == "A01-talk-sway"
    assert "B02-posed-sweep-side" in names
    assert "C08-talk-profile" in names


def test_a_seed_gives_one_plan_and_another_seed_other_people():
    assert make_plan(3) == make_plan(3)
    a, b = make_plan(0), make_plan(1)
    assert [p.name for p in a] == [p.name for p in b]
    assert not {p.seed for p in a} & {p.seed for p in b}


def test_small_and_large_plans_take_a_third_of_each_category():
    six = make_plan(clips=6)
    assert Counter(p.category for p in six) == {"A": 2, "B": 2, "C": 2}
    for category in CATEGORIES:
        kinds = {p.expression == "speech" for p in six if p.category == category}
        assert kinds == {True, False}
    # Clips keep their names and people as the plan grows.
    assert {(p.name, p.seed) for p in six} <= {(p.name, p.seed) for p in make_plan()}
    large = make_plan(clips=40)
    assert Counter(p.category for p in large) == {"A": 14, "B": 13, "C": 13}
    assert len({p.name for p in large}) == 40
    assert large[12].motion == TABLE["A"][0][1]
    with pytest.raises(InputError, match="at least 3 clips"):
        make_plan(clips=2)


def test_variants_are_every_motion_with_every_expression():
    plans = variant_plan(["still", "nod"], ["neutral", "happiness", "speech"], people=2, frames=30)
    assert len(plans) == 12
    assert len({p.name for p in plans}) == 12
    assert Counter((p.motion, p.expression) for p in plans)["nod", "speech"] == 2
    assert {p.frames for p in plans} == {30}
    assert variant_plan(["nod"], ["neutral"], condition="hand")[0].category == "C"
    with pytest.raises(InputError, match="unknown condition 'fog': know clean"):
        variant_plan(["nod"], ["neutral"], condition="fog")


def test_a_hash_changes_with_every_field():
    plan = make_plan(clips=3)[0]
    other = (
        replace(plan, seed=1),
        replace(plan, tone=0.5),
        replace(plan, frames=5),
        replace(plan, size=(320, 240)),
        replace(plan, motion="nod"),
    )
    assert len({p.hash() for p in (plan, *other)} | {plan.hash("mean")}) == 7
    assert plan.hash() == make_plan(clips=3)[0].hash()


def test_plans_of_what_cannot_be_filmed_are_refused():
    fields = {"name": "x", "category": "A", "condition": "clean", "motion": "nod", "expression": "speech"}

    def plan(**change):
        return ClipPlan(**{**fields, **change}, tone=0.5, seed=0)

    assert plan().name == "x"
    for change, message in (
        ({"category": "D"}, "unknown category 'D': know A, B, C"),
        ({"condition": "fog"}, "unknown condition 'fog': know clean"),
        ({"motion": "jump"}, "unknown head motion 'jump': know still"),
        ({"expression": "joy"}, "unknown expression 'joy'"),
        ({"frames": 1}, "at least 2 frames"),
    ):
        with pytest.raises(InputError, match=message):
            plan(**change)


def test_the_page_names_every_condition_motion_and_expression():
    text = (Path(__file__).resolve().parents[3] / "docs" / "steadybench.md").read_text()
    for name in (*CONDITIONS, *MOTIONS, *POSES):
        assert f"`{name}`" in text, name
