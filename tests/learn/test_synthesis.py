import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.learn.sample_writer import landmarks_and_openings
from steadyface.learn.synthesis import (
    Scene,
    build_scene,
    random_pose,
    render_synthetic,
    script_of_crop,
)
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import interpolate
from steadyface.rotation import euler_from_matrix, matrix_from_euler
from steadyface.synthesis.backgrounds import BackgroundPool
from steadyface.synthesis.figure import build_figure
from steadyface.synthesis.head import build_head
from steadyface.synthesis.occlude import OCCLUDERS, HeadPlacement
from steadyface.synthesis.picture import crop_pose, picture_points
from steadyface.synthesis.skin_textures import (
    MixedSkins,
    collect_textures,
    mix_texture,
    random_skin_color,
    uv_raster,
)


@pytest.fixture(scope="module")
def head():
    return build_head(load_face_model())


@pytest.fixture(scope="module")
def skins(head):
    """Textures of two drawn heads, a light and a dark one."""
    zeros = np.zeros(head.model.identity_count), np.zeros(head.model.expression_count)
    rotation, scale, translation = crop_pose(np.eye(3))
    points = picture_points(head.points(*zeros), rotation, scale, translation, 160)
    raster = rasterize(points, head.triangles, (160, 160), cull=True)
    images = []
    for tone in ((220, 170, 140), (90, 60, 45)):
        color = np.where(head.eyeball[:, None], 230, np.array(tone)) * np.ones((len(points), 1))
        picture = interpolate(raster, head.triangles, color)
        picture[~raster.mask] = (40, 80, 120)
        images.append(picture.astype(np.uint8))
    labels = {
        "rotation": np.stack([rotation] * 2),
        "scale": np.full(2, scale),
        "translation": np.stack([translation] * 2),
        "identity": np.zeros((2, head.model.identity_count)),
        "expression": np.zeros((2, head.model.expression_count)),
    }
    return collect_textures(head, np.stack(images), labels, [0, 1], np.random.default_rng(0))


@pytest.fixture(scope="module")
def scene(head, skins):
    from types import SimpleNamespace

    rng = np.random.default_rng(0)
    place = SimpleNamespace(
        image=rng.integers(0, 255, (160, 160, 3), dtype=np.uint8),
        points=rng.uniform(50, 110, (478, 2)),
        center=np.full(2, 79.5),
        side=120.0,
    )
    expressions = np.zeros((3, head.model.expression_count))
    return Scene(build_figure(head), MixedSkins(skins), expressions, BackgroundPool([place], rng, 12))


def test_textures_take_their_tone_from_the_photograph(head, skins):
    np.testing.assert_allclose(skins.tone, [[220, 170, 140], [90, 60, 45]], atol=12)
    raster = uv_raster(head.model)
    skin = raster.mask & head.exposed[head.model.triangles[raster.triangle]].all(-1)
    # Completed over the whole head, back included.
    assert np.abs(skins.textures[0][skin].astype(float) - [220, 170, 140]).mean() < 25


def test_mixtures_lie_in_the_tone_of_the_first(skins):
    rng = np.random.default_rng(0)
    for _ in range(10):
        texture, tone = mix_texture(skins, rng)
        middle = np.median(texture[texture.sum(-1) > 60], 0)
        np.testing.assert_allclose(middle, tone, rtol=0.25)


def test_skin_colours_span_the_typology():
    from steadyface.learn.portraits import skin_tone

    rng = np.random.default_rng(0)
    points = np.random.default_rng(1).uniform(2, 8, (478, 2))
    tones = []
    for _ in range(200):
        flat = np.broadcast_to(random_skin_color(rng), (10, 10, 3)).astype(np.uint8)
        tones.append(skin_tone(flat, points, 0.0))
    assert np.percentile(tones, 10) < -30
    assert np.percentile(tones, 90) > 45


def test_a_synthetic_picture_has_its_labels(scene):
    rng = np.random.default_rng(5)
    for _ in range(3):
        picture, labels = render_synthetic(scene, rng)
        assert picture.shape == (160, 160, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 5
        points, _, _ = landmarks_and_openings(scene.head.model, labels)
        assert np.abs(points).max() < 0.75
        assert np.abs(euler_from_matrix(labels.rotation)[1]) <= np.pi / 2 + 1e-6


def test_the_same_seed_gives_the_same_picture(scene):
    a, b = (render_synthetic(scene, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_poses_reach_profile_and_are_mostly_frontal():
    rng = np.random.default_rng(0)
    yaw = np.array([random_pose(rng)[1] for _ in range(500)])
    assert (np.abs(yaw) > 1.05).mean() > 0.12
    assert (np.abs(yaw) < 0.35).mean() > 0.25


def test_the_crop_is_seen_from_afar(head):
    model = head.model
    identity = np.random.default_rng(0).normal(0, 0.5, model.identity_count)
    expression = np.zeros(model.expression_count)
    pose = crop_pose(matrix_from_euler(np.array([0.2, 0.7, 0.0])))
    script = script_of_crop(model, *pose, identity, expression)
    expected = picture_points(model.shape(identity, expression), *pose, 160)
    np.testing.assert_allclose(script.image_points(model.shape, 0)[:, :2], expected[:, :2], atol=0.1)


def _placement(head, yaw=0.0):
    identity, expression = np.zeros(head.model.identity_count), np.zeros(head.model.expression_count)
    pose = crop_pose(matrix_from_euler(np.array([0, yaw, 0])))
    return HeadPlacement.in_picture(*pose, head.model.landmarks("mediapipe478")(identity, expression), 160)


def test_placement_projects_like_the_picture(head):
    placement = _placement(head, 0.5)
    mm = placement.points478
    rotation, scale, translation = crop_pose(matrix_from_euler(np.array([0, 0.5, 0])))
    expected = picture_points(mm.astype(np.float32), rotation, scale, translation, 160)[:, :2]
    np.testing.assert_allclose(placement.project(mm), expected, atol=1e-3)
    assert abs(placement.yaw - 0.5) < 1e-9


@pytest.mark.parametrize("add", [a for a, _ in OCCLUDERS])
@pytest.mark.parametrize("yaw", [-1.5, 0.0, 0.8])
def test_occluders_draw_on_the_picture(head, add, yaw):
    changed = 0
    for seed in range(4):
        image = np.full((160, 160, 3), 128, np.uint8)
        add(image, _placement(head, yaw), np.random.default_rng(seed))
        changed += (image != 128).any(-1).sum()
    # Hair on the side that is turned away is not drawn.
    assert changed > 20 or add.__name__ == "add_hair"


def test_a_missing_cache_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"steadyface\.learn\.portraits"):
        build_scene(tmp_path, np.random.default_rng(0))
