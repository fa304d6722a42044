"""Errors of predicted surfaces against a rendered clip's exact one: distance, normals, motion."""

import numpy as np

from ..face_model.mediapipe import INNER_51
from ..rotation import matrix_from_axis_angle
from .closest_point import Surface
from .metrics import ssme
from .surface_alignment import align_points, align_surface
from .surface_metrics import IBUG_7, normal_error

#: Frames of a clip whose surfaces are compared: evenly spread, for neighbours hardly differ.
FRAMES = 5
# Height and depth of the middle of the head in the model frame, mm: normals are seen from an axis through it.
_MIDDLE = np.array([0.0, 30.0, 80.0])
_HALF_HEIGHT = 120.0
_NORMAL_SIZE = 128


def seven_points(vertices, model):
    """The points of `KEYPOINTS_7` on a mesh, (7, 3): of the model's topology or MediaPipe's; None for others.

    vertices: (V, 3).
    """
    if len(vertices) == model.vertex_count:
        e = model.embeddings["ibug68"]
        corners = vertices[model.triangles[e.triangle[IBUG_7]]]
        return (corners * e.barycentric[IBUG_7][..., None]).sum(1)
    if len(vertices) in (468, 478):
        return vertices[np.array(INNER_51)[IBUG_7 - 17]]
    return None


def spread_frames(found, count=FRAMES):
    """Up to `count` of the frames (T,) found, evenly spread: indices."""
    rows = np.flatnonzero(found)
    if len(rows) <= count:
        return rows
    return rows[np.round((np.arange(count) + 0.5) * len(rows) / count - 0.5).astype(int)]


def compare_surfaces(vertices, triangles, true_vertices, model, rotation, translation, metric, regions):
    """Distances of one frame's true face to a predicted surface, and the angle of their normals.

    The prediction is brought to the truth by seven points and then by closest points over the face: rigidly
    if it is metric, else with its size. vertices: (P, 3); triangles: (F, 3); true_vertices: (V, 3) mm of the
    model in the camera frame; rotation (3, 3), translation (3,) of the true head. Returns chamfer_REGION, mm,
    and normals, degrees; None if the mesh's seven points are not known.
    """
    vertices = np.asarray(vertices, float)
    points = seven_points(vertices, model)
    if points is None:
        return None
    face = model.region("face")
    start = align_points(points, seven_points(true_vertices, model), not metric)
    pose = align_surface(Surface(vertices, triangles), true_vertices[face], start, not metric)
    aligned = pose.apply(vertices)
    distance = np.full(len(face), np.nan)
    distance[face] = Surface(aligned, triangles).closest(true_vertices[face]).distance
    values = {f"chamfer_{r}": float(distance[face & model.region(r)].mean()) for r in regions}
    center = translation + rotation @ _MIDDLE
    angle = normal_error(
        *(aligned, triangles, true_vertices, model.triangles, center, rotation, face),
        size=_NORMAL_SIZE,
        half_height=_HALF_HEIGHT,
    )
    return values | {"normals": float(np.rad2deg(angle))}


def surface_errors(prediction, truth, regions):
    """Means over `FRAMES` frames of what `compare_surfaces` gives; empty if the method has no surface.

    prediction: `Prediction`; truth: `Truth`; regions: names of the face model's.
    """
    if prediction.vertices is None:
        return {}
    script = truth.script
    regions = [r for r in regions if r in script.model.regions]
    each = []
    for i in spread_frames(prediction.found):
        rotation = matrix_from_axis_angle(script.rotation[i])
        one = compare_surfaces(
            *(prediction.vertices[i], prediction.triangles, np.asarray(script.vertices(i), float)),
            *(script.model, rotation, script.translation[i], prediction.metric, regions),
        )
        if one is None:
            return {}
        each.append(one)
    return {name: float(np.mean([e[name] for e in each])) for name in each[0]} if each else {}


def dense_motion(prediction, truth, regions):
    """`ssme` over the model's own vertices, those that are visible; empty if the method has other ones.

    Returns region to `MotionError`.
    """
    model = truth.script.model
    pixels = prediction.vertex_pixels
    if pixels is None or pixels.shape[1] != model.vertex_count:
        return {}
    face = model.region("face")
    found = np.asarray(prediction.found)[:, None, None]
    true = np.asarray(truth.script.image_points(model.shape), float)[:, face, :2]
    inside = {r: model.region(r)[face] for r in regions if r in model.regions}
    return ssme(
        np.asarray(pixels[:, face], float), np.where(found, true, np.nan), inside, 30, truth.visible[:, face]
    )
