import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch

from steadyface.errors import InputError
from steadyface.learn import export_onnx, log
from steadyface.learn.batches import BatchConfig
from steadyface.learn.checkpoint import Average, load_checkpoint
from steadyface.learn.discriminators import DiscriminatorConfig
from steadyface.learn.schedule import progress_of, rate_factor
from steadyface.learn.settings import with_setting
from steadyface.learn.train import TrainConfig, Trainer, train


@pytest.fixture
def config(sample_folder, model_file, tmp_path):
    batches = BatchConfig({str(sample_folder): 1.0}, size=8, face_model=str(model_file), seed=1)
    return TrainConfig(
        out=str(tmp_path / "run"),
        batches=batches,
        width=0.125,
        iterations=4,
        vertex_count=50,
        threads=1,
        workers=0,
        heldout={"heldout": str(sample_folder)},
    )


def weights(trainer):
    return {k: v.clone() for k, v in trainer.network.state_dict().items()}


def test_training_lowers_the_error(config):
    trainer = Trainer(replace(config, objective="distance", iterations=30))
    batch = trainer.maker(0)
    trainer.network.train()
    first = float(trainer.step("distance", batch)["vertex_mm"])
    for group in trainer.optimizer.param_groups:
        group["lr"] = 2e-3
    for _ in range(40):
        last = float(trainer.step("distance", batch)["vertex_mm"])
    assert last < 0.7 * first


@pytest.mark.parametrize("objective", ["vdc", "fwpdc", "wpdc", "vanilla-joint", "vdc-from-fwpdc"])
def test_every_objective_trains(config, objective):
    trainer = Trainer(replace(config, objective=objective, iterations=2))
    before = weights(trainer)
    trainer.run(show=False)
    assert trainer.iteration == 2
    after = weights(trainer)
    assert all(v.isfinite().all() for v in after.values())
    assert not torch.equal(before["params_head.weight"], after["params_head.weight"])


def test_meta_joint_records_its_choices(config):
    trainer = Trainer(replace(config, objective="meta-joint", look_ahead=2, iterations=6))
    trainer.run(show=False)
    assert trainer.iteration == 6
    # Three look-aheads of two meta-train batches and one meta-test batch each.
    assert trainer.batch == 9
    assert len(trainer.losses_won) == 3
    assert set(trainer.losses_won) <= {"fwpdc", "vdc"}
    winners = [r["winner"] for r in log.read(trainer.log.path) if r["kind"] == "train"]
    assert winners == trainer.losses_won


def test_displacement_discriminators_take_part(config):
    c = replace(config, discriminators=DiscriminatorConfig(("identity", "temporal")))
    trainer = Trainer(c)
    assert trainer.maker.clip_rows == 4
    before = weights(trainer)
    terms = trainer.step("distance", trainer.maker(0))
    named = {f"{side}_{name}" for side in "dg" for name in ("identity", "temporal")}
    assert named <= set(terms)
    assert not torch.equal(before["params_head.weight"], weights(trainer)["params_head.weight"])
    with pytest.raises(InputError, match="choose one"):
        Trainer(replace(c, objective="meta-joint"))


def test_resumed_run_equals_an_uninterrupted_one(config, tmp_path):
    config = replace(config, discriminators=DiscriminatorConfig(("temporal",)))
    whole = Trainer(replace(config, out=str(tmp_path / "whole")))
    whole.run(show=False)
    # The same schedule, left after two of four iterations.
    halves = replace(config, out=str(tmp_path / "halves"))
    first = Trainer(halves)
    first.network.train()

    advance, calls = first.advance, []

    def interrupted(stream):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return advance(stream)

    first.advance = interrupted
    first.run(show=False)
    second = Trainer(halves, resume=True)
    assert second.iteration == 2
    second.run(show=False)
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(second)[key], value, msg=key)
    for key, value in whole.average.module.state_dict().items():
        torch.testing.assert_close(second.average.module.state_dict()[key], value, msg=key)


def test_train_exports_what_it_can_start_from(config, tmp_path):
    results = train(config, show=False)
    out = tmp_path / "run"
    assert 0 < results["heldout"]["error"] < 100
    assert (out / "log.png").stat().st_size > 1000
    card = (out / "regressor.md").read_text()
    assert "portraits 1" in card
    assert str(tmp_path) not in card

    session = onnxruntime.InferenceSession(str(out / "regressor.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata == {"face_model": "tiny", "crop_side_mm": "220", "input_size": "120"}
    shapes = [o.shape for o in session.run(None, {"image": np.zeros((3, 3, 120, 120), np.float32)})]
    assert shapes == [(3, 22), (3, 68), (3,)]

    again = Trainer(replace(config, out=str(tmp_path / "again"), init_from=str(out / "regressor.onnx")))
    averaged = load_checkpoint(out / "checkpoint.pt")["average"]
    for key, value in again.network.state_dict().items():
        if not key.startswith("landmarks_head") and "num_batches" not in key:
            torch.testing.assert_close(value, averaged[key], rtol=0, atol=0, msg=key)


def test_weights_of_another_width_are_refused(config, tmp_path):
    trainer = Trainer(config)
    export_onnx.export(trainer.network, tmp_path / "a.onnx", "tiny")
    with pytest.raises(InputError, match="does not fit this network"):
        Trainer(replace(config, width=0.25, init_from=str(tmp_path / "a.onnx")))


def test_unknown_objective_is_answered_with_the_known(config):
    with pytest.raises(InputError, match="vanilla-joint"):
        Trainer(replace(config, objective="vdcc"))


def test_missing_set_is_named(config, tmp_path):
    with pytest.raises(InputError, match=r"must hold images\.npy"):
        Trainer(replace(config, batches=replace(config.batches, sets={str(tmp_path): 1.0})))


def test_not_a_checkpoint(tmp_path):
    (tmp_path / "c.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "c.pt")


def test_schedule():
    assert rate_factor(0.03) == pytest.approx(1)
    assert rate_factor(1) == pytest.approx(0.01)
    assert rate_factor(0.015) == pytest.approx(0.5)
    rates = [rate_factor(x) for x in np.linspace(0.03, 1, 50)]
    assert all(a > b for a, b in pairwise(rates))
    assert [rate_factor(x, "step") for x in (0.5, 0.7, 0.9)] == [1, 0.1, 0.01]
    assert progress_of(50, 9, iterations=100, budget_minutes=10) == 0.9
    assert progress_of(500, 0, iterations=100) == 1
    with pytest.raises(ValueError, match="never end"):
        progress_of(1, 1)


def test_average_follows_its_source():
    source, averaged = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    average = Average(source, averaged, 0.9)
    start = source.weight.detach().clone()
    with torch.no_grad():
        source.weight += 1
    average.update()
    # Early on the decay is (1 + n) / (10 + n).
    torch.testing.assert_close(averaged.weight, start + 1 - 2 / 11)
    average.count = 10**6
    average.update(3)
    torch.testing.assert_close(averaged.weight, start + 1 - 2 / 11 * 0.9**3)


def test_settings_by_text(config):
    changed = with_setting(with_setting(config, "weights.motion=2"), "batches.augment.roll_deg=3")
    assert changed.weights.motion == 2.0
    assert changed.batches.augment.roll_deg == 3.0
    assert math.isclose(config.weights.motion, 0.5)
    assert with_setting(config, "objective=vdc").objective == "vdc"
    with pytest.raises(InputError, match="this part has landmarks, openings"):
        with_setting(config, "weights.motoin=2")
    with pytest.raises(InputError, match="must be of type int"):
        with_setting(config, "threads=many")
