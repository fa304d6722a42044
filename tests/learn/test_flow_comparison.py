import json
from dataclasses import replace

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.report import page
from steadyface.learn import flow_comparison
from steadyface.learn.flow_comparison import CONTENDERS, Training, compare, section, trained, verdict
from steadyface.networks.dense_regressor import DenseRegressorConfig
from steadyface.networks.flow_update import UpdateConfig
from steadyface.networks.uv_flow import UVFlowConfig

FLOW = UVFlowConfig(
    encoder="mobile-0.5",
    image_size=64,
    uv_size=8,
    channels=16,
    textures=4,
    levels=2,
    radius=2,
    iterations=1,
    start="guess",
    update=UpdateConfig(
        hidden=16, context=16, correlation=(16, 16), flow=(8, 8), motion=16, head=16, separable=False
    ),
)
SMALL = {
    "flow-1": FLOW,
    "flow-2": replace(FLOW, iterations=2),
    "flow-fixed": replace(FLOW, iterations=2, start="fixed"),
    "direct": DenseRegressorConfig("mobile-0.5", 64),
}
MACHINE = {"threads": 1, "workers": 0, "show": False}


@pytest.fixture
def training(sample_folder, model_file):
    folder = str(sample_folder)
    return Training({folder: 1.0}, {"there": folder}, 4, 2, face_model=str(model_file))


@pytest.mark.parametrize("name", ["flow-1", "direct"])
def test_a_network_is_trained_once_and_measured(name, training, tmp_path, monkeypatch):
    measured = compare([name], training, [0], tmp_path, contenders=SMALL, **MACHINE)
    monkeypatch.setattr(flow_comparison, "train_flow", None)
    again = compare([name], training, [0], tmp_path, contenders=SMALL, **MACHINE)
    assert again[name]["results"] == measured[name]["results"]
    assert again[name]["ms"] > 0
    assert again[name]["parameters"] > 10000
    assert (tmp_path / f"{name}-4-0" / "flow.onnx").is_file()


def test_the_table_holds_what_was_measured(training):
    def result(error, sigma):
        return {"there": {"error": error, "error_eyes": error / 2, "deviation": sigma, "error_0": 3.0}}

    at = {"flow-1": (2.0, 2.2), "flow-2": (1.0, 1.2), "flow-fixed": (4.0, 4.0), "direct": (5.0, 6.0)}
    measured = {
        name: {"network": n, "results": [result(e, 1.5) for e in at[name]], "parameters": 2e6, "ms": 7.0}
        for name, n in SMALL.items()
    }
    made = section(measured, training, [0, 1], "command")
    (table,) = made.tables
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["the guess", *SMALL]
    assert [r["paper: SSME px"] for r in rows.values()] == [None, 2.7, 2.61, None, 3.9]
    assert [r["guess"] for r in rows.values()] == [None, "yes", "yes", "no", "no"]
    assert rows["flow-2"]["there, %"] == "1.1 ± 0.14"
    assert rows["flow-2"]["there, over sigma"] == "1.5 ± 0"
    assert rows["the guess"]["there, %"] == "3 ± 0"
    assert rows["flow-2"]["million weights"] == 2.0
    text = page([made])
    assert "every network of more than one iteration" in text
    assert "direct errs 5.00 times as much as flow-2; direct errs 1.38 times as much as flow-fixed" in text


def test_equally_many_pictures_are_shown(training, tmp_path):
    for network in SMALL.values():
        config = training.config(network, tmp_path, 3)
        assert config.iterations * config.batches.size == training.pictures
        assert config.seed == config.batches.seed == 3


def test_another_setting_in_the_same_folder_is_refused(training, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_comparison, "train_flow", lambda *a, **k: {"there": {"error": 1.0}})
    assert trained(FLOW, training, tmp_path / "run") == {"there": {"error": 1.0}}
    with pytest.raises(InputError, match="another learning_rate: give another --runs"):
        trained(FLOW, replace(training, learning_rate=0.5), tmp_path / "run")


def test_an_interrupted_training_is_not_taken_for_a_finished_one(training, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_comparison, "train_flow", lambda *a, **k: {})
    with pytest.raises(KeyboardInterrupt):
        trained(FLOW, training, tmp_path / "run")
    monkeypatch.setattr(flow_comparison, "train_flow", lambda *a, **k: {"there": {"error": 2.0}})
    assert trained(FLOW, training, tmp_path / "run") == {"there": {"error": 2.0}}
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"there": {"error": 2.0}}


def test_only_mobilenets_are_lent_weights(training, tmp_path):
    lent = replace(training, init_from="face.onnx")
    assert lent.config(SMALL["direct"], tmp_path, 0).init_from == "face.onnx"
    assert lent.config(CONTENDERS["direct-resnet"], tmp_path, 0).init_from is None


def test_the_order_of_iterations_is_judged_as_it_is():
    at = {1: [2.0, 2.2], 2: [1.5, 1.5], 3: [1.0, 1.0], 4: [1.7, 1.7]}
    said = verdict({k: np.array(v) for k, v in at.items()}, "people")
    assert "On people every network of more than one iteration errs less" in said
    assert "3, 2, 4, 1 iterations, as in the paper" in said
    assert "The best gains 1.100 ± 0.141 % on one iteration (mean ± standard deviation of 2 seeds)" in said
    said = verdict({1: np.array([1.0]), 2: np.array([1.5]), 3: np.array([0.9])}, "people")
    assert "not every network" in said
    assert "ours are 3, 1, 2 iterations, the paper has 3, 2, 1." in said
    said = verdict({1: np.array([1.0]), 3: np.array([2.0])}, "people")
    assert "On people no network" in said
    assert "gains" not in said


def test_what_cannot_be_compared_is_refused(training, tmp_path):
    with pytest.raises(InputError, match="unknown network 'flow-9': know flow-1"):
        compare(["flow-9"], training, [0], tmp_path)
    with pytest.raises(InputError, match="at least one held-out"):
        replace(training, heldout={})
    with pytest.raises(InputError, match="1 pictures are less than a batch of 2"):
        replace(training, pictures=1)
