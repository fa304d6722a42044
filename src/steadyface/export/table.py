"""Tracks as CSV tables, one row a frame."""

import csv

import numpy as np

from ..output import replacing


def table_columns(track):
    """Names of the columns of `write_csv`, in order.

    `frame` (index in the video, from 0), `time_s`, `confidence`; `interpolated` and `refined` (1 or 0)
    if the track knows; `pitch_deg`, `yaw_deg`, `roll_deg` (looks up, turns to the subject's left, and tilts
    clockwise in the image, where positive); `translation_x_mm`,
    `_y_mm`, `_z_mm` (camera frame); `scale_px_per_mm`; the expressions by name, 0 to 1; then for each
    iBUG-68 point `landmark_00_x`, `_y` (px), `_z` (depth from the head's origin, px, negative towards the
    camera) and `_sigma` (px).
    """
    pose = ["pitch_deg", "yaw_deg", "roll_deg"]
    translation = [f"translation_{axis}_mm" for axis in "xyz"]
    points = [f"landmark_{i:02d}_{part}" for i in range(68) for part in ("x", "y", "z", "sigma")]
    first = ["frame", "time_s", "confidence", *_known(track), *pose, *translation, "scale_px_per_mm"]
    return [*first, *track.model.expression_names, *points]


def write_csv(track, path):
    """Write a track as a table with the columns of `table_columns`, whole or not at all.

    Raises OutputError if the file cannot be written.
    """
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table_columns(track))
        known = _known(track)
        angles = np.rad2deg(track.head_angles)
        for i in range(len(track)):
            points = np.column_stack([track.landmarks("ibug68", i), track.sigma[i]])
            numbers = [*angles[i], *track.translation[i], track.scale[i]]
            writer.writerow(
                [
                    track.frame_index[i],
                    f"{track.time_s[i]:.6f}",
                    f"{track.confidence[i]:.4f}",
                    *(int(flags[i]) for flags in known.values()),
                    *(f"{v:.4f}" for v in numbers),
                    *(f"{v:.4f}" for v in track.expression[i]),
                    *(f"{v:.3f}" for v in points.ravel()),
                ]
            )


def _known(track):
    """What the track knows of every frame: names and (T,) bool."""
    flags = {name: getattr(track, name) for name in ("interpolated", "refined")}
    return {name: values for name, values in flags.items() if values is not None}
