"""Power spectra of natural head motion, from short clips: what SteadyBench's heads move by.

python tools/measure_motion.py [--videos ../shared/data/videos]
    [--out src/steadyface/evaluate/steadybench/motion_spectra.json]

Each clip is tracked without the filter, which would take away the fast part of the motion. Six series are
kept: pitch, yaw and roll (radians), and where the top of the neck goes (millimetres; measured there, a turn
of the head moves nothing). Their spectra are estimated with sine tapers (Riedel and Sidorenko 1995), the
network's jitter, white as far as can be seen, is taken off, and of the clips only quartiles are written: no
clip's motion can be had back from them.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from steadyface.evaluate.steadybench.motion import BAND_HZ, CHANNELS, PIVOT_MM, band_level
from steadyface.pipeline import track
from steadyface.rotation import euler_from_matrix, matrix_from_axis_angle
from steadyface.video import read_video

#: Frequencies of the written spectra, Hz.
FREQUENCIES = np.round(np.geomspace(0.15, 10, 22), 3)
#: Above this, Hz, all that is measured is taken for jitter: heads hardly move so fast.
JITTER_FROM = 8.5
TAPERS = 4


def head_series(found):
    """Pitch, yaw, roll in radians and x, y, z of the neck's top in mm of a track: (T, 6)."""
    rotation = matrix_from_axis_angle(found.rotation.astype(float))
    neck = found.translation + rotation @ np.array(PIVOT_MM)
    # Under weak perspective the image only tells pixels: millimetres are those of the middle distance.
    neck[:, :2] = (
        found.scale[:, None] * neck[:, :2] + found.center - np.array(found.image_size) / 2
    ) / np.median(found.scale)
    return np.column_stack([np.unwrap(euler_from_matrix(rotation), axis=0), neck])


def tapered_spectrum(series, fps, tapers=TAPERS):
    """One-sided power spectral densities of series.

    series: (T, C); fps: of it. Returns frequencies (F,) Hz without 0 and densities (F, C) per Hz, whose sum
    times the step is the variance.
    """
    count = len(series)
    steps = np.arange(1, count + 1)[:, None]
    taper = np.sqrt(2 / (count + 1)) * np.sin(np.pi * np.arange(1, tapers + 1) * steps / (count + 1))
    centred = series - series.mean(0)
    transformed = np.fft.rfft(taper[:, :, None] * centred[:, None], axis=0)
    density = 2 * (np.abs(transformed) ** 2).mean(1) / fps
    return np.fft.rfftfreq(count, 1 / fps)[1:], density[1:]


def clip_spectrum(series, fps):
    """Densities (F, C) at `FREQUENCIES` less jitter, NaN where the clip is too short, and the jitter (C,)."""
    frequency, density = tapered_spectrum(series, fps)
    jitter = np.median(density[frequency >= JITTER_FROM], axis=0)
    resolved = 1 / (len(series) / fps) <= FREQUENCIES
    out = np.full((len(FREQUENCIES), density.shape[1]), np.nan)
    for channel in range(density.shape[1]):
        smooth = np.exp(np.interp(FREQUENCIES, frequency, np.log(density[:, channel] + 1e-12)))
        out[:, channel] = np.where(resolved, np.maximum(smooth - jitter[channel], 0), np.nan)
    return out, jitter


def measure(videos):
    """The table of the spectra of all clips of a folder: see `motion_spectra.json`."""
    spectra, levels, jitters, seconds = [], [], [], 0.0
    for path in sorted(Path(videos).glob("*.mp4")):
        with read_video(path) as reader:
            fps = reader.info.fps
        found = track(path, "live", max_faces=1, filter=None, note=print)[0]
        if np.any(np.diff(found.frame_index) != 1):
            print(f"{path.name}: left out, for its track has gaps")
            continue
        series = head_series(found)
        spectrum, jitter = clip_spectrum(series, fps)
        level = band_level(FREQUENCIES, np.nan_to_num(spectrum), BAND_HZ)
        # Clips move more or less and are long or short: compare the shapes of their spectra apart from that.
        spectra.append(spectrum / level**2)
        levels.append(level)
        jitters.append(jitter)
        seconds += len(series) / fps
        print(path.name, len(series), "frames, deviations", np.round(series.std(0), 3))
    low, median, high = np.nanpercentile(np.stack(spectra), (25, 50, 75), axis=0)
    level = np.percentile(np.stack(levels), (25, 50, 75), axis=0)
    return {
        "what": "head motion: shapes of power spectral densities (power 1 within the band) and levels (root "
        "mean square within the band); quartiles over clips, jitter taken off",
        "made_by": "tools/measure_motion.py",
        "clips": len(spectra),
        "seconds": round(seconds, 1),
        "pivot_mm": list(PIVOT_MM),
        "band_hz": list(BAND_HZ),
        "frequency_hz": FREQUENCIES.tolist(),
        "channels": {
            name: {
                "level_unit": "rad" if k < 3 else "mm",
                "level": _rounded(level[:, k]),
                "jitter": _rounded([np.sqrt(np.median(jitters, axis=0)[k])])[0],
                "shape_low": _rounded(low[:, k]),
                "shape": _rounded(median[:, k]),
                "shape_high": _rounded(high[:, k]),
            }
            for k, name in enumerate(CHANNELS)
        },
    }


def _rounded(values):
    return [float(f"{v:.3g}") for v in values]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", default="../shared/data/videos")
    parser.add_argument("--out", default="src/steadyface/evaluate/steadybench/motion_spectra.json")
    args = parser.parse_args()
    Path(args.out).write_text(json.dumps(measure(args.videos), indent=1) + "\n")


if __name__ == "__main__":
    main()
