import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from steadyface.errors import InputError, OutputError
from steadyface.learn import export_onnx, log
from steadyface.learn.augment import AugmentConfig, View
from steadyface.learn.batches import BatchStream
from steadyface.learn.checkpoint import load_checkpoint
from steadyface.learn.flow_batches import FlowBatchConfig, FlowBatchMaker, read_perspectives, view_points
from steadyface.learn.flow_export import export_flow
from steadyface.learn.flow_loss import alignment_loss, gaussian_nll, iteration_weights
from steadyface.learn.flow_points import FlowPoints
from steadyface.learn.flow_train import FlowTrainConfig, FlowTrainer, train_flow
from steadyface.learn.guess import GuessConfig, draw_guesses
from steadyface.learn.parameters import join, mirror, similarity_from_pose, split
from steadyface.learn.settings import with_setting
from steadyface.networks.dense_regressor import DenseRegressorConfig
from steadyface.networks.flow_update import UpdateConfig
from steadyface.networks.mobilenet import FaceRegressor
from steadyface.networks.uv_flow import DensePrediction, UVFlow, UVFlowConfig
from steadyface.rotation import matrix_from_euler

NETWORK = UVFlowConfig(
    encoder="mobile-0.5",
    image_size=64,
    uv_size=8,
    channels=16,
    textures=4,
    levels=2,
    radius=2,
    iterations=2,
    update=UpdateConfig(
        hidden=16, context=16, correlation=(16, 16), flow=(8, 8), motion=16, head=16, separable=False
    ),
)


@pytest.fixture
def batches(sample_folder, model_file):
    return FlowBatchConfig({str(sample_folder): 1.0}, size=4, image_size=64, face_model=str(model_file))


@pytest.fixture
def config(batches, sample_folder, tmp_path):
    return FlowTrainConfig(
        out=str(tmp_path / "run"),
        batches=batches,
        network=NETWORK,
        iterations=4,
        threads=1,
        workers=0,
        heldout={"heldout": str(sample_folder)},
    )


def weights(trainer):
    return {k: v.clone() for k, v in trainer.network.state_dict().items()}


def test_likelihood_by_hand():
    # Distance 5, sigma 2: log 4 + 25 / 8.
    nll = gaussian_nll(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0]), torch.zeros(1, 2))
    torch.testing.assert_close(nll, torch.tensor([np.log(4) + 25 / 8], dtype=torch.float32))
    assert iteration_weights(3).tolist() == pytest.approx([0.64, 0.8, 1])


def test_likelihood_is_best_at_the_true_deviation():
    generator = torch.Generator().manual_seed(0)
    truth = 3 * torch.randn(20000, 2, generator=generator)
    at = {s: float(gaussian_nll(torch.zeros(2), torch.tensor(s), truth).mean()) for s in (2.0, 3.0, 4.0)}
    assert at[3.0] < at[2.0]
    assert at[3.0] < at[4.0]


def test_loss_sums_iterations_and_weighs_vertices():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2, 5, 2, generator=generator)
    position = torch.randn(2, 3, 5, 2, generator=generator, requires_grad=True)
    sigma = torch.rand(2, 3, 5, generator=generator) + 0.5
    weight = torch.tensor([0.0, 2, 1, 1, 1])
    prediction = DensePrediction(position, sigma, torch.zeros(2, 0, 5, 2))
    total, terms = alignment_loss(prediction, truth, weight)
    expected = 0.0
    for k, w in enumerate((0.64, 0.8, 1)):
        expected += w * (gaussian_nll(position[:, k], sigma[:, k], truth) * weight).mean()
    torch.testing.assert_close(total, expected)
    assert float(terms["vertex_px"]) == pytest.approx(
        float(((position[:, -1] - truth).norm(dim=-1) * weight).mean().detach())
    )
    total.backward()
    assert (position.grad[:, :, 0] == 0).all()
    assert (position.grad[:, :, 1] != 0).all()

    # Guesses, where there are any, are pulled to the truth too.
    guesses = truth[:, None] + 1.0
    more, terms = alignment_loss(prediction._replace(guesses=guesses), truth, weight)
    # Smooth L1 at distance 1 is 1/2 in each of two axes, weighed by a tenth.
    torch.testing.assert_close(more, total + 0.1 * 1.0)
    assert "guess" in terms


def pose(model, count, seed=0):
    rng = np.random.default_rng(seed)
    rotation = matrix_from_euler(rng.normal(0, 0.4, (count, 3)))
    scale, translation = np.full(count, 1 / 220), rng.normal(0, 0.05, (count, 2))
    identity = rng.standard_normal((count, model.identity_count))
    expression = rng.random((count, model.expression_count))
    return rotation, scale, translation, identity, expression


def test_vertices_follow_from_labels(mirror_model):
    rotation, scale, translation, identity, expression = pose(mirror_model, 3)
    params = join(similarity_from_pose(rotation, scale, translation), identity, expression)
    points = FlowPoints(mirror_model, np.arange(mirror_model.vertex_count), 100)(torch.tensor(params).float())
    shape = mirror_model.shape(identity, expression)
    for i in range(3):
        unit = scale[i] * (shape[i] @ rotation[i].T)[:, :2] + translation[i]
        np.testing.assert_allclose(points[i], 100 * (unit + 0.5) - 0.5, atol=1e-3)


def test_perspective_is_a_pinhole_camera(mirror_model):
    """A camera of focal length f px, the picture a square cut from its image."""
    rotation, _, _, identity, expression = pose(mirror_model, 1, 4)
    head = np.array([40.0, -25.0, 600.0])
    focal, center, corner, side = 900.0, np.array([320.0, 240.0]), np.array([250.0, 80.0]), 310.0
    shape = mirror_model.shape(identity, expression)[0] @ rotation[0].T + head
    image = focal * shape[:, :2] / shape[:, 2:] + center
    # Crop units: the square's middle is 0, its side 1; the picture has 128 pixels.
    expected = 128 * (image - corner) / side - 0.5
    scale = focal / head[2] / side
    principal = (center - corner) / side - 0.5
    translation = (focal * head[:2] / head[2] + center - corner) / side - 0.5
    params = join(similarity_from_pose(rotation, [scale], translation[None]), identity, expression)
    points = FlowPoints(mirror_model, np.arange(mirror_model.vertex_count), 128)(
        torch.tensor(params).float(),
        torch.tensor([1 / head[2]]).float(),
        torch.tensor(principal[None]).float(),
    )
    np.testing.assert_allclose(points[0], expected, atol=0.02)


def test_mirrored_label_is_the_mirrored_picture(mirror_model):
    rotation, scale, translation, identity, expression = pose(mirror_model, 2)
    params = join(similarity_from_pose(rotation, scale, translation), identity, expression)
    points = FlowPoints(mirror_model, np.arange(mirror_model.vertex_count), 100)
    principal, inverse = torch.tensor([[0.1, -0.2]] * 2), torch.full((2,), 1 / 700)
    plain = points(torch.tensor(params).float(), inverse, principal)
    view = View(True, 1.0, 0.0, np.zeros(2))
    flipped = points(
        torch.tensor(mirror(params, mirror_model)).float(),
        inverse,
        torch.from_numpy(view_points(principal.numpy(), [view] * 2)),
    )
    expected = plain[:, mirror_model.mirror]
    expected[..., 0] = 99 - expected[..., 0]
    torch.testing.assert_close(flipped, expected, rtol=0, atol=0.01)


def test_batch_is_a_function_of_its_number(batches):
    maker = FlowBatchMaker(batches)
    first, again = maker(3), FlowBatchMaker(batches)(3)
    assert first["image"].shape == (4, 64, 64, 3)
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert not np.array_equal(first["image"], maker(4)["image"])


def test_labels_follow_the_pixels(batches, mirror_model):
    """The fixture paints its landmarks white: there the picture is brightest, whatever the view."""
    calm = AugmentConfig(grey=0, occlude=0, shade=0, blur=0, noise=0, compress=0)
    maker = FlowBatchMaker(replace(batches, augment=calm, background=0.0, size=8, image_size=160))
    # The fixture's landmarks are vertices: those that lie in front.
    triangle = mirror_model.embeddings["mediapipe478"]
    corner = triangle.barycentric.argmax(1)
    vertices = np.unique(mirror_model.triangles[triangle.triangle, corner])
    points = FlowPoints(mirror_model, vertices, 160)
    for number in range(3):
        batch = maker(number)
        place = points(torch.from_numpy(batch["params"])).round().long().numpy()
        for picture, p in zip(batch["image"].astype(int).sum(-1), place, strict=True):
            inside = ((p > 2) & (p < 157)).all(-1)
            here = np.array([picture[y - 1 : y + 2, x - 1 : x + 2].max() for x, y in p[inside]])
            elsewhere = np.median(picture)
            assert (here > elsewhere + 60).mean() > 0.9


def test_background_is_exchanged_around_the_head_only(batches):
    calm = AugmentConfig(grey=0, occlude=0, shade=0, blur=0, noise=0, compress=0)
    maker = FlowBatchMaker(replace(batches, augment=calm))
    rng = np.random.default_rng(0)
    picture = np.full((64, 64, 3), 90, np.uint8)
    changed = maker._elsewhere(picture, maker.mix.params[0], rng)
    assert np.abs(changed[24:40, 24:40].astype(int) - 90).max() <= 1
    assert np.abs(changed[:6].astype(int) - 90).mean() > 5


def test_perspective_labels_are_read_and_checked(sample_folder, tmp_path):
    inverse, principal = read_perspectives([str(sample_folder)])
    assert (inverse == 0).all()
    assert principal.shape == (40, 2)
    with np.load(sample_folder / "labels.npz") as z:
        labels = dict(z)
    other = tmp_path / "films"
    other.mkdir()
    np.save(other / "images.npy", np.load(sample_folder / "images.npy"))
    np.savez(other / "labels.npz", **labels, inverse_distance=np.full(40, 0.002))
    with pytest.raises(InputError, match="inverse_distance and principal, or neither"):
        read_perspectives([str(other)])
    np.savez(
        other / "labels.npz", **labels, inverse_distance=np.full(40, 0.002), principal=np.full((40, 2), 0.1)
    )
    inverse, principal = read_perspectives([str(sample_folder), str(other)])
    assert inverse[[0, 40]].tolist() == pytest.approx([0, 0.002])
    np.savez(other / "labels.npz", **labels, inverse_distance=np.full(40, 0.002), principal=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"principal \(N, 2\)"):
        read_perspectives([str(other)])


def test_streamed_batches_are_the_makers(batches):
    with BatchStream(batches, 5, workers=1, ahead=2, kind=FlowBatchMaker) as stream:
        streamed = next(stream)
    for key, value in FlowBatchMaker(batches)(5).items():
        np.testing.assert_array_equal(streamed[key], value)


@pytest.mark.parametrize(
    "network",
    [
        replace(NETWORK, start="match"),
        replace(NETWORK, start="guess", patch=4),
        DenseRegressorConfig("resnet-18-narrow", 64),
    ],
)
def test_training_lowers_the_error(config, network):
    trainer = FlowTrainer(replace(config, network=network, learning_rate=2e-3))
    batch = trainer.maker(0)
    trainer.network.train()
    first = float(trainer.step(batch)["vertex_mm"])
    for group in trainer.optimizer.param_groups:
        group["lr"] = 2e-3
    for _ in range(60):
        last = float(trainer.step(batch)["vertex_mm"])
    assert last < 0.6 * first


def test_training_starts_at_the_mean_face(config):
    trainer = FlowTrainer(config)
    labels = [torch.from_numpy(a) for a in trainer.maker.draw_labels(500, config.seed)]
    mean = trainer.points(*labels).mean(0)
    flat = FlowTrainer(replace(config, from_mean=False))
    place = trainer.network.at_vertices(trainer.network.start + trainer.network.identity.permute(0, 3, 1, 2))
    # Eight texels hold the little model's mean face to a few pixels of 64.
    assert float((trainer.network._pixels(place)[0] - mean).norm(dim=-1).median()) < 3
    assert (flat.network.start == 0).all()


def test_resumed_run_equals_an_uninterrupted_one(config, tmp_path):
    whole = FlowTrainer(replace(config, out=str(tmp_path / "whole")))
    whole.run(show=False)
    halves = replace(config, out=str(tmp_path / "halves"))
    first = FlowTrainer(halves)
    advance, calls = first.advance, []

    def interrupted(stream):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return advance(stream)

    first.advance = interrupted
    first.run(show=False)
    second = FlowTrainer(halves, resume=True)
    assert second.iteration == 2
    second.run(show=False)
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(second)[key], value, msg=key)
    for key, value in whole.average.module.state_dict().items():
        torch.testing.assert_close(second.average.module.state_dict()[key], value, msg=key)


def test_train_exports_what_onnxruntime_runs(config, tmp_path):
    results = train_flow(config, show=False)["heldout"]
    assert results["error_2"] == pytest.approx(results["error"])
    assert results["deviation"] > 0
    out = tmp_path / "run"
    assert (out / "log.png").stat().st_size > 1000
    assert {r["kind"] for r in log.read(out / "log.jsonl")} == {"train", "heldout"}
    session = onnxruntime.InferenceSession(str(out / "flow.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    vertices = json.loads(metadata["vertices"])
    position, sigma = session.run(None, {"image": np.zeros((3, 3, 64, 64), np.float32)})
    assert np.asarray(position).shape == (3, len(vertices), 2)
    assert np.asarray(sigma).shape == (3, len(vertices))

    again = FlowTrainer(replace(config, out=str(tmp_path / "again"), init_from=str(out / "checkpoint.pt")))
    averaged = load_checkpoint(out / "checkpoint.pt")["average"]
    for key, value in weights(again).items():
        torch.testing.assert_close(value, averaged[key], rtol=0, atol=0, msg=key)


def test_matching_flow_is_exported(tmp_path):
    network = UVFlow(replace(NETWORK, start="match"), torch.rand(20, 2))
    export_flow(network, tmp_path / "match.onnx", "tiny", np.arange(20))
    assert (tmp_path / "match.onnx").stat().st_size > 1000


def test_export_takes_iterations_and_checks_itself(tmp_path):
    network = UVFlow(NETWORK, torch.rand(20, 2))
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 64)).astype(np.float32)
    for count in (1, 3):
        path = tmp_path / f"{count}.onnx"
        export_flow(network, path, "tiny", np.arange(20), count)
        position = onnxruntime.InferenceSession(str(path)).run(["position"], {"image": pictures})[0]
        with torch.no_grad():
            expected = network.eval()(torch.from_numpy(pictures), iterations=count).position[:, -1]
        # Half precision has eleven bits: a few hundredths of a pixel of 64.
        np.testing.assert_allclose(position, expected, atol=0.05)
    guided = UVFlow(replace(NETWORK, start="guess", patch=4), torch.rand(20, 2))
    export_flow(guided, tmp_path / "guided.onnx", "tiny", np.arange(20))
    guess = np.random.default_rng(1).uniform(0, 64, (2, 20, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "guided.onnx"))
    position = session.run(["position"], {"image": pictures, "guess": guess})[0]
    with torch.no_grad():
        expected = guided.eval()(torch.from_numpy(pictures), torch.from_numpy(guess)).position[:, -1]
    np.testing.assert_allclose(position, expected, atol=0.05)
    assert (tmp_path / "guided.onnx").stat().st_size < 2.6 * sum(p.numel() for p in guided.parameters())
    with pytest.raises(OutputError, match="differs from the trained one"):
        export_flow(network, tmp_path / "never.onnx", "tiny", np.arange(20), tolerance=0.0)
    assert not (tmp_path / "never.onnx").exists()


def test_mobilenet_starts_from_a_face_regressor(config, tmp_path):
    regressor = FaceRegressor(np.zeros(22), np.ones(22), np.zeros((68, 2)), 0.5, 120)
    export_onnx.export(regressor, tmp_path / "a.onnx", "tiny")
    trainer = FlowTrainer(replace(config, init_from=str(tmp_path / "a.onnx")))
    ours = trainer.network.encoder.backbone
    torch.testing.assert_close(ours.blocks[3][1][0].weight, regressor.backbone.blocks[3][1][0].weight)
    narrow = FaceRegressor(np.zeros(22), np.ones(22), np.zeros((68, 2)), 0.25, 120)
    export_onnx.export(narrow, tmp_path / "b.onnx", "tiny")
    with pytest.raises(InputError, match="width differs"):
        FlowTrainer(replace(config, init_from=str(tmp_path / "b.onnx")))
    direct = DenseRegressorConfig("resnet-18-narrow", 64)
    with pytest.raises(InputError, match="only a MobileNet"):
        FlowTrainer(replace(config, network=direct, init_from=str(tmp_path / "a.onnx")))


def test_guesses_stray_as_far_as_told(mirror_model):
    rotation, scale, translation, identity, expression = pose(mirror_model, 2000)
    params = join(similarity_from_pose(rotation, scale, translation), identity, expression)
    exact = GuessConfig(rotation_deg=0, scale=0, shift=0, identity=0, expression=0, damping=1.1, wild=0)
    same = draw_guesses(params, mirror_model, np.random.default_rng(0), exact)
    np.testing.assert_allclose(same[:, :12], params[:, :12], atol=1e-6)
    count = mirror_model.identity_count
    drawn = same[:, 12 : 12 + count] / identity
    # Every guess has its own share of the identity.
    np.testing.assert_allclose(drawn, np.broadcast_to(drawn[:, :1], drawn.shape), rtol=1e-3, atol=1e-4)
    assert 0.45 < drawn.mean() < 0.55

    config = GuessConfig(wild=0)
    guesses = draw_guesses(params, mirror_model, np.random.default_rng(0), config)
    similarity, _, acted = split(guesses, count)
    assert np.std(similarity[:, :2, 3] - translation) == pytest.approx(config.shift, rel=0.05)
    zoom = np.linalg.norm(similarity[:, 0, :3], axis=-1) / scale
    assert np.log(zoom).std() == pytest.approx(config.scale, rel=0.05)
    turn = similarity[..., :3] / (zoom * scale)[:, None, None] @ rotation.transpose(0, 2, 1)
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.sqrt((angle**2).mean()) == pytest.approx(np.sqrt(3) * np.radians(config.rotation_deg), rel=0.05)
    assert acted.min() >= 0
    assert acted.max() <= 1
    wild = draw_guesses(params, mirror_model, np.random.default_rng(0), replace(config, wild=1))
    assert np.std(wild[:, [3, 7]] - translation) == pytest.approx(3 * config.shift, rel=0.05)


def test_sizes_must_agree(config):
    with pytest.raises(InputError, match="takes pictures of 64 px, the batches have 128"):
        FlowTrainer(with_setting(config, "batches.image_size=128"))
