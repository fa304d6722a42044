"""3DDFA_V2's ablation: its variants differ in what they say and in nothing else, and they train."""

from dataclasses import asdict

import pytest

from steadyface.evaluate.report import page
from steadyface.face_model.morphable import load_face_model
from steadyface.learn import train
from steadyface.learn.ablations import find_ablation
from steadyface.learn.ablations.runs import Budget, Results, Variant, run_ablation
from steadyface.learn.ablations.three_ddfa_v2 import (
    CLAIMS,
    VARIANTS,
    choices,
    config_of,
    tables,
    training_errors,
)
from steadyface.learn.train import Trainer

ABLATION = find_ablation("3ddfa_v2")


@pytest.fixture
def budget(sample_folder, model_file, monkeypatch):
    model = load_face_model(model_file)
    monkeypatch.setattr(train, "load_face_model", lambda _: model)
    folder = str(sample_folder)
    return Budget(8, 6, {folder: 1.0}, {"heldout": folder})


def test_variants_differ_in_what_they_say_alone(tmp_path):
    plain, *others = (asdict(config_of(v, 0, tmp_path, ABLATION.budget)) for v in VARIANTS)
    for v, config in zip(VARIANTS[1:], others, strict=True):
        changed = {k for k in plain if config[k] != plain[k]}
        said = {k for k in v.settings if k != "svs"} | ({"batches"} if "svs" in v.settings else set())
        assert changed <= said, v.name
    assert not any(plain["weights"].values())
    assert plain["pooling"] == "average"
    assert plain["lrr"] is False


def test_every_published_order_is_the_papers():
    figures = {v.name: v.paper for v in VARIANTS}
    for claim in CLAIMS:
        better, worse = (figures[n].get(claim.published) for n in (claim.better, claim.worse))
        assert better < worse, claim


def test_a_study_is_trained_and_its_choices_drawn(budget, tmp_path, monkeypatch):
    monkeypatch.setattr("steadyface.learn.ablations.three_ddfa_v2.ParameterAligner", lambda path, model: path)
    monkeypatch.setattr("steadyface.learn.ablations.runs.score", lambda *_, **__: {"nme": 5.0})
    monkeypatch.setattr("steadyface.learn.ablations.three_ddfa_v2.keep_memory", lambda: None)
    only = ["fwpdc", "meta"]
    section = run_ablation(
        ABLATION, tmp_path, (0,), budget, only, None, None, pictures=tmp_path / "images", show=False
    )
    assert (tmp_path / "images" / "ablation_3ddfa_v2.png").stat().st_size > 10000
    iterations, won = choices(tmp_path / "meta-8x6-0")
    assert iterations[-1] == 8
    assert set(won) <= {"fwpdc", "vdc"}
    at, errors = training_errors(tmp_path / "fwpdc-8x6-0")
    assert list(at) == list(range(1, 9))
    assert (errors > 0).all()
    text = page([section])
    assert "images/ablation_3ddfa_v2.png" in text
    assert "Table 3" in text
    assert "| fWPDC |" in text


def test_within_a_look_ahead_the_rate_goes_on(budget, tmp_path, monkeypatch):
    monkeypatch.setattr("steadyface.learn.train.Trainer.vertex_error", lambda *_: 1.0)
    rates = []
    for name, objective in (("plain", "fwpdc"), ("meta", "meta-joint")):
        variant = Variant(name, name, {"objective": objective, "look_ahead": 3})
        trainer = Trainer(config_of(variant, 0, tmp_path / name, budget))
        seen = []

        def step(*_, trainer=trainer, seen=seen):
            seen.append(trainer.optimizer.param_groups[0]["lr"])
            return {"vertex_mm": 1.0, "base": 1.0}

        monkeypatch.setattr(trainer, "step", step)
        trainer.run(False)
        assert trainer.iteration == 8
        rates.append(seen)
    plain, meta = rates
    # Both losses take the same steps; the last look-ahead is as long as what is left.
    assert meta == [*plain[:3] * 2, *plain[3:6] * 2, *plain[6:] * 2]
    assert len(set(plain)) == 8


def test_the_trend_of_choices_is_told_as_it_is():
    def figures(first, second):
        return {0: {"heldout_error": 3.0, "fwpdc_first_half": first, "fwpdc_second_half": second}}

    runs = {"meta": figures(90.0, 20.0), "meta-5": figures(40.0, 60.0), "vanilla": figures(None, None)}
    notes = " ".join(tables(Results(VARIANTS, runs))[1])
    assert "k = 25: more often early (90 % : 20 %)" in notes
    assert "k = 5: not more often early (40 % : 60 %)" in notes
