"""The ablation of displacement learning: eight rows that differ in their discriminators alone, and train."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from steadyface.evaluate.report import page
from steadyface.learn import displacement_train
from steadyface.learn.ablations import displacement, find_ablation
from steadyface.learn.ablations.displacement import config_of, study, tables
from steadyface.learn.ablations.runs import Budget, Results, run_ablation

ABLATION = find_ablation("displacement")


def test_rows_differ_in_their_discriminators_alone(tmp_path):
    rows = [asdict(config_of(v, 0, tmp_path, ABLATION.budget)) for v in ABLATION.variants]
    subsets = {frozenset(c["discriminators"]["on"]) for c in rows}
    assert len(rows) == len(subsets) == 8
    for c in rows:
        c["discriminators"].pop("on")
    assert all(c == rows[0] for c in rows)


def test_every_claim_is_the_papers():
    figures = {v.name: v.paper["mean"] for v in ABLATION.variants}
    claims = displacement.CLAIMS
    # Every discriminator beside every set without it, and the order of the three alone.
    assert len(claims) == 3 * 4 + 2
    assert all(figures[c.better] < figures[c.worse] for c in claims)


@pytest.fixture
def budget(video_folder, model_file, paired_model, monkeypatch):
    monkeypatch.setattr(displacement_train, "load_face_model", lambda _: paired_model)
    monkeypatch.setattr(displacement, "ParameterAligner", lambda path, model: path)
    monkeypatch.setattr(displacement, "keep_memory", lambda: None)
    monkeypatch.setattr("steadyface.learn.ablations.runs.score", lambda *_, **__: {"nme": 5.0, "nme_A": 4.0})
    return Budget(2, 2, {str(video_folder): 1.0}, {"sequences": str(video_folder)})


def test_rows_go_on_from_one_network(budget, tmp_path, monkeypatch):
    made = []
    real = displacement.DisplacementTrainer

    def recorded(config, resume):
        made.append(config)
        return real(config, resume)

    monkeypatch.setattr(displacement, "DisplacementTrainer", recorded)
    small = study(image_size=32, width=0.125)
    section = run_ablation(small, tmp_path, (0,), budget, ["none", "temporal"], None, None, show=False)
    base, first, second = made
    assert Path(base.out).name == "base-6x2-0"
    assert (base.iterations, base.init_from, base.discriminators.on) == (6, None, ())
    assert first.init_from == second.init_from == str(tmp_path / "base-6x2-0" / "checkpoint.pt")
    assert (first.discriminators.on, second.discriminators.on) == ((), ("temporal",))
    text = page([section])
    assert "| With temporal | 4" in text
    assert "| 3.08 |" in text
    assert "one network, trained 3 times as long" in text
    # Nothing is trained again.
    run_ablation(small, tmp_path, (0,), budget, ["none", "temporal"], None, None, show=False)
    assert len(made) == 3


def test_rows_may_start_from_random_weights(budget, tmp_path):
    small = study(image_size=32, width=0.125, base="", supervision="full")
    section = run_ablation(small, tmp_path, (0,), budget, ["identity"], None, None, show=False)
    assert [p.name for p in tmp_path.iterdir()] == ["identity-2x2-0"]
    assert "from random weights" in section.notes[0]
    assert "true vertices" in " ".join(section.notes)


def test_orders_are_told_as_they_are():
    small = replace(ABLATION, variants=ABLATION.variants[:2])
    worse = {"none": {0: {"nme": 3.0, "stability": 0.5}}, "identity": {0: {"nme": 4.0, "stability": 0.4}}}
    made, notes = tables(Results(small.variants, worse))
    assert "by SteadyBench NME 0 of 1; by stability 1 of 1" in notes[0]
    assert made[-1].rows[0][0] == "With identity better than Without all"
