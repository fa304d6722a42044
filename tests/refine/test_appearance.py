from dataclasses import replace

import numpy as np
import pytest
from refined_scene import FilmedHead, problem_of, textured_head, truth_of, view_at

from steadyface.refine.appearance import PhotometricWeights, agreeing, judge, learn_texture
from steadyface.refine.irradiance import irradiance
from steadyface.refine.patch import cut
from steadyface.render.rasterize import rasterize

WEIGHTS = PhotometricWeights()


@pytest.fixture(scope="module")
def head(tiny_model):
    return FilmedHead([truth_of(textured_head(tiny_model), 12)])


@pytest.fixture(scope="module")
def problem(head):
    return problem_of(head)


@pytest.fixture(scope="module")
def views(head, problem):
    """The head as its samples see it at the true poses."""
    truth = head.truths[0]
    return [view_at(problem, truth, row, patch_of(head, problem, row)) for row in range(len(truth))]


def patch_of(head, problem, row, image=None):
    around = head.truths[0].image_points(problem.surface.samples.shape, row)[:, :2]
    return cut(head.frames[row] if image is None else image, around, problem.config.height)


@pytest.fixture(scope="module")
def texture(problem):
    return np.random.default_rng(3).uniform(60, 200, problem.config.samples).astype(np.float32)


def lit(view, texture, light):
    """The view as it would be of a texture under a light of the basis."""
    return replace(view, grey=(texture * irradiance(view.basis, light)).astype(np.float32))


def light_and_prior(problem, seed=0):
    light = 0.1 * np.random.default_rng(seed).normal(size=len(problem.surface.basis))
    light[0] += 1
    # Bumps that the prior does not hold.
    return light, np.full(len(light), 1e-2)


def test_a_light_of_the_basis_leaves_no_error(views, problem, texture):
    light, prior = light_and_prior(problem)
    judged = judge(lit(views[3], texture, light), texture, prior, WEIGHTS)
    np.testing.assert_allclose(judged.light, light, atol=0.02)
    assert np.abs(judged.error[judged.weight > 0]).max() < 0.5
    np.testing.assert_allclose(judged.weight, views[3].visible, atol=0.02)
    assert judged.noise == WEIGHTS.noise
    # The prior holds the bumps down, and harmonics alone are found in spite of it.
    light[9:] = 0
    judged = judge(lit(views[3], texture, light), texture, problem.surface.basis.prior, WEIGHTS)
    assert np.abs(judged.error[judged.weight > 0]).max() < 0.5


def test_what_hides_a_part_counts_little_and_does_not_pull_the_light(views, problem, texture):
    light, prior = light_and_prior(problem)
    light[9:] = 0
    whole = lit(views[0], texture, light)
    hidden = problem.surface.samples.shape.mean[:, 1] > 60
    seen = (whole.visible > 0) & ~hidden
    assert 0.1 < (hidden & (whole.visible > 0)).sum() / (whole.visible > 0).sum() < 0.4
    cover = np.random.default_rng(5).uniform(0, 255, len(hidden)).astype(np.float32)
    covered = replace(whole, grey=np.where(hidden, cover, whole.grey))
    prior = problem.surface.basis.prior
    judged = judge(covered, texture, prior, WEIGHTS)
    for _ in range(3):
        judged = judge(covered, texture, prior, WEIGHTS, judged.weight)
    far = hidden & (np.abs(cover - whole.grey) > 30) & (whole.visible > 0)
    assert judged.weight[far].max() < 0.1
    assert (judged.weight[seen] / whole.visible[seen]).mean() > 0.9
    # The light that falls on the rest is that of the uncovered face.
    rest = irradiance(whole.basis[seen], judged.light)
    np.testing.assert_allclose(rest, irradiance(whole.basis[seen], light), atol=0.03)


def test_patches_that_disagree_as_a_whole_count_less(views, problem, texture):
    light, prior = light_and_prior(problem)
    samples, whole = problem.surface.samples, lit(views[0], texture, light)
    middle = int(np.argmax(np.bincount(samples.patch, whole.visible)))
    hidden = samples.patch == middle
    # Off by enough to tell when all of them are, some hardly.
    off = np.where(np.arange(len(hidden)) % 4 == 0, 1.0, 14.0).astype(np.float32)
    covered = replace(whole, grey=whole.grey + hidden * off)
    judged = judge(covered, texture, prior, WEIGHTS)
    judged = judge(covered, texture, prior, WEIGHTS, judged.weight)
    close = hidden & (off < 2) & (whole.visible > 0.5)
    assert close.any()
    assert judged.weight[close].min() > 0.4
    weight = agreeing(judged, samples, WEIGHTS)
    assert weight[close].max() < 0.3 * judged.weight[close].min()
    others = ~hidden & (whole.visible > 0)
    assert (weight[others] / judged.weight[others]).mean() > 0.95


def test_samples_of_unknown_texture_do_not_make_their_patch_disagree(views, problem, texture):
    light, prior = light_and_prior(problem)
    samples, view = problem.surface.samples, lit(views[0], texture, light)
    # Of every patch half was never seen.
    unknown = np.arange(len(samples)) % 2 == 0
    judged = judge(view, np.where(unknown, 0, texture), prior, WEIGHTS)
    weight = agreeing(judged, samples, WEIGHTS)
    assert (weight[unknown] == 0).all()
    known = ~unknown & (view.visible > 0)
    np.testing.assert_allclose(weight[known], view.visible[known], atol=0.05)


def test_a_texture_is_told_from_what_it_is_not(views, head, problem, texture):
    light, prior = light_and_prior(problem)
    samples = problem.surface.samples

    def support(view):
        judged = judge(view, texture, prior, WEIGHTS)
        judged = judge(view, texture, prior, WEIGHTS, judged.weight)
        return problem.photometric_frame(view, judged, texture)[1]

    shown = lit(views[0], texture, light)
    assert support(shown) > 0.95
    rng = np.random.default_rng(8)
    board = rng.uniform(60, 200, len(texture)).astype(np.float32)
    for grey in (board, np.zeros_like(board), np.full_like(board, 255), np.full_like(board, 128)):
        assert support(replace(shown, grey=grey)) == 0
    noisy = shown.grey + rng.normal(0, 15, len(board)).astype(np.float32)
    assert support(replace(shown, grey=noisy)) > 0.3
    assert len(samples) == len(board)


def test_a_texture_is_learned_under_changing_light(views, problem, texture):
    rng = np.random.default_rng(1)
    prior = problem.surface.basis.prior
    lights = [0.15, 0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03] * rng.normal(size=(len(views), 9))
    lights[:, 0] += 1
    shown = [lit(v, texture, np.r_[light, np.zeros(24)]) for v, light in zip(views, lights, strict=True)]
    noisy = [replace(v, grey=v.grey + rng.normal(0, 1, len(v.grey)).astype(np.float32)) for v in shown]
    # A board hides the face in one of them, and a hand a part in another.
    board = rng.uniform(0, 255, len(texture)).astype(np.float32)
    noisy[4] = replace(noisy[4], grey=board)
    hand = problem.surface.samples.shape.mean[:, 1] > 60
    noisy[7] = replace(noisy[7], grey=np.where(hand, 60, noisy[7].grey).astype(np.float32))
    learned, judged = learn_texture(noisy, prior, WEIGHTS)
    known = learned > 0
    seen = sum(v.visible for v in noisy)
    assert known[seen > 2].all()
    assert not known[seen < 0.1].any()
    well = seen > 4
    # What is smooth over the face belongs to light and texture alike; their product does not.
    assert np.corrcoef(learned[well], texture[well])[0, 1] > 0.88
    for i in (0, 5, 11):
        found = learned * irradiance(views[i].basis, judged[i].light)
        assert np.abs(found - shown[i].grey)[well & (views[i].visible > 0.3)].mean() < 1.5
    covered = hand & (noisy[7].visible > 0.5) & (np.abs(shown[7].grey - 60) > 40)
    assert judged[7].weight[covered].mean() < 0.25
    assert len(judged) == len(views)
    strengths = np.array([j.light[0] for i, j in enumerate(judged) if i != 4])
    assert np.corrcoef(strengths, np.delete(lights[:, 0], 4))[0, 1] > 0.9


def test_the_texture_of_a_filmed_head_is_that_of_its_pictures(views, problem):
    learned, judged = learn_texture(views, problem.surface.basis.prior, WEIGHTS)
    for view, j in zip(views, judged, strict=True):
        sure = j.weight > 0.5
        assert sure.sum() > 0.3 * (view.visible > 0).sum()
        shown = learned * irradiance(view.basis, j.light)
        assert np.abs(shown - view.grey)[sure].mean() < 3
        assert np.corrcoef(shown[sure], view.grey[sure])[0, 1] > 0.97


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_plain_pictures_are_learned_without_a_warning(views, problem, grey):
    plain = [replace(v, grey=np.full_like(v.grey, grey)) for v in views[:3]]
    learned, judged = learn_texture(plain, problem.surface.basis.prior, WEIGHTS)
    assert np.isfinite(learned).all()
    assert all(np.isfinite(j.light).all() and np.isfinite(j.error).all() for j in judged)


def test_a_face_that_no_view_shows_has_no_texture(views, problem):
    hidden = [replace(v, visible=np.zeros_like(v.visible)) for v in views[:3]]
    learned, judged = learn_texture(hidden, problem.surface.basis.prior, WEIGHTS)
    assert not learned.any()
    assert all(not j.weight.any() for j in judged)


def test_only_what_faces_the_camera_and_nothing_hides_is_visible(head, problem, views):
    truth, samples = head.truths[0], problem.surface.samples
    for row in (0, 7):
        points = truth.image_points(samples.shape, row)
        corners = truth.image_points(head.model.shape, row)
        # Three times as large, for the truth.
        raster = rasterize((corners * [3, 3, 1]).astype(np.float32), head.model.triangles, (720, 960))
        at = np.rint(points[:, :2] * 3).astype(int)
        behind = points[:, 2] - raster.depth[at[:, 1], at[:, 0]]
        visible = views[row].visible
        assert visible.min() >= 0
        assert visible.max() == 1
        # A pixel at this distance is 1.5 mm.
        assert behind[visible > 0].max() < 10
        assert (visible[behind > 15] == 0).all()
        front = points[:, 2] < np.median(points[:, 2]) - 10
        assert (visible[front] > 0).mean() > 0.9


def test_what_lies_before_a_sample_hides_it(tiny_model):
    """A wall before the left half of the head: nothing of that half is seen, all of the other."""
    model = textured_head(tiny_model)
    shape = model.shape
    wall = np.array([[-90, -120, -60], [0, -120, -60], [0, 160, -60], [-90, 160, -60.0]], np.float32)
    none = np.zeros((1, 4, 3), np.float32)
    walled = replace(
        model,
        shape=replace(
            shape,
            mean=np.concatenate([shape.mean, wall]),
            identity_basis=np.concatenate([shape.identity_basis, none.repeat(6, 0)], 1),
            expression_basis=np.concatenate([shape.expression_basis, none.repeat(4, 0)], 1),
        ),
        triangles=np.concatenate([model.triangles, np.array([[0, 1, 2], [0, 2, 3]]) + len(shape.mean)]),
        regions={k: np.r_[v, np.zeros(4, bool)] for k, v in model.regions.items()},
    )
    visible = []
    for m in (model, walled):
        truth = truth_of(m, 1)
        truth = replace(
            truth, rotation=np.zeros((1, 3)), translation=np.array([[0, 0, 2000.0]]), focal=1200.0
        )
        truth = replace(truth, scale=np.array([0.6]))
        filmed = FilmedHead([truth])
        problem = problem_of(filmed)
        visible.append(
            view_at(
                problem, truth, 0, patch_of(filmed, problem, 0, np.zeros((240, 320, 3), np.uint8))
            ).visible
        )
    x = problem.surface.samples.shape.mean[:, 0]
    assert visible[0][x < -5].mean() > 0.5
    assert visible[1][x < -5].max() == 0
    # But for the outline, whose depth is that of whole pixels.
    assert (np.abs(visible[1] - visible[0])[x > 5] < 1e-5).mean() > 0.97


def test_what_lies_outside_the_picture_is_not_visible(head, problem):
    truth = head.truths[0]
    moved = replace(truth, translation=truth.translation + np.array([220, 0, 0]))
    around = moved.image_points(problem.surface.samples.shape, 0)[:, :2]
    view = view_at(problem, moved, 0, cut(head.frames[0], around, 160))
    assert (view.visible[around[:, 0] > 318] == 0).all()
    assert (view.visible[around[:, 0] < 310] > 0).any()
    away = replace(truth, translation=truth.translation + np.array([900, 0, 0]))
    around = away.image_points(problem.surface.samples.shape, 0)[:, :2]
    assert not view_at(problem, away, 0, cut(head.frames[0], around, 160)).visible.any()
