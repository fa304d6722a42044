"""Of what dense alignment says of a face, the points that are kept: few, well spread, and in view."""

import numpy as np

from ..render.shade import triangle_normals
from .crop import Crop
from .irises import Irises, joined

#: How densely points lie by region, relative to the face's own (points a length, not an area); the last
#: region that holds a vertex decides. Where expressions show, they lie closer together; the neck moves on
#: its own, and the back of the head is hair.
DENSITY = {
    "skin": 0.0,
    "outer": 0.0,
    "ears": 0.35,
    "face": 1.0,
    "neck": 0.0,
    "nose": 1.3,
    "mouth": 2.0,
    "eyes": 2.0,
}
#: Normals are averaged over so far, mm: the rims of lids and lips turn away from the camera that sees them.
SMOOTH_MM = 8.0
#: Cosine of the angle between a vertex's normal and the view below which it is called hidden.
FACING = 0.1
#: Standard deviations that are believed, px: smaller ones would let a point rule, larger ones tell nothing.
SIGMA_PX = (0.02, 1000.0)


class DensePoints:
    """Asks a dense aligner about a face and keeps what the sequence fit needs.

    vertices: (N,) indices into the model of the points kept, each next one far from those before it, so
    that the first so many are well spread too; shape: `LinearShape` of them and, where the model has such
    landmarks, of the two irises after them (`Irises`): P points.
    """

    def __init__(self, model, aligner, count):
        """model: `MorphableModel`; aligner: a `DenseAligner` or what has its `vertices`, its `shape` and its
        call; count: points kept, fewer if there are not as many."""
        self._aligner = aligner
        vertices = np.asarray(aligner.vertices)
        self._kept = spread_vertices(model, vertices, count)
        self.vertices = vertices[self._kept]
        self.shape = aligner.shape.points(self._kept)
        self._irises = None
        if "mediapipe478" in model.embeddings:
            self._irises = Irises(model, self.vertices)
            self.shape = joined(self.shape, self._irises.shape)
        self._normals = smooth_normals(model, self.vertices)

    def of_alignment(self, image, alignment):
        """What is seen of a face in a frame, guided by the live tracker's `Alignment`: `around`."""
        guess = alignment.project(self._aligner.shape)[:, :2]
        crop, rotation = alignment.crop, alignment.rotation_matrix
        return self.around(
            image, guess, crop, rotation, lambda shape: alignment.project(shape)[:, :2], alignment.scale
        )

    def of_track(self, image, track, row, live, live_row):
        """What is seen of a face in a frame, guided by a row of a `Track`: `around`.

        live, live_row: the live tracker's `Track` and the frame's row in it, which tell where the eyes look.
        """
        guess = track.image_points(self._aligner.shape, row)[:, :2]
        rotation = track.seen_rotation([row])[0]
        scale = float(track.scale[row])
        # The image of the head's origin: scale is focal / z there.
        origin = scale * track.translation[row, :2] + track.center
        crop = Crop.from_pose(rotation, scale, origin)
        return self.around(
            image, guess, crop, rotation, lambda shape: live.image_points(shape, live_row)[:, :2], scale
        )

    def around(self, image, guess, crop, rotation, project, scale):
        """The P points, (P, 2) float32 px, and their standard deviations, (P,) float16 px.

        image: (H, W, 3) uint8; guess: (n, 2) px of the aligner's points; crop: `Crop`; rotation: (3, 3) of
        the head, as seen along the ray to it; project, scale: of the live alignment, as `Irises` takes them.
        The deviation is infinite of points that are not seen: those that face away, lie outside the image or
        are not finite.
        """
        points, sigma = self._skin(image, guess, crop, rotation)
        if self._irises is not None:
            irises, spread = self._irises(project, scale, points, sigma)
            points, sigma = np.concatenate([points, irises]), np.concatenate([sigma, spread])
        return points, sigma.astype(np.float16)

    def _skin(self, image, guess, crop, rotation):
        found = self._aligner(image, guess, crop)
        points = np.asarray(found.points)[self._kept].astype(np.float32)
        sigma = np.asarray(found.sigma)[self._kept].astype(np.float32)
        height, width = image.shape[:2]
        limit = np.array([width, height], np.float32) - 0.5
        with np.errstate(invalid="ignore"):
            seen = facing(self._normals, rotation) & (sigma > 0) & (sigma <= SIGMA_PX[1])
            seen &= ((points >= -0.5) & (points <= limit)).all(-1)
        return np.where(seen[:, None], points, 0), np.where(seen, np.maximum(sigma, SIGMA_PX[0]), np.inf)


def smooth_normals(model, vertices):
    """Unit outward normals (N, 3) of the mean face at vertices (N,), Gaussian means over its outer skin."""
    x = np.asarray(model.shape.mean, float)
    outer = model.regions.get("outer", np.ones(model.vertex_count, bool))
    triangles = model.triangles[outer[model.triangles].all(1)]
    away = ((x[vertices][:, None] - x[triangles].mean(1)) ** 2).sum(-1)
    # Far from all outer skin the nearest decides.
    away -= away.min(1, keepdims=True)
    normals = np.exp(-away / (2 * SMOOTH_MM**2)) @ triangle_normals(x, triangles)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def facing(normals, rotation):
    """Which surface points of a head look at the camera: (N,) bool.

    normals: (N, 3) outward, model frame; rotation: (3, 3) head to camera, which looks along z.
    """
    return normals @ np.asarray(rotation)[2] < -FACING


def spread_vertices(model, vertices, count):
    """Places in `vertices` of some that are spread over the face as `DENSITY` says: up to (count,) int.

    Greedy: each next one is, at the density there, the farthest from all before it, beginning with the one
    nearest to the middle. Regions that a model lacks count as others; of a model without any, all vertices
    are alike.
    """
    density = np.full(model.vertex_count, 0.0 if "face" in model.regions else 1.0)
    for name, value in DENSITY.items():
        if name in model.regions:
            density[model.regions[name]] = value
    density = density[vertices]
    at = np.asarray(model.shape.mean, float)[vertices]
    usable = density > 0
    middle = at[usable].mean(0)
    chosen = [int(np.where(usable, np.linalg.norm(at - middle, axis=-1), np.inf).argmin())]
    nearest = np.linalg.norm(at - at[chosen[0]], axis=-1)
    for _ in range(min(count, int(usable.sum())) - 1):
        chosen.append(int((nearest * density).argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(at - at[chosen[-1]], axis=-1))
    return np.array(chosen)
