import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate import metrics

rng = np.random.default_rng(0)


def face(frames=6, points=68, dims=2):
    return rng.normal(size=(frames, points, dims)) * 40 + 200


def test_nme_of_a_uniform_shift_is_the_shift_over_the_normaliser():
    gt = face()
    gt[:, 36], gt[:, 45] = (100, 100), (200, 100)
    pred = gt + np.array([3, 4])
    assert metrics.nme(pred, gt, "interocular") == pytest.approx(5.0)
    assert metrics.nme(pred, gt, np.full(6, 50.0)) == pytest.approx(10.0)


def test_normalisers_of_a_hand_made_face():
    gt = np.zeros((1, 68, 2))
    gt[0, :, 0] = 5.0
    gt[0, 0], gt[0, 1] = (0, 0), (90, 40)
    gt[0, 36:42] = (10, 20)
    gt[0, 42:48] = (40, 20)
    gt[0, 45] = (58, 20)
    expected = {
        "interocular": 48.0,
        "interpupil": 33.0,
        "bbox_sqrt": 60.0,
        "bbox_diagonal": np.hypot(90, 40),
    }
    assert set(expected) == set(metrics.NORMALIZERS)
    for name, length in expected.items():
        assert metrics.normalizer_of(gt, name) == pytest.approx([length])


def test_box_normalisers_ignore_missing_points_and_depth():
    gt = face(dims=3)
    whole = metrics.normalizer_of(gt, "bbox_sqrt")
    gt[..., 2] *= 100
    inner = np.argsort(np.abs(gt[0, :, :2] - gt[0, :, :2].mean(0)).sum(-1))[:3]
    gt[0, inner] = np.nan
    np.testing.assert_allclose(metrics.normalizer_of(gt, "bbox_sqrt"), whole)
    gt[1] = np.nan
    assert np.isnan(metrics.normalizer_of(gt, "bbox_diagonal")[1])


def test_errors_do_not_depend_on_the_size_of_the_image():
    gt, pred = face(), face()
    for f in (
        lambda p, g: metrics.nme(p, g, "bbox_sqrt"),
        lambda p, g: metrics.nme(p, g, "interpupil"),
        metrics.stability,
        metrics.nmf,
        lambda p, g: metrics.jitter(p),
    ):
        assert f(3 * pred + 7, 3 * gt + 7) == pytest.approx(f(pred, gt))


def test_missing_and_invisible_points_do_not_count():
    gt = face()
    pred = gt + np.array([0.0, 2.0])
    lengths = np.full(6, 100.0)
    gt[2, 5] = np.nan
    gt[4] = np.nan
    pred[1, 7] += 1000
    visible = np.ones((6, 68), bool)
    visible[1, 7] = False
    assert metrics.nme(pred, gt, lengths, visible) == pytest.approx(2.0)
    assert np.isnan(metrics.nme_per_frame(pred, gt, lengths)[4])
    assert metrics.skipped(gt) == 69
    assert metrics.skipped(gt, visible) == 70
    assert metrics.stability(pred, gt, lengths, visible) == pytest.approx(0.0, abs=1e-9)
    assert metrics.nmf(pred, gt, np.full(6, 1e4), visible) == pytest.approx(0.0, abs=1e-6)


def test_a_lost_frame_is_refused_not_skipped():
    gt = face()
    pred = gt.copy()
    pred[3] = np.nan
    with pytest.raises(InputError, match=r"not finite at 68 points.*leave untracked frames out"):
        metrics.nme(pred, gt)


def test_stability_of_alternating_errors():
    gt = face() + np.arange(6)[:, None, None] * 5
    lengths = np.full(6, 100.0)
    sign = np.where(np.arange(6) % 2, 1.0, -1.0)[:, None, None]
    assert metrics.stability(gt + sign * (0, 1.5), gt, lengths) == pytest.approx(3.0)
    # A constant error moves exactly as the truth does.
    assert metrics.stability(gt + 9, gt, lengths) == pytest.approx(0.0, abs=1e-9)


def test_nmf_is_on_ldeqs_scale_and_a_root_mean_square():
    gt = face()
    area = np.full(6, 256.0**2)
    sign = np.where(np.arange(6) % 2, 1.0, -1.0)[:, None, None]
    assert metrics.nmf(gt + sign * (0.65, 0), gt, area) == pytest.approx(130.0)
    # One point of 68 moves by 8 pixels in one frame of the five: sqrt(64 / 68 / 5).
    pred = gt.copy()
    pred[5, 10, 1] += 8
    assert metrics.nmf(pred, gt, area) == pytest.approx(100 * np.sqrt(64 / 68 / 5))


def test_ced_and_auc_of_errors_known_by_hand():
    grid, share = metrics.ced([1.0, 2.0, np.inf, np.nan, 3.0], 8)
    assert grid[1] - grid[0] == pytest.approx(0.01)
    assert np.interp([0.5, 1.5, 2.5, 8], grid, share) == pytest.approx([0, 25, 50, 75])
    auc, failures = metrics.auc_fr([1.0, 2.0, np.inf, np.nan, 3.0], 8)
    assert auc == pytest.approx(100 * (7 + 6 + 5) / 4 / 8, abs=0.2)
    assert failures == pytest.approx(25)
    assert metrics.auc_fr(np.zeros(3), 4) == pytest.approx((100, 0))
    assert metrics.auc_fr([9.0], 8) == pytest.approx((0, 100))


def test_auc_of_uniform_errors_is_half_and_odd_grids_agree():
    errors = np.linspace(0, 8, 100001)
    assert metrics.auc_fr(errors, 8)[0] == pytest.approx(50, abs=0.01)
    odd = metrics.auc_fr(errors, 7.99)[0]
    assert odd == pytest.approx(100 * 7.99 / 8 / 2, abs=0.01)
    assert len(metrics.ced(errors, 7.99)[0]) % 2 == 1


def test_jitter_ignores_constant_acceleration_and_counts_noise():
    t = np.arange(40.0)[:, None, None]
    smooth = face(1) + t * (3, -2) + t**2 * (0.1, 0.3)
    lengths = np.full(40, 50.0)
    assert metrics.jitter(smooth, lengths) == pytest.approx(0, abs=1e-9)
    many = np.zeros((400, 500, 2)) + rng.normal(size=(400, 500, 2)) * 0.7
    # Mean length of a standard-normal 2D vector is sqrt(pi / 2).
    expected = 100 * 0.7 * np.sqrt(18 / 35) * np.sqrt(np.pi / 2) / 50
    assert metrics.jitter(many, np.full(400, 50.0)) == pytest.approx(expected, rel=0.01)


def test_jitter_of_one_jump_worked_by_hand():
    x = np.zeros((9, 1, 2))
    x[4, 0, 0] = 35.0
    # |residuals| of an impulse of 35: 3, 12, 18, 12, 3 over the five windows, each over a length of 10.
    assert metrics.jitter(x, np.full(9, 10.0)) == pytest.approx(100 * 48 / 5 / 10)


def test_jitter_skips_gaps():
    x = rng.normal(size=(30, 4, 2))
    lengths = np.full(30, 10.0)
    gap = x.copy()
    gap[12:15] = np.nan
    parts = [metrics.jitter(p, np.full(len(p), 10.0)) for p in (x[:12], x[15:])]
    assert metrics.jitter(gap, lengths) == pytest.approx(np.average(parts, weights=[8, 11]))
    assert np.isnan(metrics.jitter(x[:4], lengths[:4]))


def motion(t):
    phases = np.array([[0.0, 1.0], [0.5, 2.0], [3.0, 0.2]])
    t = np.asarray(t, float)[:, None, None]
    return 20 * np.sin(0.35 * t + phases) + 9 * np.sin(0.83 * t + 2 * phases) + 100


@pytest.mark.parametrize("delay", [-2.0, 0.0, 0.3, 1.0, 1.5, 4.0])
def test_lag_finds_a_known_delay(delay):
    t = np.arange(120)
    assert metrics.lag(motion(t - delay), motion(t)) == pytest.approx(delay, abs=0.03)


def test_lag_of_a_moving_average_is_its_group_delay():
    t = np.arange(200)
    x = motion(t)
    averaged = (x[2:] + x[1:-1] + x[:-2]) / 3
    assert metrics.lag(averaged, x[2:]) == pytest.approx(1.0, abs=0.03)


def test_lag_is_antisymmetric_and_survives_gaps_and_noise():
    t = np.arange(150)
    late, sharp = motion(t - 0.7), motion(t)
    assert metrics.lag(late, sharp) == pytest.approx(-metrics.lag(sharp, late), abs=1e-6)
    late[50:56] = np.nan
    noisy = sharp + rng.normal(size=sharp.shape)
    assert metrics.lag(late, noisy) == pytest.approx(0.7, abs=0.1)


def test_lag_of_a_still_or_short_track_is_unknown():
    assert np.isnan(metrics.lag(np.ones((50, 3, 2)), np.ones((50, 3, 2))))
    assert np.isnan(metrics.lag(motion(np.arange(5)), motion(np.arange(5))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.nme(face(), face(), "pupils"), "know interocular, interpupil, bbox_sqrt"),
        (lambda: metrics.nme(face(points=51), face(points=51)), "needs the 68 iBUG points, got 51"),
        (lambda: metrics.nme(face(), face(), np.ones(5)), r"one length a frame, \(6,\), got \(5,\)"),
        (lambda: metrics.nme(face(), face(points=67)), r"\(T, L, 2\) or \(T, L, 3\), got"),
        (lambda: metrics.nme(face(), face(), visible=np.ones(68)), r"visible must be \(T, L\)"),
        (lambda: metrics.lag(face(), face(5)), r"same \(T, L, D\)"),
        (lambda: metrics.jitter(np.ones((5, 2))), r"\(T, L, D\), got \(5, 2\)"),
        (lambda: metrics.ced([np.nan], 8), "at least one error"),
    ],
)
def test_wrong_input_is_answered_with_the_rule(call, message):
    with pytest.raises(InputError, match=message):
        call()
