import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.steadybench.truth import Truth, load_truth, plan_hash_of, save_truth
from steadyface.synthesis.script import Script


@pytest.fixture
def truth(tiny_model):
    rng = np.random.default_rng(0)
    t = 4
    script = Script(
        rotation=rng.normal(0, 0.3, (t, 3)),
        translation=rng.normal((0, 0, 700), 20, (t, 3)),
        focal=800.0,
        center=np.array([159.5, 119.5]),
        identity=rng.normal(0, 0.5, 6),
        expression=rng.uniform(0, 1, (t, 4)),
        image_size=(320, 240),
        fps=25.0,
        model=tiny_model,
    )
    return Truth(script, rng.random((t, tiny_model.vertex_count)) < 0.5)


def test_what_is_saved_is_read_back(truth, tiny_model, tmp_path):
    path = tmp_path / "truth.npz"
    save_truth(truth, path, "abc")
    again = load_truth(path, tiny_model)
    np.testing.assert_array_equal(again.visible, truth.visible)
    np.testing.assert_array_equal(again.vertices(), truth.vertices())
    assert again.script.image_size == (320, 240)
    assert again.script.fps == 25
    assert len(again) == 4
    assert plan_hash_of(path) == "abc"


def test_points_are_what_the_camera_shows(truth):
    points = truth.points("ibug68")
    assert points.shape == (4, 68, 3)
    script = truth.script
    metric = script.camera_points(script.model.landmarks("ibug68"))
    np.testing.assert_allclose(points[..., :2], 800 * metric[..., :2] / metric[..., 2:] + [159.5, 119.5])
    z = script.translation[:, None, 2]
    np.testing.assert_allclose(points[..., 2], (metric[..., 2] - z) * 800 / z)
    np.testing.assert_allclose(truth.points("ibug68", 2), points[2])
    np.testing.assert_allclose(truth.vertices(1), truth.vertices()[1])


def test_a_landmark_is_seen_if_the_vertices_around_it_are(truth, tiny_model):
    embedding = tiny_model.embeddings["ibug68"]
    all_seen = Truth(truth.script, np.ones_like(truth.visible))
    assert all_seen.visible_points().all()
    corner = tiny_model.triangles[embedding.triangle[7]][embedding.barycentric[7].argmax()]
    hidden = np.ones_like(truth.visible)
    hidden[1, tiny_model.triangles[embedding.triangle[7]]] = False
    seen = Truth(truth.script, hidden).visible_points("ibug68")
    assert not seen[1, 7]
    assert seen[[0, 2, 3]].all()
    only = np.zeros_like(truth.visible)
    only[:, corner] = True
    share = embedding.barycentric[7].max()
    assert Truth(truth.script, only).visible_points()[0, 7] == (share >= 0.5)


def test_bad_files_are_refused_with_the_reason(truth, tiny_model, tmp_path):
    path = tmp_path / "truth.npz"
    with pytest.raises(InputError, match="there is no such file"):
        load_truth(path)
    assert plan_hash_of(path) == ""
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is not the truth of a clip"):
        load_truth(path)
    np.savez(path, rotation=np.zeros((2, 3)))
    with pytest.raises(InputError, match="it lacks center, expression, focal"):
        load_truth(path)
    save_truth(truth, path)
    with pytest.raises(InputError, match="unknown face model 'tiny'"):
        load_truth(path)
    with pytest.raises(InputError, match="unknown landmark set"):
        truth.visible_points("aflw21")
    with pytest.raises(InputError, match="visible must be of shape"):
        Truth(truth.script, np.ones((1, 2), bool))
