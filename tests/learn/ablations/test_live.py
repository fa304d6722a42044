"""The study of what steadies the live network: one starting point, and variants that differ in one thing."""

from dataclasses import asdict

import numpy as np
import pytest

from steadyface.align.crop import Crop
from steadyface.align.regressor import Regressor
from steadyface.learn.ablations import find_ablation
from steadyface.learn.ablations.live import VARIANTS, config_of, tables, train_variant
from steadyface.learn.ablations.runs import Budget, Results
from steadyface.learn.filming import film_scene, training_cast
from steadyface.learn.sample_writer import FILMED, write_samples

ABLATION = find_ablation("live")


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    cast, folder = training_cast(), tmp_path_factory.mktemp("sets") / "filmed"

    def make(i):
        return film_scene(cast, np.random.default_rng(i), 2)

    write_samples(folder, 2, make, cast.model, FILMED, 1, 4, adjacent=2)
    return folder


def test_variants_differ_in_short_videos_motion_and_discriminators_alone(tmp_path):
    plain, *others = (asdict(config_of(v, 0, tmp_path, ABLATION.budget)) for v in VARIANTS)
    for config in others:
        changed = {k for k in plain if config[k] != plain[k]}
        assert changed <= {"batches", "weights", "discriminators"}
        assert {k for k in plain["weights"] if config["weights"][k] != plain["weights"][k]} <= {"motion"}
        assert {k for k in plain["batches"] if config["batches"][k] != plain["batches"][k]} == {"clip_share"}
    # No two are alike.
    assert len({repr(c) for c in (plain, *others)}) == len(VARIANTS)


@pytest.mark.filterwarnings("ignore")
def test_a_variant_goes_on_from_the_shipped_network(filmed, tmp_path):
    budget = Budget(1, 6, {str(filmed): 1.0})
    variant = ABLATION.variant("svs-all")
    trained = train_variant(variant, 0, tmp_path, budget, False)
    image = np.zeros((120, 120, 3), np.uint8)
    crop = Crop(np.array([60.0, 60.0]), 120.0)
    points, crops = trained.aligner([[image]], [crop])
    shipped = Regressor()(image, [crop])[0]
    # One small step away from where it began, and not at an untrained network's mean face.
    assert np.linalg.norm(crops[0].center - shipped.crop.center) < 0.1 * shipped.crop.side
    assert points.shape == (1, 68, 2)


def test_the_note_names_the_steadiest(tmp_path):
    runs = {v.name: {0: {"clips_jitter": 0.4 + 0.01 * i}} for i, v in enumerate(VARIANTS)}
    runs["motion-2"][0]["clips_jitter"] = 0.2
    made, notes = tables(Results(VARIANTS, runs))
    assert notes[0] == "Least jitter on the clips: Short videos, motion loss 2 (0.200 %)."
    assert [len(t.rows) for t in made] == [len(VARIANTS)] * 2
