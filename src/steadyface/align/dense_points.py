"""Of what dense alignment says of a face, the points that are kept: few, well spread, and in view."""

import numpy as np

from ..render.shade import triangle_normals
from .crop import Crop

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
    that the first so many are well spread too; shape: `LinearShape` of them.
    """

    def __init__(self, model, aligner, count):
        """model: `MorphableModel`; aligner: a `DenseAligner` or what has its `vertices`, its `shape` and its
        call; count: points kept, fewer if there are not as many."""
        self._aligner = aligner
        vertices = np.asarray(aligner.vertices)
        self._kept = spread_vertices(model, vertices, count)
        self.vertices = vertices[self._kept]
        self.shape = aligner.shape.points(self._kept)
        self._normals = smooth_normals(model, self.vertices)

    def of_alignment(self, image, alignment):
        """What is seen of a face that was aligned before: `__call__` with its points as the guess.

        alignment: `Alignment`.
        """
        guess = alignment.project(self._aligner.shape)[:, :2]
        return self(image, guess, alignment.crop, alignment.rotation_matrix)

    def of_track(self, image, track, row):
        """What is seen of a face in one row of a `Track`: `__call__` with its points as the guess."""
        guess = track.image_points(self._aligner.shape, row)[:, :2]
        rotation = track.seen_rotation([row])[0]
        # The image of the head's origin: scale is focal / z there.
        origin = track.scale[row] * track.translation[row, :2] + track.center
        return self(image, guess, Crop.from_pose(rotation, float(track.scale[row]), origin), rotation)

    def __call__(self, image, guess, crop, rotation):
        """The points kept, (N, 2) float32 px, and their standard deviations, (N,) float16 px.

        image: (H, W, 3) uint8; guess: (n, 2) px of the aligner's points; crop: `Crop`; rotation: (3, 3) of
        the head, as seen along the ray to it. The deviation is infinite of points that are not seen: those
        that face away, lie outside the image or are not finite.
        """
        found = self._aligner(image, guess, crop)
        points = np.asarray(found.points)[self._kept].astype(np.float32)
        sigma = np.asarray(found.sigma)[self._kept].astype(np.float32)
        height, width = image.shape[:2]
        limit = np.array([width, height], np.float32) - 0.5
        with np.errstate(invalid="ignore"):
            seen = facing(self._normals, rotation) & (sigma > 0) & (sigma <= SIGMA_PX[1])
            seen &= ((points >= -0.5) & (points <= limit)).all(-1)
        sigma = np.where(seen, np.maximum(sigma, SIGMA_PX[0]), np.inf).astype(np.float16)
        return np.where(seen[:, None], points, 0), sigma


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
