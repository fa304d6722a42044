import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate import metrics

rng = np.random.default_rng(0)


def points(frames=40, count=12):
    return 200 + rng.normal(size=(frames, count, 2)).cumsum(0)


def test_ssme_worked_by_hand():
    """Three frames, two points that truly rest; the prediction of the first goes 0, 3, 7 along x.

    Horizon 1: errors of the first point 3 and 4, of the second 0: frames mean 1.5 and 2, together 1.75.
    Horizon 2: 7 and 0: 3.5. Mean of both horizons: 2.625; of the first point alone 3.5, 7 and 5.25.
    """
    gt = np.full((3, 2, 2), 50.0)
    pred = gt.copy()
    pred[:, 0, 0] += [0, 3, 7]
    regions = {"face": np.array([True, True]), "eyes": np.array([True, False])}
    e = metrics.ssme(pred, gt, regions, 2)
    np.testing.assert_allclose(e["face"].curve, [1.75, 3.5])
    np.testing.assert_allclose(e["eyes"].curve, [3.5, 7])
    assert e["face"].mean == pytest.approx(2.625)
    assert e["eyes"].mean == pytest.approx(5.25)


def test_ssme_of_visible_points_and_weights_worked_by_hand():
    """As above; a point counts by what it is in the first of the two frames."""
    gt = np.full((3, 2, 2), 50.0)
    pred = gt.copy()
    pred[:, 0, 0] += [0, 3, 7]
    visible = np.array([[True, True], [False, True], [True, True]])
    # Frame 0 -> 1: (3 + 0) / 2; frame 1 -> 2: the second point alone, 0; frame 0 -> 2: (7 + 0) / 2.
    np.testing.assert_allclose(metrics.ssme(pred, gt, None, 2, visible)["all"].curve, [0.75, 3.5])
    weights = np.array([[3, 1], [1, 0], [0, 0.0]])
    # (3 x 3 + 0) / 4 and 4 / 1; then (3 x 7 + 0) / 4.
    np.testing.assert_allclose(metrics.ssme(pred, gt, None, 2, weights)["all"].curve, [(2.25 + 4) / 2, 5.25])


def test_ssme_sees_motion_only():
    gt, pred = points(), points()
    e = metrics.ssme(pred, gt, None, 10)["all"]
    shifted = metrics.ssme(pred + np.array([40, -3]), gt + np.array([7, 5]), None, 10)["all"]
    np.testing.assert_allclose(shifted.curve, e.curve)
    offset = metrics.ssme(gt + rng.normal(size=(1, 12, 2)), gt, None, 10)["all"]
    np.testing.assert_allclose(offset.curve, 0, atol=1e-9)
    np.testing.assert_allclose(metrics.ssme(3 * pred, 3 * gt, None, 10)["all"].curve, 3 * e.curve)
    backwards = metrics.ssme(pred[::-1], gt[::-1], None, 10)["all"]
    np.testing.assert_allclose(backwards.curve, e.curve)
    order = rng.permutation(12)
    np.testing.assert_allclose(metrics.ssme(pred[:, order], gt[:, order], None, 10)["all"].curve, e.curve)


def test_the_order_of_frames_matters_to_motion_and_not_to_distance():
    gt, pred = points(), points()
    order = rng.permutation(40)
    lengths = np.full(40, 100.0)
    for moving in (lambda p, g: metrics.ssme(p, g)["all"].mean, metrics.nmf, metrics.stability):
        assert moving(pred[order], gt[order]) != pytest.approx(moving(pred, gt), rel=1e-3)
    still = metrics.nme(pred[order], gt[order], lengths)
    assert still == pytest.approx(metrics.nme(pred, gt, lengths))
    assert metrics.jitter(pred[order], lengths) != pytest.approx(metrics.jitter(pred, lengths), rel=1e-3)


def test_ssme_is_that_of_plain_loops():
    gt, pred = points(9, 5), points(9, 5)
    gt[3, 2], gt[7] = np.nan, np.nan
    weights = rng.random((9, 5))
    region = np.array([True, True, True, False, True])
    expected = []
    for h in range(1, 13):
        frames = []
        for t in range(9 - h):
            d, w = [], []
            for v in np.flatnonzero(region):
                truth = gt[t + h, v] - gt[t, v]
                if np.isfinite(truth).all():
                    d.append(np.linalg.norm(pred[t + h, v] - pred[t, v] - truth))
                    w.append(weights[t, v])
            if d:
                frames.append(np.average(d, weights=w))
        expected.append(np.mean(frames) if frames else np.nan)
    e = metrics.ssme(pred, gt, {"some": region}, 12, weights)["some"]
    np.testing.assert_allclose(e.curve, expected)
    assert np.isnan(e.curve[8:]).all()
    assert e.mean == pytest.approx(np.nanmean(expected))


def test_ssme_of_white_noise_is_flat_and_of_drift_grows():
    """Noise of deviation 1: differences have a mean length of sqrt(2) sqrt(pi / 2) at any horizon."""
    gt = np.zeros((60, 400, 2))
    noise = metrics.ssme(rng.normal(size=gt.shape), gt)["all"]
    np.testing.assert_allclose(noise.curve, np.sqrt(np.pi), rtol=0.05)
    drift = metrics.ssme(gt + 0.5 * np.arange(60)[:, None, None] * [0, 1], gt)["all"]
    np.testing.assert_allclose(drift.curve, 0.5 * np.arange(1, 31))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: metrics.ssme(np.ones((4, 3, 3)), np.ones((4, 3, 3))), r"give \(T, V, 2\)"),
        (lambda p: metrics.ssme(p, p, horizons=0), "at least 1 frame"),
        (lambda p: metrics.ssme(p, p, {"nose": np.arange(12)}), "bool masks"),
        (lambda p: metrics.ssme(p, p, visible=-np.ones((40, 12))), "weights >= 0"),
        (lambda p: metrics.ssme(p * np.nan, p), "not finite at 480 points"),
        (lambda p: metrics.ssim(p[0], p), "same"),
        (lambda p: metrics.ssim(p, p, np.ones(40, bool)), "mask must be bool"),
    ],
)
def test_wrong_input_is_answered_with_the_rule(call, message):
    with pytest.raises(InputError, match=message):
        call(points())


def test_ssim_of_flat_images_worked_by_hand():
    """Without variance only the means count: (2 a b + C1) / (a^2 + b^2 + C1), C1 = 2.55^2."""
    a, b = np.full((20, 30, 3), 100.0), np.full((20, 30, 3), 150.0)
    c1 = 2.55**2
    assert metrics.ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))
    assert metrics.ssim(a.astype(np.uint8), a.astype(np.uint8)) == pytest.approx(1)


def slow_ssim(a, b, mask):
    """Equation 13 of Wang et al. pixel by pixel, windows cut to the mask."""
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    out = []
    for i, j in np.argwhere(mask):
        rows, cols = slice(max(i - 5, 0), i + 6), slice(max(j - 5, 0), j + 6)
        w = window[max(5 - i, 0) :, max(5 - j, 0) :]
        w = w[: mask[rows, cols].shape[0], : mask[rows, cols].shape[1]] * mask[rows, cols]
        w = w / w.sum()
        p, q = a[rows, cols], b[rows, cols]
        mp, mq = (w * p).sum(), (w * q).sum()
        pp, qq, pq = (w * p * p).sum() - mp**2, (w * q * q).sum() - mq**2, (w * p * q).sum() - mp * mq
        c1, c2 = 2.55**2, 7.65**2
        out.append((2 * mp * mq + c1) * (2 * pq + c2) / ((mp**2 + mq**2 + c1) * (pp + qq + c2)))
    return np.mean(out)


def test_ssim_is_that_of_plain_loops():
    a = rng.uniform(0, 255, (18, 22))
    b = np.clip(a + rng.normal(size=a.shape) * 30, 0, 255)
    mask = np.hypot(*np.mgrid[-9:9, -11:11]) < 8
    assert metrics.ssim(a, b, mask) == pytest.approx(slow_ssim(a, b, mask), abs=1e-9)
    assert metrics.ssim(a, b) == pytest.approx(slow_ssim(a, b, np.ones_like(mask)), abs=1e-9)
    three = metrics.ssim(np.dstack([a, b, a]), np.dstack([b, b, b]), mask)
    assert three == pytest.approx((2 * slow_ssim(a, b, mask) + 1) / 3, abs=1e-9)


def test_ssim_sees_nothing_outside_the_render_and_no_order():
    a, b = rng.uniform(0, 255, (2, 24, 24, 3))
    mask = np.zeros((24, 24), bool)
    mask[5:15, 8:20] = True
    inside = metrics.ssim(a, b, mask)
    assert metrics.ssim(b, a, mask) == pytest.approx(inside)
    changed = np.where(mask[..., None], a, np.nan)
    assert metrics.ssim(changed, b, mask) == pytest.approx(inside)
    moved = [np.roll(i, (3, -2), (0, 1)) for i in (a, b, mask)]
    assert metrics.ssim(*moved) == pytest.approx(inside)
    assert metrics.ssim(a, a, mask) == pytest.approx(1)
    assert metrics.ssim(a + 5 * rng.normal(size=a.shape), a, mask) > metrics.ssim(b, a, mask)
    assert np.isnan(metrics.ssim(a, b, np.zeros((24, 24), bool)))
