from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from steadyface.align.crop import Crop
from steadyface.align.regressor import Regressor
from steadyface.errors import InputError
from steadyface.learn import log
from steadyface.learn.augment import View, view_labels, view_pixels
from steadyface.learn.checkpoint import load_checkpoint
from steadyface.learn.discriminators import NAMES, DiscriminatorConfig
from steadyface.learn.displacement_data import WINDOW, PairConfig, PairMaker, crop_of_view
from steadyface.learn.displacement_train import DisplacementConfig, DisplacementTrainer, train_displacement
from steadyface.learn.displacement_validate import FollowHeldOut
from steadyface.learn.parameters import CROP_SIDE_MM, pose_from_similarity, similarity_from_pose
from steadyface.learn.points import FacePoints
from steadyface.learn.sequences import load_sequences
from steadyface.learn.window import extract, held_inside, next_crops, params_in, points_in, points_out
from steadyface.networks.mobilenet import Regression
from steadyface.rotation import matrix_from_euler


@pytest.fixture(scope="module")
def model(paired_model):
    return paired_model


@pytest.fixture
def config(video_folder, sample_folder, model_file, tmp_path):
    sets = {str(video_folder): 0.5, str(sample_folder): 0.5}
    return DisplacementConfig(
        out=str(tmp_path / "run"),
        batches=PairConfig(sets, size=4, image_size=32, face_model=str(model_file), kept=0.75, seed=1),
        width=0.125,
        iterations=3,
        vertex_count=50,
        threads=1,
        workers=0,
    )


def random_crops(count):
    rng = np.random.default_rng(2)
    crops = [Crop(c, s, r) for c, s, r in zip(
        rng.normal(0, 0.1, (count, 2)), rng.uniform(0.5, 0.9, count), rng.normal(0, 0.4, count), strict=True
    )]  # fmt: skip
    return crops, torch.tensor([[*c.center, c.side, c.roll] for c in crops])


def random_params(count):
    rng = np.random.default_rng(3)
    rotation = matrix_from_euler(rng.normal(0, 0.4, (count, 3)))
    similarity = similarity_from_pose(
        rotation, rng.uniform(0.003, 0.005, count), rng.normal(0, 0.1, (count, 2))
    )
    return np.concatenate([similarity.reshape(count, 12), rng.random((count, 10))], 1)


def test_windows_and_crops_share_one_geometry():
    crops, tensor = random_crops(4)
    points = np.random.default_rng(1).normal(0, 0.3, (4, 9, 2))
    inside = points_in(torch.from_numpy(points), tensor)
    for i, crop in enumerate(crops):
        np.testing.assert_allclose(inside[i], crop.from_image(points[i]), atol=1e-12)
    torch.testing.assert_close(points_out(inside, tensor), torch.from_numpy(points))


def test_parameters_move_into_a_crop_with_their_points(model):
    _, crops = random_crops(5)
    params, points = torch.from_numpy(random_params(5)).float(), FacePoints(model, 20)
    crops = crops.float()
    moved = points.ibug68(params_in(params, crops))[..., :2] / CROP_SIDE_MM
    torch.testing.assert_close(moved, points_in(points.ibug68(params)[..., :2] / CROP_SIDE_MM, crops))
    # A similarity stays one.
    block = params_in(params, crops)[:, :12].unflatten(1, (3, 4))[..., :3]
    gram = block @ block.mT
    torch.testing.assert_close(gram, gram[:, :1, :1] * torch.eye(3), rtol=1e-4, atol=1e-9)


def test_the_next_crop_is_the_standard_crop_of_the_estimate():
    crops, tensor = random_crops(6)
    params = random_params(6)
    found = next_crops(torch.from_numpy(params), tensor)
    rotation, scale, translation = pose_from_similarity(params[:, :12].reshape(-1, 3, 4))
    for i, crop in enumerate(crops):
        own = Crop.from_pose(rotation[i], scale[i], translation[i])
        np.testing.assert_allclose(found[i, :2], crop.to_image(own.center), atol=1e-9)
        np.testing.assert_allclose(found[i, 2:], [crop.side * own.side, crop.roll + own.roll], atol=1e-9)


def test_extracted_pixels_are_where_the_geometry_says():
    n, size = 96, 32
    y, x = np.mgrid[:n, :n]
    picture = np.stack([x, y, np.zeros_like(x)], -1).astype(np.float32)
    _, tensor = random_crops(3)
    tensor = held_inside(tensor.float(), 0.6, 0.05, 1.1)
    seen = extract(torch.from_numpy(picture).permute(2, 0, 1).expand(3, -1, -1, -1), tensor, size)
    j, i = 20, 13
    u = torch.tensor([(j + 0.5) / size - 0.5, (i + 0.5) / size - 0.5])
    at = (points_out(u.expand(3, 1, 2), tensor)[:, 0] + 0.5) * n - 0.5
    torch.testing.assert_close(seen[:, :2, i, j], at, rtol=0, atol=1e-3)


def test_a_wild_estimate_is_kept_inside_the_window():
    wild = torch.tensor([[5.0, -5, 9, 1], [0.01, 0.02, 0.6, 0.1], [0, 0, 0.001, 0]])
    kept = held_inside(wild, 0.66)
    assert kept[:, :2].abs().max() <= 0.25
    assert ((kept[:, 2] > 0.4) & (kept[:, 2] < 1)).all()
    torch.testing.assert_close(kept[1], wild[1])


def test_a_jittered_crop_shows_what_its_view_does(model, flip_index):
    view = View(False, 1.1, 0.3, np.array([0.03, -0.05]))
    params = random_params(1)
    expected, _ = view_labels(params, np.zeros((1, 478, 2)), [view], model, flip_index)
    window, _ = view_labels(
        params, np.zeros((1, 478, 2)), [View(False, 1 / WINDOW, 0.0, np.zeros(2))], model, flip_index
    )
    crop = torch.from_numpy(crop_of_view(view))[None].double()
    np.testing.assert_allclose(params_in(torch.from_numpy(window), crop).numpy(), expected, atol=1e-7)
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    picture = np.kron(picture, np.ones((8, 8, 1), np.uint8))
    whole = view_pixels(picture, View(False, 1 / WINDOW, 0.0, np.zeros(2)), 180)
    seen = extract(torch.from_numpy(whole).permute(2, 0, 1)[None].float(), crop.float(), 120)[0]
    difference = seen.permute(1, 2, 0).numpy() - view_pixels(picture, view, 120)
    # The pixels go through one more picture in between.
    assert np.abs(difference[20:-20, 20:-20]).mean() < 6


def test_pairs_keep_their_labels_through_mirrors_and_moves(config, model):
    config = replace(config.batches, negatives=0.0, size=16)
    maker = PairMaker(config, model)
    batch = {k: torch.from_numpy(v) for k, v in maker(0).items()}
    assert batch["window"].shape == (16, 2, 48, 48, 3)
    points = FacePoints(model, 20)
    predicted = points(batch["params"].flatten(0, 1))
    for key, name in (("landmarks478", "mediapipe478"), ("landmarks68", "ibug68")):
        given = batch[key].flatten(0, 1)
        known = given.isfinite().all(-1).all(-1)
        assert 0 < known.sum() < 32
        expected = predicted[name][..., :2] / CROP_SIDE_MM
        torch.testing.assert_close(given[known], expected[known], rtol=0, atol=1e-4)
    # The first crop strays a little from the middle of the window.
    middle = batch["crop"] - torch.tensor([0, 0, 1 / WINDOW, 0])
    assert 0 < middle[:, :3].abs().max() < 0.5


def test_the_second_frame_is_cropped_by_the_first_one_s_estimate(config, model):
    trainer = DisplacementTrainer(config, model=model)
    trainer.network.eval()
    batch = {k: torch.from_numpy(v) for k, v in trainer.maker(0).items()}
    batch["is_face"][:] = 1
    batch["is_face"][0] = 0
    with torch.no_grad():
        (before, now), (first, second) = trainer.see(batch)
    size = config.batches.image_size
    expected = held_inside(next_crops(before.params, first), 1 / WINDOW)
    torch.testing.assert_close(second[1:], expected[1:])
    # Nothing is followed where there is no face.
    torch.testing.assert_close(second[0], first[0])
    window = batch["window"][:, 1].permute(0, 3, 1, 2).float()
    with torch.no_grad():
        torch.testing.assert_close(now.params, trainer.network(extract(window, second, size)).params)


def test_true_motion_is_what_the_temporal_discriminator_is_shown(config, model):
    trainer = DisplacementTrainer(config, model=model)
    batch = {k: torch.from_numpy(v) for k, v in trainer.maker(0).items()}
    seen, crops = trainer.see(batch)
    labels = trainer.truth(batch, crops)
    regression = type(seen[0])(labels["params"], labels["params"], None, seen[0].log_sigma, None)
    face = batch["is_face"] > 0
    found = trainer.displacements(regression, labels, crops)
    torch.testing.assert_close(found["temporal"].fake, found["temporal"].real, rtol=0, atol=1e-4)
    # In sides of the previous frame's crop, whatever the current one's is.
    truth = FacePoints(model, 20).ibug68(batch["params"].flatten(0, 1))[..., :2] / CROP_SIDE_MM
    moved = (truth[1::2] - truth[::2])[face]
    side = crops[0][face][:, 2]
    lengths = (moved / side[:, None, None]).norm(dim=-1)
    torch.testing.assert_close(
        found["temporal"].fake.unflatten(1, (68, 2)).norm(dim=-1), lengths, rtol=1e-3, atol=1e-5
    )
    assert set(found) == set(NAMES)


@pytest.mark.parametrize("supervision", ["full", "landmarks"])
def test_training_lowers_the_error(config, supervision, model):
    trainer = DisplacementTrainer(replace(config, supervision=supervision), model=model)
    batch = trainer.maker(0)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 2e-3
    terms = [trainer.step(batch) for _ in range(25)]
    assert float(terms[-1]["land"]) < 0.75 * float(terms[0]["land"])
    assert {f"d_{n}" for n in NAMES} <= set(terms[0])


def test_discriminators_and_network_take_turns(config, model):
    def after_a_step(on, weight):
        c = replace(config, discriminators=DiscriminatorConfig(on, weight))
        trainer = DisplacementTrainer(c, model=model)
        # At its start the last layer is zero, and no gradient passes it.
        for layer in (trainer.network.shape_head[-1], trainer.network.camera_head[-1]):
            torch.nn.init.normal_(layer.weight, std=0.01)
        before = [p.clone() for p in trainer.discriminators.parameters()]
        trainer.step(trainer.maker(0))
        moved = [
            not torch.equal(a, b) for a, b in zip(before, trainer.discriminators.parameters(), strict=True)
        ]
        return trainer.network.features[0].weight.grad, moved

    plain, _ = after_a_step((), 0.1)
    torch.manual_seed(0)
    taught, moved = after_a_step(NAMES, 0.1)
    assert moved
    assert all(moved)
    assert (taught - plain).abs().max() > 1e-3 * plain.abs().max()


def test_resumed_run_equals_an_uninterrupted_one(config, model, tmp_path):
    whole = DisplacementTrainer(replace(config, out=str(tmp_path / "whole")), model=model)
    whole.run(show=False)
    halves = replace(config, out=str(tmp_path / "halves"))
    first = DisplacementTrainer(halves, model=model)
    advance = first.advance

    def interrupted(stream):
        if first.iteration == 2:
            raise KeyboardInterrupt
        return advance(stream)

    first.advance = interrupted
    first.run(show=False)
    second = DisplacementTrainer(halves, resume=True, model=model)
    assert second.iteration == 2
    second.run(show=False)
    for mine, theirs in (
        (second.network, whole.network),
        (second.average.module, whole.average.module),
        (second.discriminators, whole.discriminators),
    ):
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[key], value, msg=key)


def test_train_exports_what_the_tracker_runs_and_training_goes_on_from(config, video_folder, model):
    c = replace(config, heldout={"videos": str(video_folder)})
    results = train_displacement(c, show=False)
    assert set(results["videos"]) == {"error", "jitter"}
    records = [r for r in log.read(f"{c.out}/log.jsonl") if r["kind"] == "train"]
    assert all(0 <= r["waiting"] <= 1 for r in records)
    assert records[-1]["images_per_s"] > 0
    path = f"{c.out}/displacement.onnx"
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert metadata == {"face_model": "tiny", "crop_side_mm": "220", "input_size": "32"}
    regressor = Regressor(model, path)
    assert regressor.size == 32
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    found = regressor(image, [Crop(np.array([150.0, 100.0]), 120.0)])[0]
    assert np.isfinite(found.project(model.landmarks("ibug68"))).all()
    card = Path(f"{c.out}/displacement.md").read_text()
    assert "parameters as in the paper" in card
    assert str(video_folder.parent) not in card

    averaged = load_checkpoint(f"{c.out}/checkpoint.pt")["average"]
    for start, atol in ((f"{c.out}/checkpoint.pt", 0), (path, 1e-3)):
        again = DisplacementTrainer(replace(c, out=c.out + "2", init_from=start), model=model)
        for key, value in again.network.state_dict().items():
            if "num_batches" not in key:
                torch.testing.assert_close(value, averaged[key], rtol=1e-3, atol=atol, msg=key)
    with pytest.raises(InputError, match="does not fit this network"):
        DisplacementTrainer(
            replace(c, out=c.out + "3", width=0.25, init_from=f"{c.out}/checkpoint.pt"), model=model
        )


def test_a_perfect_network_follows_without_error(video_folder, model):
    videos = load_sequences(video_folder)
    followed = FollowHeldOut(video_folder, model, 32, kept=0.5)
    step = [0]

    class Perfect(torch.nn.Module):
        def forward(self, image):
            rows = [v * videos.frames + step[0] for v in followed.chosen]
            step[0] += 1
            params = torch.from_numpy(
                np.stack([videos.params_in(i, c) for i, c in zip(rows, crops(), strict=True)])
            )
            zeros = torch.zeros(len(image), 68)
            return Regression(params, params, None, zeros, zeros[:, 0])

    def crops():
        # Perfect answers put every next crop at the standard one of the frame before.
        before = max(step[0] - 2, 0)
        return [videos.crops[v * videos.frames + before] for v in followed.chosen]

    figures = followed(Perfect())
    assert figures["error"] < 0.1
    assert abs(figures["jitter"]) < 0.1


def test_sets_without_videos_to_train_on_are_refused(config, model):
    with pytest.raises(InputError, match="no video of two frames or more"):
        PairMaker(replace(config.batches, kept=0.1), model)
