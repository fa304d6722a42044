from dataclasses import replace

import numpy as np
import pytest
from textured_head import pattern, pictures, textured, turning

from steadyface.errors import InputError
from steadyface.evaluate.refine_study.likeness import likeness
from steadyface.refine.irradiance import IrradianceBasis, VertexIrradiance
from steadyface.refine.layout import texture_layout
from steadyface.video import write_video


@pytest.fixture(scope="module")
def filmed(tiny_model, tmp_path_factory):
    """A studio `Track` of six frames and the video of it."""
    track = turning(textured(tiny_model), np.linspace(-0.3, 0.3, 6))
    light = np.zeros((6, len(IrradianceBasis.of(track.model))), np.float32)
    light[:, 0] = np.linspace(0.7, 1.1, 6)
    track = replace(
        track,
        texture=pattern(64),
        texture_confidence=np.ones((64, 64), np.float16),
        refined=np.ones(6, bool),
        irradiance=light,
    )
    shine = VertexIrradiance(track.model)
    path = tmp_path_factory.mktemp("film") / "head.mp4"
    with write_video(path, track.image_size, 25, 5) as write:
        for i in range(6):
            lit = shine(track.vertices(i), light[i])
            one = replace(track, **{n: getattr(track, n)[i : i + 1] for n in _ROWS})
            (image,) = pictures(one, track.texture, texture_layout(track.model), lit)
            write(image, i / 25)
    return path, track


_ROWS = (
    *("frame_index", "time_s", "rotation", "translation", "scale", "expression", "sigma", "confidence"),
    *("refined", "irradiance"),
)


def test_the_truth_looks_like_its_video_and_others_do_not(filmed):
    path, track = filmed
    whole, seen = likeness(path, track, 2)
    assert whole > 0.9
    assert np.isnan(seen)
    assert likeness(path, replace(track, texture=pattern(64, 1)), 2)[0] < whole - 0.1
    turned = replace(track, rotation=track.rotation + np.array([0, 0.1, 0]))
    assert likeness(path, turned, 2)[0] < whole - 0.05
    dark = replace(track, irradiance=0.3 * track.irradiance)
    assert likeness(path, dark, 2)[0] < whole - 0.05


def test_what_something_hides_can_be_left_out(filmed):
    path, track = filmed
    # The texture is wrong where the face's lower half is, which is said to be hidden.
    wrong = track.texture.copy()
    wrong[36:] = pattern(64, 2)[36:]
    visible = np.tile(track.model.uv[:, 1][_corner(track.model)] < 0.45, (6, 1))
    whole, seen = likeness(path, replace(track, texture=wrong), 2, visible)
    assert seen > whole + 0.05
    nothing = np.zeros_like(visible)
    assert np.isnan(likeness(path, track, 2, nothing)[1])


def _corner(model):
    """A texture corner of every vertex: (V,)."""
    corner = np.zeros(model.vertex_count, int)
    corner[model.triangles.ravel()] = model.uv_triangles.ravel()
    return corner


def test_frames_that_are_not_asked_for_do_not_count(filmed):
    path, track = filmed
    late = replace(track, frame_index=track.frame_index + 100)
    assert np.isnan(likeness(path, late, 2)[0])
    # Of every third frame, those at 1 and 4.
    rows = np.array([1, 4])
    part = replace(track, **{n: getattr(track, n)[rows] for n in _ROWS})
    assert likeness(path, part, 3) == pytest.approx(likeness(path, track, 3), nan_ok=True)


def test_a_track_without_texture_is_refused(filmed):
    path, track = filmed
    with pytest.raises(InputError, match="has no texture"):
        likeness(path, replace(track, texture=None, texture_confidence=None))
