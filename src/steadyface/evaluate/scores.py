"""All scores of one method on one clip: a `Prediction` against what is known of the clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .metrics import auc_fr, jitter, lag, nme_per_frame, nmf, ssme, stability
from .pose_scores import rotation_error, rotations_of_points, steady_points, zero_pose
from .reference import COMMON, Reference, common_points
from .surface_scores import dense_motion, surface_errors

#: Errors above it, percent of the inter-ocular distance, are failures.
FAILURE = 8.0
#: Regions of the face model whose points are scored on their own.
REGIONS = ("face", "eyes", "nose", "mouth")
#: Column of each mark-up's own error.
OWN = {"ibug68": "68", "mediapipe478": "478"}


@dataclass(frozen=True, eq=False)
class Scores:
    """values: name to figure of the clip, NaN where it cannot be told; frames: name to array over T frames.

    Names and meanings are those of `score`; frames hold found (T,), error (T,) and, by mark-up, error_68
    and error_478 (T,), percent of the inter-ocular distance, NaN where not found; per_bbox_sqrt and
    per_bbox_diagonal (T,), by which those errors become percent of a box; residual (T, 51, 2) in
    inter-ocular distances; and, where known, rotation (T, 3, 3) and yaw (T,) degrees of the truth.
    """

    values: Mapping[str, float]
    frames: Mapping[str, np.ndarray]


def score(prediction, reference: Reference):
    """The `Scores` of a `Prediction` against a `Reference` of as many frames.

    Of points, compared on the 51 that all mark-ups share unless said: found, percent of the frames; nme,
    nme_68, nme_478 over the frames found (also with _bbox_sqrt and _bbox_diagonal); auc and fr at `FAILURE`,
    a frame without a face being a failure. Of motion: nmf, stability, jitter and jitter_truth, lag, frames
    behind the truth; ssme_51_REGION, pixels, and ssme_478_REGION, ssme_dense_REGION where the method has
    such points. Of the rendered truth: angle and angle_offset_free, degrees; expression, mean absolute
    difference of the coefficients that both know; chamfer_REGION mm over the covered percent of the face;
    normals, degrees. Of the program:
    fps, frames a second at the median frame, and memory_mb. Raises InputError if the numbers of frames
    differ or the two share no mark-up.
    """
    if len(prediction.found) != len(reference):
        raise InputError(
            f"{prediction.method} has {len(prediction.found)} frames and the clip {len(reference)}: "
            "a prediction must hold every frame, found or not"
        )
    values, frames = _point_scores(prediction, reference)
    if reference.moving:
        values |= _motion_scores(prediction, reference)
    if reference.rotation is not None:
        values |= _pose_scores(prediction, reference)
    if reference.truth is not None:
        values |= _expression_scores(prediction, reference.truth)
        values |= surface_errors(prediction, reference.truth, REGIONS)
    if prediction.seconds is not None and len(prediction.seconds):
        median = float(np.median(prediction.seconds))
        values["fps"] = 1 / median if median > 0 else float("nan")
    values["memory_mb"] = float(prediction.memory_mb)
    return Scores(values, frames)


def pair_common(prediction, reference):
    """The 51 shared points of both, (T, 51, 2) px each, and the mark-up of the truth's.

    In the method's own mark-up if the truth knows it, else in whatever each has. Raises InputError if one
    has none of `COMMON`.
    """
    for markup, which in COMMON.items():
        if markup in prediction.points and markup in reference.landmarks:
            pred, true = (
                np.asarray(points[markup], float)[:, which, :2]
                for points in (prediction.points, reference.landmarks)
            )
            return pred, true, markup
    pred, true = common_points(prediction.points), common_points(reference.landmarks)
    if pred is None or true is None:
        raise InputError(
            f"{prediction.method} gives {', '.join(prediction.points)} and the dataset is marked up with "
            f"{', '.join(reference.landmarks)}: points are compared in {', '.join(COMMON)}"
        )
    return pred[1], true[1], true[0]


def _errors(pred, true, lengths, found):
    """Mean point distance of each frame over its length, percent, (T,); NaN where not found or no truth."""
    return nme_per_frame(pred, np.where(found[:, None, None], true, np.nan), lengths)


def _point_scores(prediction, reference):
    found = np.asarray(prediction.found)
    pred, true, _ = pair_common(prediction, reference)
    lengths = reference.lengths
    errors = {"": _errors(pred, true, lengths["interocular"], found)}
    for markup, name in OWN.items():
        if markup in prediction.points and markup in reference.landmarks:
            own, own_true = prediction.points[markup][..., :2], reference.landmarks[markup]
            errors[f"_{name}"] = _errors(own, own_true, lengths["interocular"], found)
    frames = {f"error{name}": e for name, e in errors.items()} | {"found": found}
    for box in ("bbox_sqrt", "bbox_diagonal"):
        frames[f"per_{box}"] = lengths["interocular"] / lengths[box]
    frames["residual"] = ((pred - true) / lengths["interocular"][:, None, None]).astype(np.float32)
    if reference.rotation is not None:
        frames["rotation"] = reference.rotation
    if reference.yaw is not None:
        frames["yaw"] = reference.yaw
    values = {"found": 100 * float(found.mean())}
    for name, e in errors.items():
        values[f"nme{name}"] = _mean(e)
        for box in ("bbox_sqrt", "bbox_diagonal"):
            values[f"nme{name}_{box}"] = _mean(e * frames[f"per_{box}"])
    annotated = np.any(np.isfinite(true).all(-1), axis=1)
    values["auc"], values["fr"] = auc_fr(failures(errors[""], found)[annotated], FAILURE)
    return values, frames


def failures(errors, found):
    """Errors (T,) with an infinite one where no face was found."""
    return np.where(found, errors, np.inf)


def _mean(x):
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else float("nan")


def _motion_scores(prediction, reference):
    found = np.asarray(prediction.found)
    pred, true, markup = pair_common(prediction, reference)
    known = np.where(found[:, None, None], true, np.nan)
    length, box = reference.lengths["interocular"], reference.lengths["bbox_sqrt"]
    values = {
        "nmf": nmf(pred, known, box**2),
        "stability": stability(pred, known, box),
        "jitter": jitter(pred, length),
        "jitter_truth": jitter(known, length),
        "lag": lag(pred, true),
    }
    visible = reference.visible.get(markup)
    visible = None if visible is None else visible[:, COMMON[markup]]
    values |= _named(
        "ssme_51", ssme(pred, known, _point_regions(reference, markup, COMMON[markup]), 30, visible)
    )
    if "mediapipe478" in prediction.points and "mediapipe478" in reference.landmarks:
        mesh = np.where(found[:, None, None], reference.landmarks["mediapipe478"], np.nan)
        own = np.asarray(prediction.points["mediapipe478"], float)[..., :2]
        regions = _point_regions(reference, "mediapipe478")
        values |= _named("ssme_478", ssme(own, mesh, regions, 30, reference.visible.get("mediapipe478")))
    if reference.truth is not None:
        values |= _named("ssme_dense", dense_motion(prediction, reference.truth, REGIONS))
    return values


def _named(prefix, motion):
    values = {f"{prefix}_{region}": error.mean for region, error in motion.items()}
    if "face" in motion:
        values |= {f"{prefix}_face_{h + 1}": float(v) for h, v in enumerate(motion["face"].curve)}
    return values


def _point_regions(reference, markup, which=slice(None)):
    # By where each point lies on the face model; all points are the face, the outline's too.
    from ..face_model.morphable import load_face_model

    model = reference.truth.script.model if reference.truth is not None else load_face_model()
    regions = {
        name: region_of_points(model, markup, name)[which] for name in REGIONS if name in model.regions
    }
    first = next(iter(regions.values()))
    return regions | {"face": np.ones_like(first)}


def region_of_points(model, markup, region):
    """Mask (L,) of the points of a mark-up that lie on triangles most of whose weight is in a region."""
    embedding = model.embeddings[markup]
    inside = model.region(region)[model.triangles[embedding.triangle]]
    return (inside * embedding.barycentric).sum(-1) > 0.5


def predicted_rotation(prediction, model):
    """Rotations (T, 3, 3) as seen along the ray to the head: the method's own, else those of its 3D points.

    The points' are by Procrustes to the model's mean landmarks, of those that expressions move least. None
    if the method has neither.
    """
    if prediction.rotation is not None:
        return np.asarray(prediction.rotation, float)
    for markup in ("mediapipe478", "ibug68"):
        points = prediction.points.get(markup)
        if points is not None and points.shape[-1] == 3 and markup in model.embeddings:
            shape = model.landmarks(markup)
            steady = steady_points(shape)
            return rotations_of_points(points[:, steady], shape.mean[steady])
    return None


def _pose_scores(prediction, reference):
    from ..face_model.morphable import load_face_model

    model = reference.truth.script.model if reference.truth is not None else load_face_model()
    pred = predicted_rotation(prediction, model)
    if pred is None:
        return {}
    values = {"angle": _mean(rotation_error(pred, reference.rotation))}
    if reference.moving:
        aligned = pred @ zero_pose(pred, reference.rotation)
        values["angle_offset_free"] = _mean(rotation_error(aligned, reference.rotation))
    return values


def _expression_scores(prediction, truth):
    if prediction.expression is None:
        return {}
    known = list(truth.script.model.expression_names)
    shared = [n for n in prediction.expression_names if n in known]
    if not shared:
        return {}
    here = [prediction.expression_names.index(n) for n in shared]
    there = [known.index(n) for n in shared]
    found = np.asarray(prediction.found)
    difference = np.abs(prediction.expression[found][:, here] - truth.script.expression[found][:, there])
    return {"expression": float(difference.mean()) if found.any() else float("nan")}
