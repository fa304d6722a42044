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


def on_rim(closest, vertices, triangles):
    """Whether closest points lie on the rim of an open surface, beyond which it says nothing: (N,) bool.

    closest: `Closest` on the surface of vertices (P, 3) and triangles (F, 3).
    """
    edges = np.sort(triangles[:, [[1, 2], [2, 0], [0, 1]]], -1)
    _, which, count = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    open_edge = (count[which] == 1).reshape(len(triangles), 3)
    open_vertex = np.zeros(len(vertices), bool)
    open_vertex[edges[open_edge]] = True
    corners = vertices[triangles[closest.triangle]]
    # Weights of the corners by areas; each is zero on the edge opposite to its corner.
    arms = corners - closest.point[:, None]
    areas = np.cross(arms[:, [1, 2, 0]], arms[:, [2, 0, 1]])
    normal = areas.sum(1, keepdims=True)
    weights = (areas * normal).sum(-1) / np.maximum((normal**2).sum(-1), 1e-300)
    on_edge = (open_edge[closest.triangle] & (weights < 1e-6)).any(1)
    on_vertex = (open_vertex[triangles[closest.triangle]] & (weights > 1 - 1e-6)).any(1)
    return on_edge | on_vertex


def compare_surfaces(
    vertices, triangles, true_vertices, model, rotation, translation, metric, regions, seen=None
):
    """Distances of one frame's true face to a predicted surface, and the angle of their normals.

    The prediction is brought to the truth by seven points and then by closest points over the face: rigidly
    if it is metric, else with its size. True points beyond the prediction's rim do not count: a mask of the
    face alone is judged where it is. vertices: (P, 3); triangles: (F, 3); true_vertices: (V, 3) mm of the
    model in the camera frame; rotation (3, 3), translation (3,) of the true head; seen: (V,) bool, the
    vertices that count, by default all. Returns chamfer_REGION, mm, covered, percent of the face's vertices
    that counted, and normals, degrees; None if the mesh's seven points are not known.
    """
    vertices, triangles = np.asarray(vertices, float), np.asarray(triangles)
    points = seven_points(vertices, model)
    if points is None or not len(triangles):
        return None
    face = model.region("face") if seen is None else model.region("face") & seen
    true = true_vertices[np.flatnonzero(face)]
    pose = align_points(points, seven_points(true_vertices, model), not metric)
    aligned = pose.apply(vertices)
    closest = Surface(aligned, triangles).closest(true)
    covered = ~on_rim(closest, aligned, triangles)
    for _ in range(2):
        # What it does not cover must not pull at it.
        before = covered
        if not before.any():
            break
        pose = align_surface(Surface(vertices, triangles), true[before], pose, not metric)
        aligned = pose.apply(vertices)
        closest = Surface(aligned, triangles).closest(true)
        covered = ~on_rim(closest, aligned, triangles)
        if (covered == before).all():
            break
    distance = np.full(len(face), np.nan)
    distance[np.flatnonzero(face)[covered]] = closest.distance[covered]
    values = {f"chamfer_{r}": _mean(distance[model.region(r)]) for r in regions}
    values["covered"] = 100 * float(covered.mean())
    center = translation + rotation @ _MIDDLE
    angle = normal_error(
        *(aligned, triangles, true_vertices, model.triangles, center, rotation, face),
        size=_NORMAL_SIZE,
        half_height=_HALF_HEIGHT,
    )
    return values | {"normals": float(np.rad2deg(angle))}


def _mean(x):
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else float("nan")


def surface_errors(prediction, truth, regions):
    """Means over `FRAMES` frames of what `compare_surfaces` gives; empty if the method has no surface.

    Vertices count that the camera sees in some frame: not the insides of mouth and eye sockets. prediction:
    `Prediction`; truth: `Truth`; regions: names of the face model's.
    """
    if prediction.vertices is None:
        return {}
    script = truth.script
    regions = [r for r in regions if r in script.model.regions]
    seen = np.asarray(truth.visible).any(0)
    each = []
    for i in spread_frames(prediction.found):
        rotation = matrix_from_axis_angle(script.rotation[i])
        one = compare_surfaces(
            *(prediction.vertices[i], prediction.triangles, np.asarray(script.vertices(i), float)),
            *(script.model, rotation, script.translation[i], prediction.metric, regions, seen),
        )
        if one is None:
            return {}
        each.append(one)
    return {name: _mean(np.array([e[name] for e in each])) for name in each[0]} if each else {}


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
