from dataclasses import replace

import numpy as np
import pytest
from textured_head import SIZE, pattern, pictures, textured, turning

from steadyface.errors import InputError, OutputError
from steadyface.pipeline import side_by_side
from steadyface.refine.irradiance import IrradianceBasis
from steadyface.refine.layout import texture_layout
from steadyface.render.side_by_side import ELSEWHERE, PANEL, ZERO, SideBySide, window_of
from steadyface.video import read_video, write_video

STRIP = 26


@pytest.fixture(scope="module")
def model(tiny_model):
    return textured(tiny_model)


def refined(track, seed=0):
    """The track with a texture under an even light, every frame refined."""
    light = np.zeros((len(track), len(IrradianceBasis.of(track.model))), np.float32)
    light[:, 0] = 1
    return replace(
        track,
        refined=np.ones(len(track), bool),
        irradiance=light,
        texture=pattern(128, seed),
        texture_confidence=np.ones((128, 128), np.float16),
    )


@pytest.fixture(scope="module")
def track(model):
    return refined(turning(model, np.array([0.0, 0.2])))


@pytest.fixture(scope="module")
def frames(track):
    return pictures(track, track.texture, texture_layout(track.model))


def moved(track, by):
    return replace(track, translation=track.translation + np.asarray(by, float))


def panels(compare, picture):
    """The panels of a picture, left to right."""
    width = compare.size[0] // round(compare.size[0] / compare._panel[0])
    inside = picture[STRIP:-STRIP]
    return [inside[:, left : left + width] for left in range(0, compare.size[0], width)]


def test_where_texture_and_frame_agree_the_difference_is_grey(track, frames):
    compare = SideBySide([track])
    picture = compare(frames[1], [1])
    assert picture.shape == (*compare.size[::-1], 3)
    frame, laid, difference = panels(compare, picture)
    known = difference != ELSEWHERE
    # Both are rounded, and enlarging blurs the outline.
    assert np.percentile(np.abs(difference[known].astype(int) - ZERO), 90) <= 8
    assert np.abs(frame.astype(int) - laid).mean() < 0.5
    assert 0.2 < known.mean() < 0.9


def test_what_refinement_gained_is_seen(track, frames):
    before = replace(moved(track, [6, 0, 0]), refined=None, irradiance=None)
    before = replace(before, texture=None, texture_confidence=None)
    compare = SideBySide([track], [before])
    _, _, rough, fine = panels(compare, compare(frames[0], [0]))

    def off(panel):
        return np.abs(panel[panel != ELSEWHERE].astype(int) - ZERO).mean()

    assert off(rough) > 5 * off(fine)


def test_the_sign_is_frame_less_texture(track, frames):
    brighter = np.clip(frames[0].astype(int) + 10, 0, 255).astype(np.uint8)
    compare = SideBySide([track])
    difference = panels(compare, compare(brighter, [0]))[2]
    assert np.median(difference[difference != ELSEWHERE]) == pytest.approx(ZERO + 40, abs=6)


def test_frames_that_were_not_refined_are_marked(track, frames):
    marked = replace(track, refined=np.array([True, False]))
    compare, plain = SideBySide([marked]), SideBySide([track])
    for row in (0, 1):
        same = np.array_equal(compare(frames[row], [row]), plain(frames[row], [row]))
        assert same == marked.refined[row]
    # The difference itself stays clean.
    ours, theirs = (panels(c, c(frames[1], [1]))[2] for c in (compare, plain))
    np.testing.assert_array_equal(ours, theirs)


def test_a_frame_without_the_face_is_shown_as_it_is(track, frames):
    compare = SideBySide([track])
    frame, laid, difference = panels(compare, compare(frames[0], [None]))
    np.testing.assert_array_equal(frame, laid)
    assert (difference == ELSEWHERE).all()


def test_the_nearer_of_two_faces_hides_the_other(track, frames, model):
    far = refined(moved(turning(model, np.array([0.0, 0.2])), [0, 0, 300]), seed=3)
    far = replace(far, scale=far.focal / far.translation[:, 2])
    near = panels(*_compared([track], frames))[1]
    for order in ([track, far], [far, track]):
        both = panels(*_compared(order, frames))[1]
        middle = tuple(slice(n // 2 - 20, n // 2 + 20) for n in both.shape[:2])
        assert np.abs(both[middle].astype(int) - near[middle]).mean() < 2


def _compared(tracks, frames):
    compare = SideBySide(tracks)
    return compare, compare(frames[0], [0] * len(tracks))


def test_the_window_holds_the_face_and_large_ones_are_reduced(track):
    x, y, width, height = window_of([track])
    assert 0 <= x < x + width <= SIZE[0]
    assert 0 <= y < y + height <= SIZE[1]
    assert width % 8 == 0
    face = track.model.regions["face"]
    points = track.image_points(track.model.shape)[:, face, :2]
    inside = (points >= [x, y]) & (points <= [x + width - 1, y + height - 1])
    assert inside.mean() > 0.97
    large = _large(track, 8)
    compare = SideBySide([large])
    assert max(compare._panel) <= PANEL
    picture = pictures(large, large.texture, texture_layout(large.model))[0]
    difference = panels(compare, compare(picture, [0]))[2]
    # Reduced pictures lie on each other to a fraction of a pixel.
    known = difference != ELSEWHERE
    assert np.abs(difference[known].astype(int) - ZERO).mean() < 12


def _large(track, factor):
    return replace(
        track,
        scale=track.scale * factor,
        focal=track.focal * factor,
        center=(track.center + 0.5) * factor - 0.5,
        image_size=(SIZE[0] * factor, SIZE[1] * factor),
    )


def test_weak_perspective_came_in_before(track, frames, model):
    before = turning(model, np.array([0.0, 0.2]), focal=None)
    compare = SideBySide([track], [before])
    assert len(panels(compare, compare(frames[0], [0]))) == 4


def test_the_video_has_every_frame(track, frames, tmp_path):
    path, out = tmp_path / "film.mp4", tmp_path / "side.mp4"
    with write_video(path, SIZE, 25.0) as write:
        # The face is gone in the last one.
        for i, image in enumerate([*frames, np.full_like(frames[0], 90)]):
            write(image, i / 25)
    steps = []
    side_by_side(path, [track], out, before=[track], progress=lambda *n: steps.append(n))
    with read_video(out) as reader:
        assert len(list(reader)) == 3
        wide = SideBySide([track], [track]).size
        assert reader.info.size == tuple(n + n % 2 for n in wide)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(OutputError, match="does not exist"):
        side_by_side(path, [track], tmp_path / "none" / "side.mp4")


def test_what_cannot_be_compared_is_refused(track, frames):
    plain = replace(track, texture=None, texture_confidence=None)
    dark = replace(track, irradiance=None, refined=None)
    for arguments, message in (
        (([],), "needs a track at least"),
        (([plain],), "this track has no texture"),
        (([dark],), "needs its irradiance"),
        (([track], []), "must have the frames of the refined"),
    ):
        with pytest.raises(InputError, match=message):
            SideBySide(*arguments)
    with pytest.raises(InputError, match="give the video that was tracked"):
        SideBySide([track])(frames[0][:-2], [0])
