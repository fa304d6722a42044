import numpy as np
import pytest

from steadyface.detect.detector import Detection
from steadyface.learn.measure_detector import agrees, match_picture


def detection(x, y, size, score=0.9):
    return Detection(np.array([x, y], float), float(size), score, 0.0)


@pytest.mark.parametrize(
    ("x", "size", "expected"),
    [
        (100, 100, True),
        (114, 100, True),
        (116, 100, False),
        (100, 124, True),
        (100, 126, False),
        (100, 79, False),
    ],
)
def test_agreement_ends_at_a_share_of_the_side_and_a_ratio_of_sizes(x, size, expected):
    assert agrees(detection(x, 50, size), np.array([100, 50]), 100.0) is expected


def test_match_picture_finds_faces_counts_false_alarms_and_forgives_hidden_faces():
    faces = np.array([[50, 50, 40, 0, 1, 1], [150, 50, 40, 0, 1, 1], [200, 200, 60, 0, 0.3, 0]])
    detections = [detection(52, 50, 42), detection(201, 199, 60), detection(100, 220, 30)]
    found, false = match_picture(detections, faces)
    assert found.tolist() == [0, -1, 1]
    assert false == [2]
