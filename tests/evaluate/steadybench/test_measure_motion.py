"""The tool that measures the spectra which the heads move by."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from steadyface.evaluate.steadybench.motion import PIVOT_MM, load_spectra, random_series
from steadyface.face_model.morphable import load_face_model
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler
from steadyface.track import Track

TOOL = Path(__file__).resolve().parents[3] / "tools" / "measure_motion.py"
FPS = 25.0


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("measure_motion", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_powers_of_a_spectrum_sum_to_the_variance(tool):
    series = np.random.default_rng(0).normal(0, [[1.0, 3.0]], (4000, 2))
    frequency, density = tool.tapered_spectrum(series, FPS)
    np.testing.assert_allclose(density.sum(0) * frequency[0], [1, 9], rtol=0.1)
    # White: the same at all frequencies.
    np.testing.assert_allclose(density[:1000].mean(0), density[1000:].mean(0), rtol=0.15)


def test_motion_is_found_again_under_jitter(tool):
    spectra = load_spectra()
    asked = spectra.shape[:1] * 4.0
    measured, jitters = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        series = random_series(spectra.frequency_hz, asked, 300, FPS, rng) + rng.normal(0, 0.5, (300, 1))
        spectrum, jitter = tool.clip_spectrum(series, FPS)
        measured.append(spectrum[:, 0])
        jitters.append(jitter[0])
    # White noise of this deviation has so much power in each of 12.5 Hz.
    assert np.mean(jitters) == pytest.approx(0.25 / 12.5, rel=0.15)
    band = (tool.FREQUENCIES > 0.5) & (tool.FREQUENCIES < 2.5)
    np.testing.assert_allclose(np.mean(measured, 0)[band], asked[0][band], rtol=0.3)


def test_what_a_clip_is_too_short_for_is_not_said(tool):
    series = np.random.default_rng(0).normal(0, 1, (50, 6))
    spectrum, _ = tool.clip_spectrum(series, FPS)
    assert np.isnan(spectrum[tool.FREQUENCIES < 0.5]).all()
    assert np.isfinite(spectrum[tool.FREQUENCIES > 0.5]).all()


def test_a_head_that_only_turns_does_not_move_its_neck(tool):
    t = 20
    angles = np.column_stack([0.1 * np.sin(np.arange(t)), 0.3 * np.cos(np.arange(t)), np.zeros(t)])
    rotation = matrix_from_euler(angles)
    model = load_face_model()
    # Weak perspective: pixel = 2 * (R x + translation), the neck's top held at one place.
    origin = np.array([10.0, 20, 300]) - rotation @ np.array(PIVOT_MM)
    track = Track.from_image_pose(
        frame_index=np.arange(t),
        time_s=np.arange(t) / FPS,
        rotation=axis_angle_from_matrix(rotation),
        translation=2 * origin[:, :2] + np.array([320, 240]),
        scale=np.full(t, 2.0),
        identity=np.zeros(model.identity_count),
        expression=np.zeros((t, model.expression_count)),
        sigma=np.zeros((t, 68)),
        confidence=np.ones(t),
        image_size=(640, 480),
        fps=FPS,
        model=model,
    )
    series = tool.head_series(track)
    np.testing.assert_allclose(series[:, :3], angles, atol=1e-6)
    np.testing.assert_allclose(series[:, 3:5], np.broadcast_to([10, 20], (t, 2)), atol=1e-3)
