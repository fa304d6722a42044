"""What a look is made of: skins, eyes, hair, beards, clothes, glasses."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.synthesis.actor import Actor
from steadyface.synthesis.beard import KINDS as BEARDS
from steadyface.synthesis.beard import Beard, beard_weight
from steadyface.synthesis.eyes import Eyes, iris_radius, paint_eye
from steadyface.synthesis.glasses import Glasses
from steadyface.synthesis.hair import (
    KINDS,
    HairStyle,
    Skull,
    grow,
    grow_bangs,
    hair_height,
    hairline_distance,
)
from steadyface.synthesis.look import Look
from steadyface.synthesis.picture import PICTURE_SIZE
from steadyface.synthesis.skins import PortraitSkins
from steadyface.synthesis.sprites import cup, hand, microphone


@pytest.fixture
def head(scene):
    return scene.figure.head


def test_an_eye_is_dark_in_the_middle_and_white_outside(head):
    eyes = Eyes.random(np.random.default_rng(3))
    radius = iris_radius(head.model, eyes)
    middle, ring, white = paint_eye(eyes, np.array([[0, 0], [0.7 * radius, 0], [1.6 * radius, 0]]), radius)
    assert middle.mean() < 25
    assert middle.mean() < ring.mean() < white.mean()
    np.testing.assert_allclose(paint_eye(eyes, np.array([[0, 30.0]]), radius)[0], eyes.white, rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_hair_grows_inside_its_bounds_and_stays_outside_the_skull(head, kind):
    style = HairStyle.random(np.random.default_rng(2), kind=kind)
    strands = grow(style, head, head.rest, 0.3)
    if kind == "bald":
        assert strands is None
        return
    assert strands is not None
    roots = strands.points[:, 0]
    assert (hairline_distance(style, roots) > -12).all()
    # The eyes, the nose and the mouth stay free.
    assert not (
        (np.abs(strands.points[..., 0]) < 40) & (strands.points[..., 1] > 25) & (strands.points[..., 2] < 0)
    ).any()
    skull = Skull(head.rest, head.scalp)
    upper = strands.points[:, 2:][strands.points[:, 2:, 1] < -20]
    assert (skull.level(upper) > 0.9).mean() > 0.98
    assert np.abs(np.linalg.norm(strands.normal, axis=-1) - 1).max() < 1e-4
    length = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1).sum(1)
    assert np.median(length) < 2.5 * style.length


def test_hair_lifts_the_scalp_alone(head):
    style = HairStyle.random(np.random.default_rng(2), kind="short")
    height = hair_height(style, head.rest)
    assert height.min() == 0
    assert 3 < height.max() < 60
    assert height[head.rest[:, 2] < -18].max() == 0


def test_bangs_hang_before_the_face(head):
    style = HairStyle.random(np.random.default_rng(2), kind="side")
    strands = grow_bangs(style, head, head.rest, np.random.default_rng(0))
    eyes = head.rest[head.eyeball & (head.rest[:, 2] < 0)]
    low = strands.points[np.abs(strands.points[..., 1]) < 8]
    assert len(low) > 50
    assert low[:, 2].max() < eyes[:, 2].max() + 25
    assert np.ptp(strands.points[:, :, 1]) > 60


@pytest.mark.parametrize("kind", BEARDS)
def test_beards_grow_on_the_lower_face(head, kind):
    weight = beard_weight(head, Beard(kind, 1.0, np.zeros(3)))
    assert weight.min() >= 0
    assert weight.max() > 0.5
    assert weight[head.rest[:, 1] < 0].max() < 0.3


def test_glasses_sit_before_both_eyes(head):
    points = head.model.landmarks("mediapipe478").mean
    for seed in range(5):
        rims, bridge, arms = Glasses.random(np.random.default_rng(seed)).curves(points)
        for rim, eye in zip(rims, (468, 473), strict=True):
            x, y, _ = points[eye]
            assert rim[:, 0].min() < x < rim[:, 0].max()
            assert rim[:, 1].min() < y < rim[:, 1].max()
            assert rim[:, 2].max() < points[eye, 2] + 15
        assert abs(bridge[:, 0].mean()) < 1
        # The arms run back to the ears.
        assert (arms[:, -1, 2] > 60).all()
        assert arms[0, -1, 0] < 0 < arms[1, -1, 0]


@pytest.mark.parametrize("make", [hand, microphone, cup])
def test_sprites_are_solid_where_they_are_placed(make):
    tone = np.array([200.0, 150, 120])
    sprite = make(tone, np.array([40.0, 60, 90]), np.random.default_rng(0))
    x, y = np.rint(sprite.origin).astype(int)
    assert sprite.alpha[y, x] > 200 or make is hand
    solid = sprite.alpha > 200
    assert 0.1 < solid.mean() < 0.9
    assert not sprite.alpha[0].any()
    if make is hand:
        assert np.abs(np.median(sprite.color[: y + 60][solid[: y + 60]], 0) - tone).max() < 70


def test_the_same_seed_gives_the_same_look(scene):
    a, b = (scene.look(np.random.default_rng(4), 256) for _ in range(2))
    np.testing.assert_array_equal(a.skin.texture, b.skin.texture)
    assert a.hair.seed == b.hair.seed
    first, second = (Actor(scene.figure, look, np.zeros(80)).texture[0] for look in (a, b))
    np.testing.assert_array_equal(first, second)


def test_drawn_skins_span_the_typology(scene):
    rng = np.random.default_rng(0)
    tones = []
    for _ in range(24):
        lab = cv2.cvtColor(
            (scene.skins.draw(rng, 128).tone / 255).astype(np.float32)[None, None], cv2.COLOR_RGB2LAB
        )[0, 0]
        tones.append(np.degrees(np.arctan2(lab[0] - 50, lab[2])))
    assert min(tones) < -15
    assert max(tones) > 40


@pytest.fixture
def cache(tmp_path, head):
    """Two portraits that are flat fields of skin on blue, one of them a yellow print."""
    tones = np.array([(205, 160, 135), (190, 170, 60)])
    images = np.empty((2, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    images[:] = (40, 80, 160)
    for image, tone in zip(images, tones, strict=True):
        cv2.circle(image, (80, 80), 60, [int(c) for c in tone], -1)
    model = head.model
    points = model.landmarks("mediapipe478").mean[:, :2] / 220
    np.save(tmp_path / "images.npy", images)
    np.savez(
        tmp_path / "labels.npz",
        rotation=np.stack([np.eye(3)] * 2),
        scale=np.full(2, 1 / 220),
        translation=np.zeros((2, 2)),
        identity=np.zeros((2, model.identity_count)),
        expression=np.zeros((2, model.expression_count)),
        landmarks478=np.stack([points] * 2),
        skin_ita=np.array([40.0, 40]),
        fit_error=np.zeros(2),
        mouth_open=np.zeros(2),
    )
    return tmp_path


def test_skins_come_from_photographs_alone(cache, head):
    skins = PortraitSkins(cache, head)
    assert list(skins.chosen) == [0]
    skin = skins.draw(np.random.default_rng(0), 128)
    np.testing.assert_allclose(skin.tone, [205, 160, 135], atol=12)
    assert skin.surroundings is not None
    look = Look.random(np.random.default_rng(0), skins, head, 128)
    assert look.skin.texture.shape == (128, 128, 3)


def test_a_cache_without_usable_portraits_is_refused(cache, head):
    with np.load(cache / "labels.npz") as z:
        labels = dict(z)
    np.savez(cache / "labels.npz", **{**labels, "skin_ita": np.full(2, np.nan)})
    with pytest.raises(InputError, match="no portrait in colour"):
        PortraitSkins(cache, head)


def test_clothes_begin_below_the_chin(scene, plain):
    """The torso's texture is skin above its collar and cloth below."""
    figure = scene.figure
    for kind in ("round", "deep", "shirt", "suit"):
        outfit = replace(plain.outfit, kind=kind, color=np.array([20.0, 40, 200]), pattern="plain")
        colors = Actor(figure, replace(plain, outfit=outfit), np.zeros(80)).texture[0]
        atlas = figure.atlas(len(colors))
        torso = atlas.raster.triangle >= len(figure.head.triangles)
        y = atlas.position[..., 1]
        blue = colors[..., 2].astype(int) > colors[..., 0].astype(int) + 20
        assert blue[torso & (y > 330)].mean() > 0.8
        assert blue[torso & (y < 135)].mean() < 0.05
