"""Scores against datasets that have scans or tracked meshes and a calibrated camera, but no landmarks."""

import numpy as np

from ..errors import InputError
from ..face_model.mediapipe import INNER_51
from .metrics import jitter
from .scores import Scores
from .surface_metrics import IBUG_7, neutral_error
from .surface_scores import seven_points, spread_frames

#: Among so many scan vertices nearest to a point in the image, the one in front is the one that is seen.
_NEAREST = 12


def seen_points(pixels, vertices, calibration):
    """The vertices of a scan that a calibrated camera sees at pixels: (N, 3) in the camera frame.

    pixels: (N, 2); vertices: (G, 3) in the calibration's world; calibration: `Calibration`. Of the vertices
    whose images are nearest to a pixel the one closest to the camera is taken.
    """
    camera = calibration.to_camera(np.asarray(vertices, float))
    ahead = np.flatnonzero(np.isfinite(camera).all(1) & (camera[:, 2] > 0))
    if not len(ahead):
        raise InputError("no vertex of the scan lies before the camera: is the calibration the scan's?")
    image = calibration.project(np.asarray(vertices, float)[ahead])
    out = []
    for pixel in pixels:
        away = ((image - pixel) ** 2).sum(1)
        near = np.argpartition(away, min(_NEAREST, len(away)) - 1)[:_NEAREST]
        out.append(camera[ahead[near[np.argmin(camera[ahead[near], 2])]]])
    return np.array(out)


def scan_error(prediction, i, mesh, calibration, model):
    """How far a scan is from frame i of a prediction: (median, mean, deviation), percent of the scan's eyes.

    As `neutral_error` (of the scan, the part around the nose counts; pose and size are aligned), but of the
    face as it is, in percent of the distance of the scan's outer eye corners, for scans have units of their
    own. The scan's seven points are those that the camera sees where the prediction has its own. None if the
    method has no surface whose seven points are known.
    """
    if prediction.vertices is None:
        return None
    vertices = np.asarray(prediction.vertices[i], float)
    points = seven_points(vertices, model)
    pixels = seven_pixels(prediction, i)
    if points is None or pixels is None:
        return None
    on_scan = seen_points(pixels, mesh.vertices, calibration)
    camera = calibration.to_camera(np.asarray(mesh.vertices, float))
    error = neutral_error(vertices, prediction.triangles, points, camera, on_scan)
    eyes = np.linalg.norm(on_scan[0] - on_scan[3])
    return tuple(100 * v / eyes for v in (error.median, error.mean, error.std))


def seven_pixels(prediction, i):
    """The points of `KEYPOINTS_7` of frame i in the image, (7, 2); None if the mark-ups do not have them."""
    for markup, which in (("ibug68", IBUG_7), ("mediapipe478", np.array(INNER_51)[IBUG_7 - 17])):
        if markup in prediction.points:
            return np.asarray(prediction.points[markup], float)[i, which, :2]
    return None


def score_scans(prediction, meshes, calibrations, model, moving):
    """The `Scores` of a prediction of T frames: found, scan_median, scan_mean, scan_std, and of clips jitter.

    meshes: T functions that give the `Mesh` of a frame; calibrations: T of them; moving: whether the frames
    are of one clip, of which a few then stand for all.
    """
    found = np.asarray(prediction.found)
    rows = spread_frames(found) if moving else np.flatnonzero(found)
    errors = [scan_error(prediction, i, meshes[i](), calibrations[i], model) for i in rows]
    values = {"found": 100 * float(found.mean()), "memory_mb": float(prediction.memory_mb)}
    known = np.array([e for e in errors if e is not None])
    if len(known):
        names = ("scan_median", "scan_mean", "scan_std")
        values |= dict(zip(names, map(float, known.mean(0)), strict=True))
    if moving and "ibug68" in prediction.points:
        values["jitter"] = jitter(np.asarray(prediction.points["ibug68"], float)[..., :2])
    if prediction.seconds is not None and len(prediction.seconds):
        values["fps"] = 1 / max(float(np.median(prediction.seconds)), 1e-9)
    return Scores(values, {"found": found})
