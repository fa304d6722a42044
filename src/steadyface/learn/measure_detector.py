"""Measures the detector: ``python -m steadyface.learn.measure_detector --model runs/detector/detector.onnx``.

On composites of held-out portraits against their labels, and on video clips against landmarks, as they
are and turned, scaled, darkened.
"""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ..detect.detector import Detector
from .detector_data import Composer, crops_from_landmarks, read_portraits, reference_shape

CENTER_LIMIT = 0.15
SIZE_LIMITS = (0.8, 1.25)


def agrees(detection, center, side):
    """Whether a detection is the face: centre within 0.15 side, size ratio in 0.8..1.25."""
    near = np.hypot(*(detection.center - center)) <= CENTER_LIMIT * side
    return bool(near and SIZE_LIMITS[0] <= detection.size / side <= SIZE_LIMITS[1])


def match_picture(detections, faces):
    """One picture's found faces and false alarms.

    faces: (M, 6) as `Composer.draw` returns. Returns (found (M,) index of the best detection within 0.3
    side and a factor 1.6, or -1; indices of detections that are no face at all, not even a hidden one).
    """
    found = np.full(len(faces), -1)
    explained = set()
    for k, (x, y, side, *_) in enumerate(faces):
        for index, d in enumerate(detections):
            if np.hypot(*(d.center - (x, y))) < 0.3 * side and 1 / 1.6 < d.size / side < 1.6:
                found[k] = index if found[k] < 0 else found[k]
                explained.add(index)
    return found, [i for i in range(len(detections)) if i not in explained]


def measure_composites(detector, portraits, count=1000, seed=1):
    """Recall by size, false alarms and errors on fresh composites.

    Returns a dict: recall and its values by side in px of the 256 px picture, precision, false alarms a
    picture, and medians of the errors: centre and side in shares of the side, roll in degrees.
    """
    composer = Composer(portraits, seed=seed, backgrounds=200)
    rng = np.random.default_rng(seed)
    rows, alarms, total = [], 0, 0
    for _ in range(count):
        image, faces = composer.draw(rng, 256, 256)
        detections = detector(image)
        found, false = match_picture(detections, faces)
        alarms += len(false)
        total += len(detections)
        for face, index in zip(faces, found, strict=True):
            if face[5]:
                d = detections[index] if index >= 0 else None
                rows.append([face[2], face[3], d is not None, *(_errors(d, face) if d else (np.nan,) * 4)])
    table = np.array(rows, float)
    hit = table[:, 2] > 0
    edges = (18, 26, 40, 80, 160, 256, 420)
    sizes = {
        f"{low}-{high}": round(float(hit[(table[:, 0] >= low) & (table[:, 0] < high)].mean()), 4)
        for low, high in pairwise(edges)
    }
    error = np.nanmedian(table[:, 3:], 0)
    return {
        "pictures": count,
        "faces": len(table),
        "recall": round(float(hit.mean()), 4),
        "recall_by_side": sizes,
        "recall_rolled_over_30_degrees": round(float(hit[np.abs(table[:, 1]) > np.radians(30)].mean()), 4),
        "precision": round(1 - alarms / max(total, 1), 4),
        "false_alarms_per_picture": round(alarms / count, 4),
        "center_error": round(float(error[0]), 4),
        "side_error": round(float(error[1]), 4),
        "roll_error_degrees": round(float(error[2]), 2),
        "median_log_size_ratio": round(float(error[3]), 4),
    }


def _errors(d, face):
    turn = np.angle(np.exp(1j * (d.roll - face[3])))
    center = np.hypot(*(d.center - face[:2])) / face[2]
    ratio = np.log(d.size / face[2])
    return center, abs(ratio), abs(np.degrees(turn)), ratio


def measure_clip(detector, path, landmarks, mean, limit=None):
    """Agreement with reference landmarks on one clip.

    landmarks: (T, 478, 3) px. Returns a dict: share of frames whose best detection agrees and whose any
    does, false alarms a frame, median errors, median ms a frame.
    """
    centers, sides, rotations = crops_from_landmarks(landmarks.astype(np.float64), mean)
    rolls = np.arctan2(rotations[:, 1, 0], rotations[:, 1, 1])
    capture = cv2.VideoCapture(str(path))
    best, alarms, errors, spent, scores = [], 0, [], [], []
    for center, side, roll in list(zip(centers, sides, rolls, strict=True))[:limit]:
        ok, frame = capture.read()
        if not ok:
            break
        frame = np.ascontiguousarray(frame[..., ::-1])
        start = time.perf_counter()
        detections = detector(frame)
        spent.append((time.perf_counter() - start) * 1e3)
        good = [agrees(d, center, side) for d in detections]
        best.append(bool(good and good[0]))
        alarms += sum(np.hypot(*(d.center - center)) > 0.3 * side for d in detections)
        if detections:
            scores.append(detections[0].score)
            d, face = detections[0], np.array([*center, side, roll])
            errors.append([*_errors(d, face), *((d.center - center) / side)])
    median = np.median(errors, 0) if errors else np.full(6, np.nan)
    return {
        "frames": len(best),
        "agree": round(float(np.mean(best)), 4),
        "false_alarms_per_frame": round(alarms / max(len(best), 1), 4),
        "lowest_best_score": round(min(scores, default=0.0), 3),
        "center_error": round(float(median[0]), 4),
        "side_error": round(float(median[1]), 4),
        "roll_error_degrees": round(float(median[2]), 2),
        "median_log_size_ratio": round(float(median[3]), 3),
        "median_offset": [round(float(v), 3) for v in median[4:]],
        "ms": round(float(np.median(spent)), 2),
    }


#: Changes of a frame: name, turn in degrees, side of the crop in shares of the frame's long side (0 as it
#: is), colour change.
CHANGES = (
    ("rolled 30 degrees", 30, 0.35, None),
    ("rolled -45 degrees", -45, 0.35, None),
    ("face over the whole frame", 0, 1.1, None),
    ("face of 26 px in the network's picture", 0, 0.1, None),
    ("grey", 0, 0.35, lambda x: cv2.merge([cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)] * 3)),
    ("a sixth of the light", 0, 0.35, lambda x: x // 6),
    ("half the face outside", 0, -0.5, None),
)


def measure_changed(detector, clips, mean, frames=8):
    """Share of changed frames whose best detection agrees, by the change.

    clips: {path: landmarks (T, 478, 3)}. A few frames of each clip are turned, enlarged, shrunk, made grey
    or dark, or pushed half out of the picture.
    """
    hits = {name: [] for name, *_ in CHANGES}
    for path, landmarks in clips.items():
        centers, sides, _ = crops_from_landmarks(landmarks.astype(np.float64), mean)
        capture = cv2.VideoCapture(str(path))
        wanted = set(np.linspace(0, len(sides) - 1, frames).astype(int).tolist())
        for t in range(len(sides)):
            ok, frame = capture.read()
            if not ok:
                break
            if t not in wanted:
                continue
            frame = np.ascontiguousarray(frame[..., ::-1])
            for name, turn, share, recolor in CHANGES:
                side = 512 * abs(share) if share > 0 else 200.0
                where = (256, 256) if share > 0 else (512 - 0.05 * side, 256)
                affine = cv2.getRotationMatrix2D(tuple(centers[t].tolist()), -turn, side / sides[t])
                affine[:, 2] += np.array(where) - centers[t]
                small, scale = frame, side / sides[t]
                while scale < 0.5:
                    small = cv2.resize(
                        small, (small.shape[1] // 2, small.shape[0] // 2), interpolation=cv2.INTER_AREA
                    )
                    affine[:, 2] += 0.5 * affine[:, :2].sum(1)
                    affine[:, :2] *= 2
                    scale *= 2
                picture = cv2.warpAffine(small, affine, (512, 512), borderValue=(127, 127, 127))
                if recolor:
                    picture = recolor(picture)
                found = detector(picture)
                hits[name].append(bool(found and agrees(found[0], np.array(where), side)))
    return {name: round(float(np.mean(h)), 3) for name, h in hits.items()}


def measure_empty(detector, portraits, count=500, seed=2):
    """False alarms a picture on backgrounds and hard negatives alone."""
    composer = Composer(portraits, seed=seed, backgrounds=200)
    rng = np.random.default_rng(seed)
    return sum(len(detector(composer.backgrounds.draw(rng, 256, 256))) for _ in range(count)) / count


def main(
    model: Annotated[Path | None, typer.Option(help="Network; the shipped one by default.")] = None,
    data: Annotated[Path, typer.Option(help="Folder of portraits/, london_smiling/ and videos/.")] = Path(
        "../shared/data"
    ),
    pictures: Annotated[int, typer.Option(help="Composites of held-out portraits.")] = 1000,
    threshold: Annotated[float, typer.Option(help="Lowest score of a detection.")] = 0.45,
):
    """Measure the face detector."""
    cv2.setNumThreads(1)
    detector = Detector(model, threshold)
    mean = reference_shape()
    videos = data / "videos"
    with np.load(videos / "mediapipe478.npz") as points:
        # MediaPipe counts from the picture's edge, here pixel centres are whole numbers.
        clips = {videos / f"{name}.mp4": points[name] - np.array((0.5, 0.5, 0)) for name in points}
    for path, landmarks in clips.items():
        print(path.stem, json.dumps(measure_clip(detector, path, landmarks, mean)), flush=True)
    print(json.dumps(measure_changed(detector, clips, mean), indent=1))
    if pictures:
        folders = [data / "portraits", data / "london_smiling"]
        portraits = read_portraits(folders, mean, held_out=True)
        print("false alarms on an empty picture", measure_empty(detector, portraits))
        print(json.dumps(measure_composites(detector, portraits, pictures), indent=1))


if __name__ == "__main__":
    typer.run(main)
