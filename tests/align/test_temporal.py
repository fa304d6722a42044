from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from steadyface.align.crop import Crop
from steadyface.align.face_of_landmarks import FaceOfLandmarks
from steadyface.align.face_square import FACE_SIDE_MM, SIDE, face_square
from steadyface.align.temporal import LocalMotionAligner, LocalMotionNetwork
from steadyface.errors import InputError
from steadyface.learn.local_motion_export import export_local_motion
from steadyface.networks.local_motion import NETWORKS, LocalMotion
from steadyface.rotation import matrix_from_axis_angle

SMALL = {"channels": (4, 4, 4, 4, 8), "units": 8, "filters": 4, "head_filters": 4}
CROP = Crop(np.array([60.0, 55.0]), 90.0, 0.1)


def exported(folder, name="3DRNN", metadata=None):
    torch.manual_seed(3)
    network = LocalMotion(replace(NETWORKS[name], **SMALL)).eval()
    path = folder / f"{name}.onnx"
    export_local_motion(network, path, np.full(68, 0.02), "single", metadata)
    return network, path


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("network"))


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, 120, 128, 3), dtype=np.uint8))


def expected(network, window, crop):
    """Landmarks, px, of a window by torch."""
    square = face_square(crop)
    seen = np.stack([square.extract(image, 64) for image in window])
    with torch.no_grad():
        points = network.landmarks(torch.from_numpy(seen).permute(0, 3, 1, 2).float()[None])[0][0]
    return square.to_image(points.numpy().astype(float))


class Seen(LocalMotionAligner):
    """Keeps the landmarks that the face is fitted to."""

    def __init__(self, model, path):
        super().__init__(model, path)
        fit = self._face

        def keep(points, sureness):
            self.points = points
            return fit(points, sureness)

        self._face = keep


def test_the_square_of_the_face_lies_in_the_heads():
    square = face_square(CROP)
    corners = np.array([[-0.5, -0.5], [0.5, 0.5]])
    inside = CROP.from_image(square.to_image(corners))
    np.testing.assert_allclose(inside, SIDE * corners + [0, 0.09], atol=1e-12)
    assert np.abs(inside).max() < 0.52


def test_a_stream_is_seen_through_a_sliding_window(tiny_model, recurrent):
    network, path = recurrent
    aligner = Seen(tiny_model, path)
    a, b, c, d = images(4)
    for window in ([a, a, a], [a, a, b], [a, b, c], [b, c, d]):
        (alignment,) = aligner(window[-1], [CROP])
        np.testing.assert_allclose(aligner.points[0], expected(network, window, CROP), atol=1e-2)
    assert np.isfinite(alignment.translation).all()


def test_all_frames_are_cropped_by_the_crop_asked_for_and_asking_again_is_no_new_frame(tiny_model, recurrent):
    network, path = recurrent
    aligner = Seen(tiny_model, path)
    a, b = images(2)
    aligner(a, [CROP])
    other = Crop(np.array([70.0, 50.0]), 60.0, -0.2)
    for crops in ([CROP], [other], [CROP, other]):
        answers = aligner(b, crops)
        assert len(answers) == len(crops)
        for points, crop in zip(aligner.points, crops, strict=True):
            np.testing.assert_allclose(points, expected(network, [a, a, b], crop), atol=1e-2)
    assert aligner(b, []) == []


def test_one_array_filled_anew_is_the_next_frame(tiny_model, recurrent):
    network, path = recurrent
    aligner = Seen(tiny_model, path)
    a, b, c = images(3)
    buffer = a.copy()
    aligner(buffer, [CROP])
    buffer[:] = b
    aligner(buffer, [CROP])
    aligner(c, [CROP])
    np.testing.assert_allclose(aligner.points[0], expected(network, [a, b, c], CROP), atol=1e-2)


def test_another_size_or_a_reset_begins_another_video(tiny_model, recurrent):
    network, path = recurrent
    aligner = Seen(tiny_model, path)
    a, b, c = images(3)
    small = np.ascontiguousarray(c[:100])
    aligner(a, [CROP])
    aligner(small, [CROP])
    np.testing.assert_allclose(aligner.points[0], expected(network, [small] * 3, CROP), atol=1e-2)
    aligner.reset()
    aligner(b, [CROP])
    np.testing.assert_allclose(aligner.points[0], expected(network, [b] * 3, CROP), atol=1e-2)


@pytest.mark.parametrize(("name", "window"), [("2D", 1), ("3D", 3), ("3DFCRNN", 3)])
def test_every_kind_of_network_runs(tiny_model, tmp_path, name, window):
    network, path = exported(tmp_path, name)
    aligner = Seen(tiny_model, path)
    assert aligner.network.window == window
    a, b, c = images(3)
    for image in (a, b, c):
        aligner(image, [CROP])
    difference = np.abs(aligner.points[0] - expected(network, [a, b, c][-window:], CROP))
    # Of random heatmaps one may have two peaks.
    assert np.quantile(difference, 0.9) < 1e-2


def test_a_face_is_found_in_its_own_landmarks(tiny_model):
    rng = np.random.default_rng(4)
    face = FaceOfLandmarks(tiny_model, np.full(68, 1.0), usual_mm=0.5, doubtful_mm=5.0)
    identity, expression = rng.normal(0, 0.7, (2, 6)), rng.uniform(0, 0.5, (2, 4))
    rotation = np.array([[0.1, 0.3, -0.1], [-0.2, -0.4, 0.1]])
    scale, middle = np.array([1.2, 0.7]), np.array([[200.0, 150.0], [80.0, 90.0]])
    shape = tiny_model.landmarks("ibug68")(identity, expression)
    turned = shape @ np.swapaxes(matrix_from_axis_angle(rotation), -1, -2)
    points = scale[:, None, None] * turned[..., :2] + middle[:, None]
    for i, alignment in enumerate(face(points)):
        distance = np.linalg.norm(
            alignment.project(tiny_model.landmarks("ibug68"))[:, :2] - points[i], axis=-1
        )
        assert distance.mean() / scale[i] < 0.6
        np.testing.assert_allclose(alignment.rotation, rotation[i], atol=0.05)
        assert alignment.confidence > 0.95
        assert alignment.landmark_sigma.shape == (68,)


def test_points_of_no_face_are_vague_and_not_believed(tiny_model):
    face = FaceOfLandmarks(tiny_model, np.full(68, 1.0), usual_mm=0.5, doubtful_mm=5.0)
    shape = tiny_model.landmarks("ibug68").mean[:, :2]
    rng = np.random.default_rng(0)
    good, bad = face(np.stack([shape, shape + rng.normal(0, 25, shape.shape)]))
    assert good.confidence > 0.95 > 0.05 > bad.confidence
    assert bad.vagueness > 3 * good.vagueness
    (unsure,) = face(shape[None], np.array([0.3]))
    assert unsure.confidence == pytest.approx(0.3 * good.confidence, rel=0.02)
    assert face(np.zeros((0, 68, 2))) == []


def test_what_the_file_knows_is_used(tmp_path, tiny_model):
    known = {"usual_mm": "1.5", "doubtful_mm": "4", "usual_peak": "0.8"}
    network = LocalMotionNetwork(exported(tmp_path, "2DFCRNN", known)[1])
    np.testing.assert_allclose(network.sigma_mm, 0.02 * FACE_SIDE_MM)
    assert (network.usual_mm, network.doubtful_mm, network.usual_peak) == (1.5, 4.0, 0.8)
    points, sureness = network([images(3)], [CROP])
    assert points.shape == (1, 68, 2)
    assert 0 <= sureness[0] <= 1


def test_files_that_do_not_fit_are_refused(tmp_path, recurrent):
    with pytest.raises(InputError, match="is missing"):
        LocalMotionNetwork(tmp_path / "nothing.onnx")
    for key, value, text in (
        ("markup", "mediapipe478", "made for markup mediapipe478, this steadyface needs ibug68"),
        ("square_mm", "100", "made for square_mm 100"),
        ("landmark_sigma", "[1, 2]", "must tell of 68 landmarks"),
        ("window", "few", "does not say what it takes"),
    ):
        graph = onnx.load(recurrent[1])
        for entry in graph.metadata_props:
            if entry.key == key:
                entry.value = value
        onnx.save(graph, str(tmp_path / "n.onnx"))
        with pytest.raises(InputError, match=text):
            LocalMotionNetwork(tmp_path / "n.onnx")


def test_only_images_are_taken(tiny_model, recurrent):
    with pytest.raises(InputError, match="it is grey"):
        LocalMotionAligner(tiny_model, recurrent[1])(np.zeros((9, 9), np.uint8), [CROP])
