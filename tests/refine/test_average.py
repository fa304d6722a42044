from dataclasses import replace

import cv2
import numpy as np
import pytest
from refined_scene import FilmedHead, problem_of, textured_head, truth_of, view_at

from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.refine.appearance import PhotometricWeights, Surface
from steadyface.refine.average import average_color, average_texture, average_video_texture, judge_all
from steadyface.refine.irradiance import irradiance
from steadyface.refine.patch import cut
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import sample_texture
from steadyface.track import Track


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def test_other_face_models_are_refused(tiny_model):
    for use in (
        average_color,
        lambda m: average_texture(Surface(m, 10)),
        lambda m: average_video_texture(m, 64),
    ):
        with pytest.raises(InputError, match="is the face model 'anny''s, not 'tiny''s: learn one"):
            use(tiny_model)


def test_samples_have_the_colours_that_a_picture_of_the_face_shows(model):
    surface = Surface(model, 800)
    grey = average_texture(surface)
    assert grey.shape == (800,)
    assert grey.dtype == np.float32
    assert grey.min() > 0
    # The mean face before an orthographic camera, unlit.
    points = (np.asarray(model.shape.mean) * [2, 2, 1] + [200, 250, 0]).astype(np.float32)
    raster = rasterize(points, model.triangles, (500, 400), cull=True)
    image = sample_texture(raster, model.uv, model.uv_triangles, average_color(model))
    image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    at = (surface.samples.shape.mean * [2, 2, 1] + [200, 250, 0]).astype(np.float32)
    x, y = np.rint(at[:, :2]).astype(int).T
    front = np.abs(at[:, 2] - raster.depth[y, x]) < 1
    shown = cv2.remap(image, at[:, :1], at[:, 1:2], cv2.INTER_LINEAR)[:, 0]
    assert front.mean() > 0.5
    assert np.median(np.abs(shown - grey)[front]) < 3
    assert np.corrcoef(shown[front], grey[front])[0, 1] > 0.9


def test_the_average_is_a_video_texture_of_nothing_seen(model):
    texture = average_video_texture(model, 64)
    assert texture.size == 64
    assert not texture.confidence.any()
    assert 0.3 < texture.completed.mean() < 1
    assert texture.color[texture.completed].mean() > 40
    # As a studio track carries it.
    t = np.zeros((1, 3))
    track = Track(
        *(np.zeros(1, int), np.zeros(1), t, t + np.array([0, 0, 600]), np.ones(1), np.zeros(2)),
        *(
            np.zeros(model.identity_count),
            np.zeros((1, model.expression_count)),
            np.ones((1, 68)),
            np.ones(1),
        ),
        image_size=(64, 48),
        fps=25.0,
        model=model,
        texture=texture.color,
        texture_confidence=texture.confidence,
    )
    again = type(texture).of_track(track)
    assert (again.completed == texture.color.any(-1)).all()


def test_views_are_judged_beside_a_texture_that_stays(tiny_model):
    head = FilmedHead([truth_of(textured_head(tiny_model), 4)])
    problem, truth = problem_of(head), head.truths[0]
    texture = np.random.default_rng(0).uniform(60, 200, 600).astype(np.float32)
    light = np.zeros(33)
    light[[0, 1]] = 0.8, 0.2
    views = []
    for row in range(4):
        around = truth.image_points(problem.surface.samples.shape, row)[:, :2]
        view = view_at(problem, truth, row, cut(head.frames[row], around, 160))
        views.append(replace(view, grey=(texture * irradiance(view.basis, light)).astype(np.float32)))
    # A fifth of what one of them shows is something else.
    views[2].grey[::5] = 255
    found, judged = judge_all(texture, views, problem.surface.basis.prior, PhotometricWeights())
    assert found is texture
    assert len(judged) == 4
    for row, (view, j) in enumerate(zip(views, judged, strict=True)):
        kept = view.visible > 0.3
        if row == 2:
            assert j.weight[::5][kept[::5]].mean() < 0.1
            kept[::5] = False
        assert (j.weight[kept] / view.visible[kept]).mean() > 0.95
        np.testing.assert_allclose(
            irradiance(view.basis, j.light)[kept], irradiance(view.basis, light)[kept], atol=0.03
        )
