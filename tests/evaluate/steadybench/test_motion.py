import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.steadybench.motion import (
    CHANNELS,
    MOTIONS,
    PIVOT_MM,
    band_level,
    density_at,
    draw_motion,
    load_spectra,
    minimum_jerk,
    random_series,
)

FPS = 25.0


def test_drawn_series_have_the_spectrum_asked_for():
    spectra = load_spectra()
    count, draws = 1000, 40
    drawn = np.stack(
        [
            random_series(spectra.frequency_hz, spectra.shape, count, FPS, np.random.default_rng(k))
            for k in range(draws)
        ]
    )
    window = np.hanning(count)[:, None]
    density = 2 * np.abs(np.fft.rfft(window * drawn, axis=1)) ** 2 / (FPS * (window**2).sum())
    frequency = np.fft.rfftfreq(count, 1 / FPS)
    for low, high in ((0.4, 0.6), (0.6, 1.2), (1.2, 2.4), (2.4, 4.8)):
        band = (frequency >= low) & (frequency < high)
        asked = [density_at(spectra.frequency_hz, frequency[band], row).mean() for row in spectra.shape]
        np.testing.assert_allclose(density[:, band].mean((0, 1)), asked, rtol=0.25)
    # Nothing moves faster than heads do.
    assert density[:, frequency > 8.5].max() < 1e-3 * density[:, frequency < 4].mean()


def test_measured_shapes_have_unit_power_in_the_band_and_levels_are_ordered():
    spectra = load_spectra()
    assert spectra.shape.shape == (len(CHANNELS), len(spectra.frequency_hz))
    # The median of shapes of unit power has about unit power.
    np.testing.assert_allclose(band_level(spectra.frequency_hz, spectra.shape.T), 1, atol=0.35)
    assert (np.diff(spectra.level, axis=1) >= 0).all()
    # Ordinary heads wander by some degrees and millimetres.
    assert (spectra.level[:3] < 0.2).all()
    assert (spectra.level[3:, 1] > 0.3).all()


def test_minimum_jerk_by_hand():
    t = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(minimum_jerk(t, [(0, 0.0), (1, 2.0)]), [0, 0, 1, 2, 2])
    np.testing.assert_allclose(minimum_jerk(t[:3], [(0, 3.0)]), 3)
    fine = np.linspace(0, 1, 1001)
    path = minimum_jerk(fine, [(0, 0.0), (1, 1.0)])
    speed = np.gradient(path, fine)
    # Flash and Hogan: the greatest speed is 15/8 of the mean one, at the middle; both ends at rest.
    assert speed.max() == pytest.approx(1.875, rel=1e-3)
    assert fine[speed.argmax()] == pytest.approx(0.5, abs=0.01)
    assert max(abs(speed[0]), abs(speed[-1])) < 1e-3


def test_the_neck_is_what_a_head_turns_about():
    motion = draw_motion("sweep", 60, FPS, np.random.default_rng(1))
    rest = np.array([3.0, -5, 700])
    origin = motion.translation(rest)
    neck = origin + motion.rotation @ np.array(PIVOT_MM)
    np.testing.assert_allclose(neck, rest + PIVOT_MM + motion.neck, atol=1e-9)


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_stay_in_range_and_do_not_jump(name):
    for seed in range(12):
        motion = draw_motion(name, 120, FPS, np.random.default_rng(seed))
        degrees = np.rad2deg(motion.angles)
        assert (np.abs(degrees[:, 0]) < 38).all()
        assert (np.abs(degrees[:, 1]) < (88 if name == "profile" else 60)).all()
        assert (np.abs(degrees[:, 2]) < 40).all()
        assert (np.abs(motion.neck) < [100, 60, 130]).all()
        # Degrees a second; nobody turns the head faster than this.
        assert np.abs(np.diff(degrees, axis=0)).max() * FPS < 700
        # A jump would show as an acceleration that lasts one frame.
        assert np.abs(np.diff(degrees, 2, axis=0)).max() < 20


def spread(name, channel):
    motions = [draw_motion(name, 120, FPS, np.random.default_rng(k)) for k in range(12)]
    return np.median([np.rad2deg(np.ptp(m.angles[:, channel])) for m in motions])


def test_each_gesture_moves_its_own_axis():
    assert spread("still", 0) < 3
    assert spread("still", 1) < 4
    assert spread("nod", 0) > 10 > 2 * spread("nod", 2)
    assert spread("shake", 1) > 20
    assert spread("sweep", 1) > 45
    assert spread("roll", 2) > 25
    assert spread("profile", 1) > 100
    farthest = [
        np.rad2deg(np.abs(draw_motion("profile", 120, FPS, np.random.default_rng(k)).angles[:, 1]).max())
        for k in range(12)
    ]
    assert 68 < np.median(farthest) < 80


def test_motion_is_reproducible_and_unknown_classes_are_refused():
    a, b = (draw_motion("free", 50, FPS, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.angles, b.angles)
    with pytest.raises(InputError, match="unknown head motion 'jump': know still, sway"):
        draw_motion("jump", 50, FPS, np.random.default_rng(5))
