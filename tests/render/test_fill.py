import numpy as np

from steadyface.render.fill import push_pull


def test_what_is_known_stays_and_gaps_follow_their_surroundings():
    rng = np.random.default_rng(0)
    image = np.full((48, 40, 3), 50, np.float32)
    image[:, 20:] = 150
    weight = (rng.random((48, 40)) < 0.3).astype(np.float32)
    filled = push_pull(image, weight)
    np.testing.assert_allclose(filled[weight == 1], image[weight == 1], atol=1e-3)
    assert np.abs(filled[:, :12] - 50).max() < 20
    assert np.abs(filled[:, 28:] - 150).max() < 20
    assert filled.min() > 49
    assert filled.max() < 151


def test_one_colour_fills_everything():
    weight = np.zeros((33, 17), np.float32)
    weight[5, 3] = 1
    np.testing.assert_allclose(push_pull(np.full((33, 17, 2), 7, np.float32), weight), 7, atol=1e-3)
    assert (push_pull(np.ones((9, 9, 1), np.float32), np.zeros((9, 9), np.float32)) == 0).all()
