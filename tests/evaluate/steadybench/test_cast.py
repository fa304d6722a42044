import shutil

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.steadybench.cast import MEAN, build_cast, look_of_tone, recolored, skin_color
from steadyface.face_model.morphable import load_face_model
from steadyface.learn.portraits import build_portrait_cache
from steadyface.learn.samples import load_samples
from steadyface.rotation import matrix_from_euler
from steadyface.synthesis.look import Look
from steadyface.synthesis.skins import Skin
from steadyface.synthesis.split import is_held_out

SIZE = 160


def write_portraits(folder, model, count):
    """A data folder of flesh-coloured pictures, from light to dark, with the landmarks of random faces."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = np.array([f"face{i:03d}.png" for i in range(count)])
    shape = model.landmarks("mediapipe478")
    identity = rng.normal(0, 0.3, (count, model.identity_count))
    points = shape(identity, np.zeros((count, model.expression_count)))
    points = points @ matrix_from_euler(rng.normal(0, 0.03, (count, 3))).swapaxes(-1, -2)
    xy = 0.6 * points[..., :2] + [SIZE / 2, 0.42 * SIZE]
    for i, name in enumerate(names):
        skin = skin_color(i / max(count - 1, 1))
        # Blotches of other hues: a picture is in colour if its chroma is not that of its lightness alone.
        blotches = cv2.resize(rng.normal(0, 12, (32, 32, 3)), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
        image = np.clip(skin + blotches, 0, 255)
        assert cv2.imwrite(str(folder / "images" / name), image[..., ::-1].astype(np.uint8))
    xyz = np.concatenate([xy + 0.5, np.zeros((count, 478, 1))], -1)
    np.savez(
        folder / "landmarks478.npz",
        names=names,
        xyz=np.round(xyz * 32).astype(np.int16),
        flip_consistency=np.full(count, 0.01),
    )
    return names


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """What training and the benchmark are given of 60 portraits: two caches, written by the training code."""
    folder = tmp_path_factory.mktemp("data")
    names = write_portraits(folder / "portraits", load_face_model(), 60)
    build_portrait_cache(folder, folder / "cache")
    return folder / "cache", names


def test_training_never_sees_whom_the_benchmark_films(caches):
    cache, names = caches
    held = {str(n) for n in names if is_held_out(n)}
    assert 2 <= len(held) <= 20
    with np.load(cache / "portraits" / "labels.npz") as z:
        trained = set(z["name"].tolist())
    with np.load(cache / "heldout" / "labels.npz") as z:
        filmed = set(z["name"].tolist())
    assert trained
    assert not trained & held
    assert filmed == held
    # The loader that training draws its batches from gives what the cache holds and no more.
    assert len(load_samples(cache / "portraits")) == len(trained)
    cast = build_cast(cache / "heldout")
    assert not cast.name.endswith("small")
    assert set(cast.skins.labels["name"].tolist()) <= held
    assert cast.name == f"heldout-{len(cast.skins)}"
    assert cast.fitted.shape == (len(cast.skins), load_face_model().identity_count)


def test_people_known_from_training_are_not_filmed(caches):
    cache, _ = caches
    with pytest.raises(InputError, match="portraits that are not held out of training, first face"):
        build_cast(cache / "portraits")
    with pytest.raises(InputError):
        build_cast(cache / "nowhere")


def test_clips_of_small_crops_do_not_pass_for_others(caches, tmp_path):
    cache, _ = caches
    shutil.copy(cache / "heldout" / "images.npy", tmp_path)
    with np.load(cache / "heldout" / "labels.npz") as z:
        labels = dict(z)
    labels["picture"] = np.array([f"gone/{n}" for n in labels["name"]])
    np.savez(tmp_path / "labels.npz", **labels)
    assert build_cast(tmp_path).name == build_cast(cache / "heldout").name + "-small"
    del labels["name"]
    np.savez(tmp_path / "labels.npz", **labels)
    with pytest.raises(InputError, match="does not name its portraits"):
        build_cast(tmp_path)


def lightness(rgb):
    return cv2.cvtColor(np.float32(rgb)[None, None] / 255, cv2.COLOR_RGB2LAB)[0, 0, 0]


@pytest.mark.parametrize("textures", ["heldout", MEAN])
def test_tones_go_from_light_to_dark(caches, textures):
    cast = build_cast(None if textures == MEAN else caches[0] / textures)
    tones = [
        np.mean([lightness(cast.of_tone(t).draw(np.random.default_rng(k), 64).tone) for k in range(3)])
        for t in (0.0, 0.5, 1.0)
    ]
    assert tones[0] > tones[1] + 10 > tones[2] + 20


def test_recolored_skin_has_the_asked_cheeks_and_keeps_its_contrast():
    texture = np.full((8, 8, 3), (200, 150, 130), np.uint8)
    texture[2] = (40, 30, 26)
    skin = Skin(texture, np.array([200.0, 150, 130]), None)
    dark = recolored(skin, [80, 60, 52])
    np.testing.assert_allclose(dark.texture[0, 0], [80, 60, 52], atol=1)
    np.testing.assert_allclose(dark.tone, [80, 60, 52])
    np.testing.assert_allclose(dark.texture[2, 0], [16, 12, 10.4], atol=1)
    np.testing.assert_array_equal(recolored(skin, skin.tone).texture, texture)


def test_dark_skin_goes_with_dark_hair_and_eyes():
    cast = build_cast()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        look = Look.random(rng, cast.of_tone(0.9), cast.head, 64)
        dark = look_of_tone(look, 0.9, rng)
        assert dark.eyes.iris.mean() < 65
        assert dark.skin.hair.max() < 50
        assert look_of_tone(look, 0.1, rng).eyes is look.eyes


def test_skin_colors_span_the_typology_from_very_light_to_dark():
    colors = np.array([skin_color(t) for t in np.linspace(0, 1, 9)])
    lab = cv2.cvtColor(np.float32(colors)[None] / 255, cv2.COLOR_RGB2LAB)[0]
    angle = np.degrees(np.arctan2(lab[:, 0] - 50, lab[:, 2]))
    assert (np.diff(angle) < 0).all()
    assert angle[0] > 55
    assert angle[-1] < -30
    # Redder than green, greener than blue, as skin is.
    assert (np.diff(colors, axis=1) < 0).all()
