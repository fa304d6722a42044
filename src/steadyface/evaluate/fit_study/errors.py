"""How far fitted faces are from the true ones: the neutral face, and the moving one."""

from dataclasses import dataclass

import numpy as np

from ..surface_metrics import SurfaceError, chamfer, neutral_error
from ..surface_scores import seven_points
from .filming import Filmed
from .fits import FittedFace

#: Points of the true face that are measured, some 5 mm apart.
_SCAN = 700


@dataclass(frozen=True)
class FaceErrors:
    """Errors of one person: of the neutral face as NoW measures it (median, mean, std), and chamfer, mm."""

    median: float
    mean: float
    std: float
    chamfer: float


def score_faces(faces: list[FittedFace], filmed: Filmed, model):
    """The `FaceErrors` of all faces fitted to one person, means over them; None if there are none.

    Of the true face, points evenly spread over what a camera sees of it in some frame, as in a scan: no
    insides of mouth and eye sockets. model: the one that was fitted, whose outer skin is compared.
    """
    if not faces:
        return None
    script = filmed.truths[0].script
    neutral = script.model.shape.neutral(script.identity).astype(float)
    seen = script.model.region("face") & np.any([t.visible.any(0) for t in filmed.truths], 0)
    counted = evenly_spread(neutral, seen, _SCAN)
    skin = _skin(model)
    true_points = seven_points(neutral, script.model)
    shown = np.where(counted[:, None], neutral, np.nan)
    errors = [
        neutral_error(f.neutral, skin, seven_points(f.neutral, model), shown, true_points) for f in faces
    ]
    distances = [
        _chamfer(moving, skin, script.vertices(i), counted, script.model)
        for f in faces
        for i, moving in zip(f.frames, f.moving, strict=True)
    ]
    pooled = SurfaceError.of(*(e.distances for e in errors))
    return FaceErrors(pooled.median, pooled.mean, pooled.std, float(np.mean(distances)))


def evenly_spread(points, usable, count):
    """Which of points (N, 3) are taken: (N,) bool, up to `count` of the usable ones, far from each other."""
    index = np.flatnonzero(usable)
    at = points[index]
    distance, taken = np.full(len(index), np.inf), np.zeros(len(points), bool)
    for _ in range(min(count, len(index))):
        k = int(distance.argmax())
        taken[index[k]] = True
        distance = np.minimum(distance, np.linalg.norm(at - at[k], axis=-1))
    return taken


def _chamfer(vertices, triangles, true, counted, model):
    points = seven_points(vertices, model), seven_points(true, model)
    return chamfer(vertices, true, triangles, points, {"face": counted}, counted)["face"]


def _skin(model):
    """Triangles of the face's outer skin: what a scan shows, and what is compared."""
    outer = model.regions.get("outer", np.ones(model.vertex_count, bool))
    return model.triangles[outer[model.triangles].all(1)]
