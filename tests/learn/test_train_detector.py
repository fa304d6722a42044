import cv2
import numpy as np
import torch

from steadyface.detect.detector import Detector, decode
from steadyface.face_model.morphable import load_face_model
from steadyface.learn import log
from steadyface.learn.detector_data import heat_target
from steadyface.learn.train_detector import TrainingSettings, detection_loss, export, train
from steadyface.networks.detector import REFERENCE_SIDE, DetectorExport, DetectorNet

FACES = np.array([[40, 50, 60, 0.4, 1, 1], [100, 30, 30, -0.8, 1, 1], [90, 100, 40, 0, 0.3, 0]])


def targets():
    heat, valid, geometry, weight = (torch.from_numpy(a)[None] for a in heat_target(FACES, 128, 128))
    geometry[:, 2] -= np.log(REFERENCE_SIDE) * (weight > 0)
    return heat, valid, geometry, weight


class Answer(torch.nn.Module):
    """A network that answers with what it is told."""

    def __init__(self, logits, geometry):
        super().__init__()
        self.answer = logits, geometry

    def forward(self, image):
        return self.answer


def test_the_loss_of_the_truth_is_nearly_zero_and_any_change_of_it_costs():
    heat, valid, geometry, weight = targets()
    logits = torch.where(heat == 1, 12.0, -12.0)
    focal, geometric = detection_loss(logits, geometry, heat, valid, geometry, weight)
    assert focal < 1e-4
    assert geometric == 0
    missed = detection_loss(torch.full_like(logits, -12.0), geometry, heat, valid, geometry, weight)[0]
    assert missed > 5
    for channel in range(5):
        wrong = geometry.clone()
        wrong[:, channel] += 0.2
        assert detection_loss(logits, wrong, heat, valid, geometry, weight)[1] > 0.01


def test_nothing_is_learned_where_a_face_is_too_hidden_to_ask_for():
    heat, valid, geometry, weight = targets()
    logits = torch.zeros_like(heat, requires_grad=True)
    detection_loss(logits, geometry, heat, valid, geometry, weight)[0].backward()
    hidden = valid == 0
    assert hidden.any()
    assert (logits.grad[hidden] == 0).all()
    assert (logits.grad[valid == 1] != 0).all()


def test_what_training_asks_for_is_what_the_runtime_decodes():
    heat, _, geometry, _ = targets()
    answer = Answer(torch.logit(heat[:, None].clamp(1e-6, 1 - 1e-6)), geometry)
    maps = [m.numpy()[0] for m in DetectorExport(answer)(torch.zeros(1, 3, 128, 128))]
    found = sorted(decode(maps[0][0], maps[1], 0.5), key=lambda d: d.center[0])
    assert len(found) == 2
    for d, (x, y, side, roll, *_) in zip(found, FACES[:2], strict=True):
        np.testing.assert_allclose((*d.center, d.size, d.roll), (x, y, side, roll), rtol=1e-4)


def test_the_exported_network_is_the_trained_one_at_any_size(tmp_path):
    torch.manual_seed(0)
    net = DetectorNet().eval()
    path = export(net, tmp_path / "detector.onnx")
    assert path.stat().st_size < 1e6
    detector = Detector(path)
    detector(np.zeros((64, 64, 3), np.uint8))
    rng = np.random.default_rng(0)
    for height, width in ((64, 96), (160, 256)):
        image = rng.integers(0, 256, (2, 3, height, width)).astype(np.float32)
        with torch.no_grad():
            expected = DetectorExport(net)(torch.from_numpy(image))
        for a, b in zip(detector._session.run(None, {"image": image}), expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=2e-3, atol=2e-4)


def test_training_resumes_where_it_stopped(tmp_path):
    folder = tmp_path / "portraits"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    model = load_face_model()
    shape = model.landmarks("mediapipe478")(np.zeros(model.identity_count), np.zeros(model.expression_count))
    names = np.array([f"p{i}.png" for i in range(6)])
    for name in names:
        cv2.imwrite(str(folder / "images" / name), rng.integers(0, 256, (160, 160, 3), np.uint8))
    xyz = np.repeat((shape * 0.5 + (80, 70, 0))[None] * 32, len(names), 0).astype(np.int16)
    np.savez(folder / "landmarks478.npz", names=names, xyz=xyz)
    out = tmp_path / "run"
    short = TrainingSettings(minutes=0.004, batch=2, ring=64, backgrounds=4)
    train([folder], out, short)
    first = torch.load(out / "checkpoint.pt", weights_only=True)
    train([folder], out, TrainingSettings(minutes=0.01, batch=2, ring=64, backgrounds=4))
    second = torch.load(out / "checkpoint.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert second["drawn"] > first["drawn"]
    assert second["spent"] >= 0.6
    steps = [record["step"] for record in log.read(out / "log.jsonl")]
    assert steps == [first["step"], second["step"]]
    assert Detector(out / "detector.onnx")(np.zeros((32, 32, 3), np.uint8)) == []
