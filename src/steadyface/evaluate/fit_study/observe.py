"""What is seen of a face in pictures: points with sigmas, and the identity that the live network says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ...align.alignment import Alignment
from ...align.dense_points import facing, smooth_normals, spread_vertices
from ...face_model.morphable import MorphableModel

#: Points of a face that are fitted.
COUNT = 450


class Points(Protocol):
    """Says where points of a face are, given a picture and what the live network says: as `DensePoints`."""

    vertices: np.ndarray

    def of_alignment(self, image: np.ndarray, alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 2) px of `vertices`, (n,) indices of the face model, and sigma (n,) px, infinite of
        points that are not seen; more points may follow."""
        ...


class LivePoints:
    """The live network's own points, each with the sigma of the landmark nearest to it on the mean face."""

    def __init__(self, model: MorphableModel, count=COUNT):
        """count: of the points, spread over the face."""
        face = np.flatnonzero(model.region("face"))
        self.vertices = face[spread_vertices(model, face, count)]
        self.shape = model.shape.points(self.vertices)
        self._normals = smooth_normals(model, self.vertices)
        away = self.shape.mean[:, None] - model.landmarks("ibug68").mean
        self._nearest = np.linalg.norm(away, axis=-1).argmin(1)

    def of_alignment(self, image, alignment):
        """As `Points`; the picture tells nothing more."""
        del image
        seen = facing(self._normals, alignment.rotation_matrix)
        sigma = np.where(seen, alignment.landmark_sigma[self._nearest], np.inf)
        return alignment.project(self.shape)[:, :2], sigma


@dataclass(frozen=True, eq=False)
class Observed:
    """One performance in T frames of C cameras.

    vertices: (n,) indices of the face model that points tell of; points: (T, C, n, 2) px; sigma: (T, C, n)
    px, infinite of points that are not seen; identity: (T, C, K) and expression: (T, C, E) of the live
    network, NaN where it found no face.
    """

    vertices: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    identity: np.ndarray
    expression: np.ndarray


def observe(cameras, align: Callable[[np.ndarray], Alignment | None], points_of: Points, model):
    """The `Observed` of pictures, each by itself.

    cameras: C functions that give a camera's pictures (T, h, w, 3) uint8 RGB; align: picture to the
    `Alignment` of its face, or None; model: `MorphableModel`.
    """
    columns = [[_look(image, align, points_of, model) for image in pictures()] for pictures in cameras]
    parts = [
        np.stack([np.stack([look[k] for look in column]) for column in columns], 1).astype(float)
        for k in range(4)
    ]
    return Observed(np.asarray(points_of.vertices), *parts)


def _look(image, align, points_of, model):
    alignment = align(image)
    n = len(points_of.vertices)
    if alignment is None:
        unknown = np.full(model.identity_count, np.nan), np.full(model.expression_count, np.nan)
        return np.zeros((n, 2)), np.full(n, np.inf), *unknown
    points, sigma = points_of.of_alignment(image, alignment)
    # Irises, which `DensePoints` adds, are no vertices, and tell nothing of the face's shape.
    return points[:n], sigma[:n], alignment.identity, alignment.expression


def with_true_points(seen: Observed, truths, noise_px, rng):
    """The `Observed` with the true points of its vertices instead, with noise, where the cameras see them.

    truths: C `Truth`s; noise_px: standard deviation.
    """
    shape = truths[0].script.model.shape.points(seen.vertices)
    points = np.stack([t.script.image_points(shape)[..., :2] for t in truths], 1)
    shown = np.stack([t.visible[:, seen.vertices] for t in truths], 1)
    points = points + rng.normal(0, noise_px, points.shape)
    return replace(seen, points=points, sigma=np.where(shown, noise_px, np.inf))


def live_align(tracker=None):
    """A function from a picture to the live network's `Alignment` of its surest face, or None.

    tracker: a `LiveTracker` instead of the default.
    """
    from ...live import LiveTracker

    live = tracker or LiveTracker(max_faces=1)

    def align(image):
        # A tracker that was left has forgotten what it followed: every picture is by itself.
        with live:
            faces = live(image, 0.0)
        return faces[0].measured if faces else None

    return align
