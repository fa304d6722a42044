from dataclasses import replace

import numpy as np
import pytest
import torch

from steadyface.errors import InputError
from steadyface.networks.self_refinement import IrradianceNetwork, TextureNetwork
from steadyface.refine.paper import ObjectiveWeights, PaperConfig, evaluate_objective, refine_paper
from steadyface.refine.paper.optimize import Changes
from steadyface.refine.paper.refine import _Video
from steadyface.refine.paper.sampling import crop_face, sample_texture
from steadyface.refine.paper.window import TextureWindow, face_triangles
from steadyface.refine.unwrap import UVUnwrap

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def refined(film, config):
    """The result of some epochs, and what was reported on the way."""
    config = replace(config, epochs=30, inference_epochs=30)
    said = []
    result = refine_paper(
        film, film.coarse, config, stage=said.append, progress=lambda *steps: said.append(steps)
    )
    return result, said, config


def test_the_objective_falls(film, refined):
    result, said, config = refined
    assert result.improved.sum() >= 4
    assert (result.objective_after < result.objective_before)[result.improved].all()
    assert result.objective_after.mean() < 0.8 * result.objective_before.mean()
    assert len(result.texture_rows) == config.frames
    assert said[0] == "texture"
    assert said[1:31] == [(k + 1, 30) for k in range(30)]
    assert said[31] == "inference"
    assert said[32:] == [(k + 1, 30) for k in range(30)]


def test_the_pose_nears_the_truth(film, refined):
    def off(track):
        model = track.model
        mean = replace(track, identity=film.truth.identity, expression=film.truth.expression)
        points = mean.image_points(model.shape)[:, model.regions["face"], :2]
        truth = film.truth.image_points(model.shape)[:, model.regions["face"], :2]
        return np.linalg.norm(points - truth, axis=-1).mean()

    result = refined[0]
    assert off(film.coarse) > 1
    assert off(result.track) < 0.8 * off(film.coarse)


def test_what_is_reported_is_what_the_result_gives(film, refined):
    result = refined[0]
    texture = result.texture
    values = evaluate_objective(
        *(film, result.track, film.coarse, texture.color, texture.uv, result.vertex_irradiance), size=64
    )
    # Colours of 8 bits, and light read at the vertices instead of at the pixels.
    np.testing.assert_allclose(list(values.values()), result.objective_after, atol=0.01)


def test_the_track_is_whole(film, refined):
    result = refined[0]
    track = result.track
    kept = ~result.improved
    for name in ("rotation", "translation", "expression"):
        before, after = getattr(film.coarse, name), getattr(track, name)
        np.testing.assert_array_equal(after[kept], before[kept])
        assert (after != before)[result.improved].any(1).all()
    assert (track.expression >= 0).all()
    assert (track.expression <= 1).all()
    np.testing.assert_allclose(track.scale, track.focal / track.translation[:, 2])
    assert (track.identity != film.coarse.identity).all()
    assert result.texture.color.shape[2] == 3
    assert result.irradiance.shape == (6, 16, 16, 1)
    assert (result.irradiance >= 0).all()
    assert result.vertex_irradiance(0).shape == (track.model.vertex_count,)


def test_the_same_seed_gives_the_same_result(film, refined, config):
    state = torch.random.get_rng_state()
    one, other = (refine_paper(lambda: iter(film), film.coarse, config) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(one.track.rotation, other.track.rotation)
    np.testing.assert_array_equal(one.texture.color, other.texture.color)
    np.testing.assert_array_equal(one.objective_after, other.objective_after)


def test_steps_that_do_not_help_change_nothing(film, config):
    # So fast that every step overshoots.
    wild = replace(config, learning_rate=3.0, last_learning_rate=3.0)
    result = refine_paper(film, film.coarse, wild)
    assert not result.improved.any()
    for name in ("rotation", "translation", "expression"):
        np.testing.assert_array_equal(getattr(result.track, name), getattr(film.coarse, name))
    np.testing.assert_allclose(result.track.identity, film.coarse.identity, atol=1e-7)
    # Nor does the texture, or the light of the frames that it came from.
    rows = result.texture_rows
    np.testing.assert_allclose(result.objective_after[rows], result.objective_before[rows], atol=1e-6)
    assert (result.irradiance[rows] == 1).all()


def test_chunks_give_the_gradients_of_one_batch(film, config):
    video = _Video.of(film.coarse, config, CPU)
    samples = list(video.samples(film, np.arange(5)))
    batch, (textures, visibility) = video.batch(samples), video.textures(samples)
    rng = torch.Generator().manual_seed(0)
    gradients = []
    start = [0.02 * torch.randn(5, k, generator=rng) for k in (4, 3, 3)]
    for chunk in (1, 2, 5):
        torch.manual_seed(1)
        texture_network, light = TextureNetwork(config.networks), IrradianceNetwork(config.networks)
        for network in (texture_network, light):
            torch.nn.init.normal_(network.network.last.weight, std=0.1)
        changes = Changes(*(x.clone().requires_grad_() for x in start))
        identity = torch.full((6,), 0.1, requires_grad=True)
        refinery = replace(video, config=replace(config, chunk=chunk)).refinery()
        refinery.accumulate(batch, changes, texture_network(textures, visibility), 2 * identity, light)
        free = [*vars(changes).values(), identity, *texture_network.parameters(), *light.parameters()]
        gradients.append([x.grad.clone() for x in free])
        if chunk == 5:
            value = refinery.objective(
                *(batch, changes, texture_network(textures, visibility), 2 * identity, light)
            )
            plain = torch.autograd.grad(value.mean(), free)
    assert all(g.abs().max() > 0 for g in plain[:4])
    for parts in gradients:
        for one, other in zip(parts, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-6)


def test_the_identity_can_be_kept(film, config):
    kept = refine_paper(film, film.coarse, replace(config, identity=False, epochs=8))
    np.testing.assert_allclose(kept.track.identity, film.coarse.identity, atol=1e-7)
    assert kept.improved.any()


def test_squared_norms_let_the_irradiance_follow_the_light(film, config):
    dim = replace(film, images=[(0.8 ** (k % 2) * i).astype(np.uint8) for k, i in enumerate(film.images)])
    spread = []
    for squared in (False, True):
        weights = ObjectiveWeights(squared=squared)
        result = refine_paper(dim, film.coarse, replace(config, epochs=20, weights=weights))
        spread.append(np.abs(result.irradiance[result.texture_rows].astype(float) - 1).mean())
    assert spread[1] > 3 * spread[0]
    assert spread[1] > 0.01


def test_expressions_stay_in_their_bounds(film, config):
    edge = replace(film.coarse, expression=np.tile([0.0, 1.0, 0.5, 0.0], (6, 1)))
    video = _Video.of(edge, config, CPU)
    batch = video.batch(list(video.samples(film, np.arange(2))))
    changes = Changes.none(batch)
    with torch.no_grad():
        changes.expression.add_(torch.tensor([-0.2, 0.3, -0.7, 0.4]))
    changes.keep_bounds(batch)
    expected = torch.tensor([[0.0, 0.0, -0.5, 0.4]]).expand(2, 4)
    torch.testing.assert_close(changes.expression.detach(), expected)


def test_frames_without_a_face_keep_their_values(film, config):
    blind = replace(film.coarse, interpolated=np.arange(6) == 2)
    # In the last frame the head has left the picture.
    gone = blind.translation.copy()
    gone[5, 0] = 900
    blind = replace(blind, translation=gone)
    result = refine_paper(film, blind, config)
    lost = [2, 5]
    assert np.isnan(result.objective_before[lost]).all()
    assert np.isnan(result.objective_after[lost]).all()
    assert np.isfinite(result.objective_after[[0, 1, 3, 4]]).all()
    assert not result.improved[lost].any()
    np.testing.assert_array_equal(result.track.rotation[lost], blind.rotation[lost])
    assert (result.irradiance[lost] == 1).all()


def test_a_crop_sees_what_the_frame_shows(film):
    track = film.truth
    crop = crop_face(track, 1, film.images[1], 80)
    # The same point in both cameras; a picture that is its own coordinates would show the same.
    height, width = film.images[1].shape[:2]
    y, x = np.mgrid[:height, :width]
    coordinates = np.stack([x, y, 0 * x], -1).astype(np.uint8)
    crop = crop_face(track, 1, coordinates, 80)
    point = track.vertices(1)[track.model.regions["face"]].mean(0)
    there = crop.focal * point[:2] / point[2] + crop.center
    here = track.focal * point[:2] / point[2] + track.center
    row, column = np.rint(there[::-1]).astype(int)
    assert crop.inside[row, column]
    pixel = (crop.image[row, column, :2] - here) * crop.focal / track.focal
    np.testing.assert_allclose(pixel, np.rint(there) - there, atol=1.5)
    # Half out of the picture, half of the crop is not the frame's.
    outside = replace(track, translation=track.translation - [150, 0, 0])
    cut = crop_face(outside, 1, coordinates, 80)
    assert 0.2 < cut.inside.mean() < 0.8
    assert not cut.inside[:, 0].any()


def test_samples_show_the_texture(film, face_model):
    unwrap = UVUnwrap(face_model, 64, face_model.uv)
    texture, visibility = sample_texture(unwrap, film.truth, 3, film.images[3])
    seen = visibility > 0.3
    assert seen.sum() > 200
    assert np.abs(texture - film.texture)[seen].mean() < 0.03
    assert not texture[visibility == 0].any()


def test_the_window_holds_the_face(face_model):
    window = TextureWindow.around_face(face_model, 64)
    corners = window.uv[face_model.uv_triangles[face_triangles(face_model)]]
    assert corners.min() > 0
    assert corners.max() < 1
    assert np.ptp(corners.reshape(-1, 2), axis=0).max() > 0.7
    # A texel of the window and the texel of the whole texture that it becomes lie at the same place.
    values = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    whole = window.embed(values, -1)
    i, j = np.argwhere(whole == values[10, 20])[0]
    there = (np.array([j, i]) + 0.5) / window.full
    here = (there * window.full - [window.column, window.row]) / window.size
    np.testing.assert_allclose(here, (np.array([20, 10]) + 0.5) / 64)
    assert (whole == -1).sum() == window.full**2 - 64**2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1; got 0"),
        ({"crop": 8}, "crop must be >= 32"),
        ({"learning_rate": 1e-7}, "learning rates must be > 0 and not rise"),
        ({"irradiance_size": 60}, "must divide texture_size = 64; got 60"),
        ({"irradiance_size": 2}, "multiple of 2\\^irradiance_levels = 4; got 2"),
    ],
)
def test_refuses_settings_that_make_no_sense(config, changes, message):
    with pytest.raises(InputError, match=message):
        replace(config, **changes)


def test_the_defaults_are_the_papers():
    config = PaperConfig()
    assert (config.frames, config.batch, config.epochs) == (128, 128, 1000)
    assert config.rate(0, 1000) == 1e-4
    assert config.rate(999, 1000) == pytest.approx(1e-6)
    assert config.rate(0, 1) == 1e-4
    assert config.weights == ObjectiveWeights(expression=0.1, pose=0.1, irradiance=0.5, squared=False)


def test_refuses_tracks_and_frames_that_do_not_fit(film, config):
    with pytest.raises(InputError, match=r"weak-perspective .* quality='standard' first"):
        refine_paper(film, replace(film.coarse, focal=None), config)
    bare = replace(film.coarse.model, uv=np.zeros((0, 2)), uv_triangles=np.zeros((0, 3), int))
    with pytest.raises(InputError, match="no texture coordinates"):
        refine_paper(film, replace(film.coarse, model=bare), config)
    with pytest.raises(InputError, match=r"size of the track's, \(160, 120\); got \(80, 60\) in row 0"):
        refine_paper([(0, film.images[0][::2, ::2])], film.coarse, config)
    with pytest.raises(InputError, match="4 rows of the track had no frame, the first 0"):
        refine_paper([], film.coarse, config)
    # A generator is spent after the texture phase.
    with pytest.raises(InputError, match="2 rows of the track had no frame"):
        refine_paper(iter(film), film.coarse, replace(config, epochs=1))
    with pytest.raises(InputError, match="torch has no device 'nowhere'"):
        refine_paper(film, film.coarse, config, device="nowhere")
    away = replace(film.coarse, translation=film.coarse.translation + np.array([900, 0, 0]))
    with pytest.raises(InputError, match="none of the 4 selected frames shows the face"):
        refine_paper(film, away, config)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_refines_too(film, refined):
    result, _, config = refined
    there = refine_paper(film, film.coarse, config, device="cuda")
    assert there.objective_after.mean() == pytest.approx(result.objective_after.mean(), abs=0.02)
