import cv2
import numpy as np
import pytest
from textured_head import pattern, pictures, textured, turning

from steadyface.errors import InputError, OutputError
from steadyface.refine.completion import complete
from steadyface.refine.texture import TextureMerge, VideoTexture
from steadyface.refine.unwrap import Unwrapped, UVUnwrap

SIZE = 64


@pytest.fixture(scope="module")
def model(tiny_model):
    return textured(tiny_model)


@pytest.fixture(scope="module")
def unwrap(model):
    return UVUnwrap(model, SIZE)


def merged(unwrap, track, frames, order=None, around=None):
    merge = TextureMerge(unwrap, around)
    for row in range(len(frames)) if order is None else order:
        merge.add(unwrap.unwrap(frames[row], track, row))
    return merge.result()


def errors(texture, color, where):
    return np.abs(texture.color.astype(float) - color).max(-1)[where]


@pytest.fixture(scope="module")
def clip(unwrap, model):
    track = turning(model, np.linspace(-0.7, 0.7, 24))
    color = pattern(SIZE)
    return track, color, pictures(track, color, unwrap.uv)


def test_frames_merge_to_the_texture_that_they_show(unwrap, clip):
    track, color, frames = clip
    texture = merged(unwrap, track, frames)
    known = texture.confidence > 0.5
    assert known.sum() > 0.4 * len(unwrap)
    assert errors(texture, color, known).mean() < 2
    assert np.percentile(errors(texture, color, known), 99) < 8
    assert (texture.color[texture.confidence == 0] == 0).all()
    assert not texture.completed.any()


def test_the_order_of_the_frames_does_not_matter(unwrap, clip):
    track, _, frames = clip
    there, back = merged(unwrap, track, frames), merged(unwrap, track, frames, range(len(frames))[::-1])
    np.testing.assert_allclose(there.confidence, back.confidence, atol=1e-5)
    assert np.abs(there.color.astype(int) - back.color).max() <= 1


def test_a_hand_in_a_few_frames_leaves_no_trace(unwrap, clip):
    track, _, frames = clip
    crossed = [f.copy() for f in frames]
    for row in (10, 11, 12, 13):
        # Skin-coloured, across the middle of the face.
        cv2.ellipse(crossed[row], (80, 50 + 4 * row), (45, 18), 20, 0, 360, (205, 150, 125), -1)
    clean, first = merged(unwrap, track, frames), merged(unwrap, track, crossed)
    second = merged(unwrap, track, crossed, around=first)
    known = clean.confidence > 0.5
    change = [errors(texture, clean.color.astype(float), known) for texture in (first, second)]
    assert change[0].mean() < 2.5
    assert change[1].mean() < 0.5
    assert np.percentile(change[1], 99) < 8
    # A plain mean of the same frames would show it.
    plain, weight = np.zeros((len(unwrap), 3)), np.zeros(len(unwrap))
    for row, frame in enumerate(crossed):
        seen = unwrap.unwrap(frame, track, row)
        np.add.at(plain, seen.index, seen.color * seen.weight[:, None])
        np.add.at(weight, seen.index, seen.weight)
    plain = unwrap.image_of(plain / np.maximum(weight, 1e-9)[:, None])
    assert np.percentile(errors(clean, plain, known), 99) > 20


def test_irradiance_is_divided_out(unwrap, model, clip):
    track, color, frames = clip
    light = np.linspace(0.6, 1.1, model.vertex_count)[:, None] * [1.0, 0.95, 0.9]
    lit = pictures(track, color, unwrap.uv, light)
    merge = TextureMerge(unwrap)
    for row, frame in enumerate(lit):
        seen = unwrap.unwrap(frame, track, row)
        merge.add(seen, unwrap.at_texels(light, seen.index))
    texture, plain = merge.result(), merged(unwrap, track, frames)
    known = (texture.confidence > 0.5) & (color.max(-1) < 200)
    assert np.percentile(errors(texture, plain.color.astype(float), known), 99) < 5
    assert errors(merged(unwrap, track, lit), color, known).mean() > 20


def test_a_frame_of_no_weight_changes_nothing(unwrap, clip):
    track, _, frames = clip
    one = TextureMerge(unwrap)
    one.add(unwrap.unwrap(frames[3], track, 3))
    before = one.result()
    seen = unwrap.unwrap(np.zeros_like(frames[4]), track, 4)
    one.add(seen, weight=0.0)
    one.add(seen, weight=np.zeros(len(seen.index)))
    after = one.result()
    np.testing.assert_array_equal(before.color, after.color)
    np.testing.assert_array_equal(before.confidence, after.confidence)
    with pytest.raises(InputError, match="weight is one number"):
        one.add(seen, weight=np.zeros(3))
    with pytest.raises(InputError, match="irradiance must be > 0"):
        one.add(seen, np.zeros(len(seen.index)))
    with pytest.raises(InputError, match="irradiance must be > 0"):
        one.add(seen, np.ones((2, 3)))


def test_confidence_grows_with_what_was_seen(unwrap):
    index = np.arange(len(unwrap))
    grey = np.full((len(unwrap), 3), 100, np.float32)
    merge, before = TextureMerge(unwrap), 0.0
    for _ in range(3):
        merge.add(Unwrapped(index, grey, np.full(len(unwrap), 0.5, np.float32)))
        texture = merge.result()
        now = texture.confidence.reshape(-1)[unwrap.texel]
        assert (now > before + 0.05).all()
        assert (now < 1).all()
        np.testing.assert_array_equal(texture.color.reshape(-1, 3)[unwrap.texel], 100)
        before = now


def one_sided(unwrap, model, gain):
    """A texture whose left and right are alike up to a gain, and what a head turned away shows of it."""
    color = pattern(SIZE).astype(float)
    color = (color + color[:, ::-1]) / 2
    color = np.clip(color * np.linspace(1, gain, SIZE)[None, :, None], 0, 255).astype(np.uint8)
    track = turning(model, np.linspace(0.3, 0.9, 6))
    return color, merged(unwrap, track, pictures(track, color, unwrap.uv))


@pytest.mark.parametrize("gain", [1.0, 0.75])
def test_the_unseen_side_is_the_mirror_image_of_the_other(unwrap, model, gain):
    color, seen = one_sided(unwrap, model, gain)
    texture = complete(seen, unwrap)
    known = seen.confidence > 0.6
    assert np.abs(texture.color.astype(int) - seen.color)[known].max() <= 3
    assert texture.completed.sum() > 0.3 * len(unwrap)
    guessed = (seen.confidence < 0.05) & (seen.confidence[:, ::-1] > 0.6)
    guessed &= unwrap.image_of(np.ones(len(unwrap), bool))
    assert guessed.sum() > 100
    assert texture.completed[guessed].all()
    error = errors(texture, color, guessed)
    # The far side's brightness can only be guessed from the middle.
    assert error.mean() < (8 if gain == 1 else 30)


def test_every_texel_gets_a_colour_and_only_the_surface_counts_as_completed(unwrap, model):
    _, seen = one_sided(unwrap, model, 1.0)
    texture = complete(seen, unwrap)
    surface = unwrap.image_of(np.ones(len(unwrap), bool))
    assert texture.color.min() > 20
    assert not texture.completed[~surface].any()
    assert texture.completed[surface & (seen.confidence == 0)].all()
    np.testing.assert_array_equal(texture.confidence, seen.confidence)


def test_no_seam_shows_where_the_guess_begins(unwrap, model):
    """Of an even skin, lit from one side, the completed texture is smooth too."""
    gain = np.linspace(1.1, 0.7, SIZE)[None, :, None]
    color = np.clip(150 * gain * np.ones((SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    track = turning(model, np.linspace(0.3, 0.9, 6))
    texture = complete(merged(unwrap, track, pictures(track, color, unwrap.uv)), unwrap)
    surface = unwrap.image_of(np.ones(len(unwrap), bool))
    step = np.abs(np.diff(texture.color.astype(int), axis=1)).max(-1)[surface[:, 1:] & surface[:, :-1]]
    assert step.max() <= 8


def test_nothing_seen_is_completed_without_a_warning(unwrap):
    texture = complete(TextureMerge(unwrap).result(), unwrap)
    assert (texture.color == 0).all()
    assert texture.completed.sum() == len(unwrap)


def test_a_texture_is_written_whole_or_not_at_all(unwrap, clip, tmp_path):
    track, _, frames = clip
    texture = merged(unwrap, track, frames[:2])
    texture.save_png(tmp_path / "face.png")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "face.png"))[..., ::-1], texture.color)
    with pytest.raises(OutputError, match="does not exist"):
        texture.save_png(tmp_path / "none" / "face.png")
    assert [p.name for p in tmp_path.iterdir()] == ["face.png"]


def test_arrays_that_do_not_fit_are_refused():
    square, uv = np.zeros((8, 8)), np.zeros((3, 2))
    with pytest.raises(InputError, match="a video texture has color"):
        VideoTexture(np.zeros((8, 8, 3)), square, square > 0, uv)
    with pytest.raises(InputError, match="a video texture has color"):
        VideoTexture(np.zeros((8, 8, 3), np.uint8), square, np.zeros((4, 8), bool), uv)
