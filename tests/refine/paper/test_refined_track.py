from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from steadyface.refine.irradiance import VertexIrradiance
from steadyface.refine.paper import refine_paper
from steadyface.refine.paper.refined_track import refined_track
from steadyface.refine.texture import VideoTexture
from steadyface.track import Track


def test_the_result_is_a_track_like_any_refined_one(film, config, tmp_path):
    result = refine_paper(film, film.coarse, replace(config, epochs=10, inference_epochs=10))
    track = refined_track(result)
    np.testing.assert_array_equal(track.refined, result.improved)
    texture = VideoTexture.of_track(track)
    np.testing.assert_array_equal(texture.color, result.texture.color)
    np.testing.assert_allclose(texture.uv, result.texture.uv)
    assert (texture.completed == (result.texture.completed & texture.color.any(-1))).all()
    track.save(tmp_path / "a.npz")
    again = Track.load(tmp_path / "a.npz", track.model)
    np.testing.assert_array_equal(again.irradiance, track.irradiance)


def test_smooth_light_is_kept_and_unrefined_frames_have_none(film):
    model, n = film.truth.model, len(film.truth)
    face = model.regions["face"]
    height = model.shape.mean[:, 1] / 100
    improved = np.arange(n) != 2

    def light(row):
        # Coloured in one frame.
        grey = 0.8 + 0.1 * row + 0.2 * height
        return grey[:, None] * [0.9, 1.0, 1.1] if row == 1 else grey

    texture = VideoTexture(
        *(np.full((8, 8, 3), 9, np.uint8), np.ones((8, 8)), np.zeros((8, 8), bool), np.zeros((4, 2)))
    )
    track = refined_track(
        SimpleNamespace(track=film.truth, texture=texture, vertex_irradiance=light, improved=improved)
    )
    shine = VertexIrradiance(model)
    for row in range(n):
        found = shine(track.vertices(row), track.irradiance[row])[face]
        wanted = np.ones(face.sum()) if row == 2 else 0.8 + 0.1 * row + 0.2 * height[face]
        # Few functions make no exact slope.
        assert np.abs(found - wanted).mean() < 0.02
        assert np.abs(found - wanted).max() < 0.06
