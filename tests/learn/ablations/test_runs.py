"""Ablation runs: what is kept, what is refused, and what the section says of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from steadyface.cli import app
from steadyface.errors import InputError
from steadyface.evaluate import report
from steadyface.evaluate.report import page
from steadyface.learn import ablations
from steadyface.learn.ablations import runs
from steadyface.learn.ablations.runs import (
    Ablation,
    Budget,
    Claim,
    Results,
    Variant,
    comparison,
    order_table,
    run_ablation,
)

NME = {"good": [1.0, 1.2], "fair": [2.0, 1.1], "bad": [3.0, 3.4]}
VARIANTS = (
    Variant("good", "Good", {"a": 1}, {"nme": 4.0}),
    Variant("fair", "Fair", {"a": 2}, {"nme": 5.0}),
    Variant("bad", "Bad", {"a": 3}, {"nme": 6.0}),
    Variant("large", "Large", {"a": 4}, {}, least_iterations=100),
)
CLAIMS = (
    Claim("good", "fair", "nme", {"nme": "NME"}),
    Claim("bad", "good", "nme", {"nme": "NME"}),
    Claim("large", "good", "nme", {"nme": "NME"}),
)


def tables(results):
    names = [v.name for v in results.variants]
    orders, counted = order_table(results, CLAIMS)
    made = [comparison(results, "Errors.", names, {"NME %": "nme"}, {"NME": "nme"})]
    return [*made, *([orders] if orders else [])], [counted]


def study(train, **changes):
    made = Ablation(
        "tiny", "A tiny study", "command", VARIANTS, Budget(10, 4, {"cache/x": 1.0}), train, tables
    )
    return replace(made, **changes)


@pytest.fixture
def trained(monkeypatch):
    """A `train` that says at once how good a variant is, and the list of what it trained."""
    done = []
    monkeypatch.setattr(runs, "score", lambda aligner, *_, **__: {"nme": aligner, "lag": np.nan})

    def train(variant, seed, out, budget, show):
        done.append((variant.name, seed))
        return NME[variant.name][seed], 1

    return train, done


def run(train, tmp_path, seeds=(0, 1), **changes):
    return run_ablation(study(train), tmp_path / "runs", seeds, show=False, **changes)


def test_every_variant_is_trained_with_one_seed_before_the_next(trained, tmp_path):
    train, done = trained
    section = run(train, tmp_path)
    names = ["good", "fair", "bad"]
    assert done == [(n, 0) for n in names] + [(n, 1) for n in names]
    errors, orders = section.tables
    assert errors.columns == ("variant", "NME %", "paper: NME")
    assert errors.rows[0] == ("Good", "1.1 ± 0.14", 4.0)
    assert orders.rows[0] == ("Good better than Fair", "4 < 5", "1.1 : 1.55, in 1 of 2 seeds")
    assert orders.rows[1] == ("Bad better than Good", "6 < 4", "3.2 : 1.1, no")
    assert len(orders.rows) == 2
    text = page([section])
    assert "`command --iterations 10 --batch 4 --seeds 2`" in text
    assert "40 pictures, of x" in text
    assert "The budget is too small for Large." in text
    assert "by NME 1 of 2" in text
    kept = json.loads((tmp_path / "runs" / "good-10x4-0" / "result.json").read_text())
    assert kept["lag"] is None


def test_what_is_finished_is_not_trained_again(trained, tmp_path):
    train, done = trained
    first = run(train, tmp_path, only=["good"])
    assert done == [("good", 0), ("good", 1)]
    assert run(train, tmp_path, only=["good"]).tables == first.tables
    run(train, tmp_path)
    assert done[2:] == [("fair", 0), ("bad", 0), ("fair", 1), ("bad", 1)]
    assert "--only good" in first.command


def test_after_its_time_is_over_it_reports_what_there_is(trained, tmp_path):
    train, done = trained
    with pytest.raises(InputError, match=r"no run in .* is finished: give the command more --minutes"):
        run(train, tmp_path, minutes=0)
    run(train, tmp_path, seeds=(0,), only=["good", "bad"])
    section = run(train, tmp_path, minutes=0)
    assert len(done) == 2
    assert [row[0] for row in section.tables[0].rows] == ["Good", "Bad"]
    text = page([section])
    assert "Not finished: Fair." in text
    assert "Fewer seeds: Good 1, Bad 1." in text


def test_other_settings_in_the_same_folder_are_refused(trained, tmp_path):
    train, _ = trained
    run(train, tmp_path)
    other = Budget(10, 4, {"cache/y": 1.0})
    with pytest.raises(InputError, match="holds a run with another sets: give another --runs"):
        run(train, tmp_path, budget=other)
    # Threads change no result.
    run(train, tmp_path, budget=Budget(10, 4, {"cache/x": 1.0}, threads=2))


def test_an_interrupted_run_is_not_taken_for_a_finished_one(trained, tmp_path):
    train, _ = trained
    with pytest.raises(KeyboardInterrupt):
        run(lambda *_: None, tmp_path)
    section = run(train, tmp_path, seeds=(0,))
    assert section.tables[0].rows[0][1] == 1.0


def test_unknown_names_are_answered_with_the_known_ones(trained, tmp_path):
    with pytest.raises(InputError, match="unknown variant 'x': know good, fair, bad, large"):
        run(trained[0], tmp_path, only=["x"])
    with pytest.raises(InputError, match="unknown study 'x': know 3ddfa_v2, displacement, local_motion"):
        ablations.find_ablation("x")


def test_more_is_better_where_it_is_said():
    results = Results(VARIANTS[:2], {"good": {0: {"auc": 70.0}}, "fair": {0: {"auc": 60.0}}})
    claims = [Claim("good", "fair", "auc", {"auc": "AUC", "none": "nothing"}, higher=True)]
    table, counted = order_table(results, claims)
    assert table.rows == (("Good better than Fair", "–", "70 : 60, yes", None),)
    assert counted.endswith("by AUC 1 of 1.")
    assert order_table(results, [Claim("good", "bad", "auc", {"auc": "AUC"})]) == (None, "")


def test_a_hair_is_no_difference_but_in_several_seeds():
    def said(*pairs):
        better, worse = zip(*pairs, strict=True)
        runs = {"good": better, "fair": worse}
        runs = {n: {seed: {"nme": x} for seed, x in enumerate(v)} for n, v in runs.items()}
        table, counted = order_table(Results(VARIANTS[:2], runs), CLAIMS[:1])
        return table.rows[0][2].rpartition(", ")[2], counted.rpartition("NME ")[2]

    assert said((1.0, 1.005)) == ("even", "0 of 1 (1 even).")
    assert said((1.0, 1.02)) == ("yes", "1 of 1.")
    assert said((1.0, 1.005), (1.0, 1.004)) == ("yes", "1 of 1.")
    assert said((1.0, 0.9), (1.0, 1.2)) == ("in 1 of 2 seeds", "1 of 1.")


def test_the_command_writes_a_section_and_its_pictures(trained, tmp_path, monkeypatch):
    def draw(folder_of_run, seeds, results, pictures):
        assert folder_of_run(VARIANTS[0], 0).is_dir()
        (pictures / "plot.png").write_bytes(b"")
        return [("A plot", pictures / "plot.png")]

    made = study(trained[0], draw=draw)
    monkeypatch.setattr(ablations, "find_ablation", lambda name: made)
    options = f"--runs {tmp_path}/runs --iterations 20 --seeds 1 --set cache/z=0.5 --out {tmp_path}/docs"
    result = CliRunner().invoke(app, ["benchmark", "ablation", "tiny", *options.split()])
    assert result.exit_code == 0, result.output
    assert trained[1] == [("good", 0), ("fair", 0), ("bad", 0)]
    section = report.load(tmp_path / "docs" / "results" / "ablation_tiny.json")
    assert section.command == "command --iterations 20 --batch 4 --seeds 1 --set cache/z=0.5"
    assert section.pictures == (("A plot", "images/plot.png"),)
    assert (tmp_path / "runs" / "tiny" / "good-20x4-0" / "result.json").is_file()
