import numpy as np
import pytest

from steadyface.learn.augment import (
    Appearance,
    AugmentConfig,
    View,
    draw_view,
    view_labels,
    view_matrix,
    view_pixels,
)
from steadyface.learn.batches import BatchConfig, BatchMaker, BatchStream
from steadyface.learn.parameters import join, similarity_from_pose, split
from steadyface.learn.samples import load_samples, mediapipe_flip_index, sampling_weights
from steadyface.rotation import matrix_from_axis_angle


@pytest.fixture
def labels(mirror_model):
    rng = np.random.default_rng(0)
    rotation = matrix_from_axis_angle(rng.normal(0, 0.5, (8, 3)))
    similarity = similarity_from_pose(rotation, rng.uniform(0.8, 1.2, 8) / 220, rng.normal(0, 0.05, (8, 2)))
    return join(similarity, rng.standard_normal((8, 6)), rng.random((8, 4)))


def project(params, model):
    similarity, identity, expression = split(params, model.identity_count)
    points = model.landmarks("mediapipe478")(identity, expression)
    return (points @ similarity[..., :3].swapaxes(-1, -2) + similarity[:, None, :, 3])[..., :2]


def test_flip_index_pairs_the_points(mirror_model, flip_index):
    mean = mirror_model.landmarks("mediapipe478").mean
    found = mediapipe_flip_index(mirror_model)
    np.testing.assert_allclose(mean[found] * [-1, 1, 1], mean, atol=1e-3)


def test_labels_and_landmarks_stay_together_in_every_view(mirror_model, flip_index, labels):
    rng = np.random.default_rng(1)
    views = [draw_view(rng, AugmentConfig()) for _ in labels]
    assert {v.mirrored for v in views} == {True, False}
    params, landmarks = view_labels(labels, project(labels, mirror_model), views, mirror_model, flip_index)
    np.testing.assert_allclose(project(params, mirror_model), landmarks, atol=1e-5)


def test_views_keep_similarities(mirror_model, flip_index, labels):
    views = [View(True, 1.3, 0.7, np.array([0.1, -0.05]))] * len(labels)
    params, _ = view_labels(labels, project(labels, mirror_model), views, mirror_model, flip_index)
    r = params[:, :12].reshape(-1, 3, 4)[..., :3]
    f = np.linalg.norm(r[:, 0], axis=-1)[:, None, None]
    np.testing.assert_allclose(r @ r.swapaxes(1, 2), f**2 * np.eye(3) * np.ones((8, 1, 1)), atol=1e-9)
    assert (np.linalg.det(r) > 0).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_go_where_labels_go(mirrored):
    view = View(mirrored, 1.2, 0.4, np.array([0.05, -0.08]))
    u = np.array([-0.13, 0.07])
    y, x = np.mgrid[:160, :160]
    place = 120 * u + 79.5
    image = (255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 18)).astype(np.uint8)
    picture = view_pixels(np.repeat(image[..., None], 3, 2), view)[..., 0].astype(float)
    row, column = (np.sum(grid * picture) / picture.sum() for grid in np.mgrid[:120, :120])
    c, s = np.cos(view.roll), np.sin(view.roll)
    expected = view.scale * np.array([[c, -s], [s, c]]) @ (u * [-1 if mirrored else 1, 1]) + view.shift
    np.testing.assert_allclose([(column + 0.5) / 120 - 0.5, (row + 0.5) / 120 - 0.5], expected, atol=5e-4)


def test_the_standard_view_is_the_middle_of_the_picture():
    matrix = view_matrix(View(False, 1.0, 0.0, np.zeros(2)), 160, 120)
    np.testing.assert_allclose(matrix, [[1, 0, 20], [0, 1, 20]], atol=1e-9)


def test_looks_change_pixels_and_keep_shape():
    rng = np.random.default_rng(3)
    appearance = Appearance(AugmentConfig(), 120)
    source = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    changed = 0
    for _ in range(60):
        look, border, fill = appearance.draw_look(rng)
        picture = view_pixels(source, draw_view(rng, AugmentConfig()), 120, border, fill)
        result = appearance.draw_degradation(rng)(look(picture.copy(), source))
        assert result.shape == (120, 120, 3)
        assert result.dtype == np.uint8
        changed += not np.array_equal(result, picture)
    assert changed > 40


def test_rare_attributes_are_drawn_more_often(sample_folder):
    samples = load_samples(sample_folder)
    value = np.concatenate([np.full(len(samples) - 4, 0.1), np.full(4, 0.0)])
    samples.attributes.clear()
    samples.attributes["eye_open"] = value
    weight = sampling_weights(samples)
    assert weight[-1] > 1.5 * weight[0]
    np.testing.assert_allclose(weight.sum(), 1)


def test_batches_are_a_function_of_their_number(sample_folder, model_file):
    config = BatchConfig({str(sample_folder): 1.0}, size=12, face_model=str(model_file), negatives=0.3)
    maker = BatchMaker(config)
    first, again, other = maker(4), maker(4), maker(5)
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert not np.array_equal(first["image"], other["image"])
    assert first["image"].shape == (12, 120, 120, 3)
    assert (first["is_face"][: maker.clip_rows] == 1).all()
    assert (first["landmark_weight"] <= first["is_face"]).all()


def test_workers_give_the_same_batches_in_order(sample_folder, model_file):
    config = BatchConfig({str(sample_folder): 1.0}, size=4, face_model=str(model_file))
    maker = BatchMaker(config)
    with BatchStream(config, start=3, workers=2, ahead=2, maker=maker) as stream:
        for number in (3, 4, 5):
            batch, expected = next(stream), maker(number)
            for key in expected:
                np.testing.assert_array_equal(batch[key], expected[key])
