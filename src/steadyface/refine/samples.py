"""Points spread over the face's skin at which video frames are compared with the face's texture."""

from dataclasses import dataclass

import numpy as np

from ..face_model.morphable import Embedding, LinearShape
from ..render.shade import triangle_normals, vertex_normals

#: How densely samples lie by region, relative to the face's own; of a triangle's corners the least counts.
#: Where expressions show they lie closer together.
DENSITY = {
    "face": 1.0,
    "nose": 1.3,
    "mouth": 2.0,
    "eyes": 2.0,
    "eyeball_left": 2.0,
    "eyeball_right": 2.0,
}
#: Patches of samples that are judged together: what hides a face hides a piece of it, not a point.
PATCHES = 96


@dataclass(frozen=True)
class SurfaceSamples:
    """N points fixed to a face model's surface.

    embedding: where; shape: `LinearShape` of them; patch: (N,) number of the patch of each; patches: how
    many there are.
    """

    embedding: Embedding
    shape: LinearShape
    patch: np.ndarray
    patches: int

    def __len__(self):
        return len(self.patch)

    def normals(self, model, vertices):
        """Unit outward normals of the samples on a face of vertices (V, 3): (N, 3), in the same frame."""
        corners = model.triangles[self.embedding.triangle]
        n = (vertex_normals(vertices, model.triangles)[corners] * self.embedding.barycentric[..., None]).sum(
            1
        )
        return n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)

    def patch_means(self, values, weight):
        """Weighted means of values (N,) over the patches, (C,), 0 where a patch has no weight."""
        total = np.bincount(self.patch, weight * values, self.patches)
        mass = np.bincount(self.patch, weight, self.patches)
        return total / np.maximum(mass, 1e-6)


def spread_samples(model, count):
    """`SurfaceSamples` of a `MorphableModel`, about evenly over its face as `DENSITY` says.

    Systematic sampling of the triangles by area, with places inside them of a low-discrepancy sequence
    (Roberts 2018): the same every time. A model without regions is sampled all over.
    """
    density = np.full(model.vertex_count, 0.0 if "face" in model.regions else 1.0)
    for name, value in DENSITY.items():
        if name in model.regions:
            density[model.regions[name]] = value
    area = np.linalg.norm(triangle_normals(np.asarray(model.shape.mean, float), model.triangles), axis=-1)
    edges = np.cumsum(area * density[model.triangles].min(1))
    triangle = np.searchsorted(edges, (np.arange(count) + 0.5) * edges[-1] / count)
    # Powers of the plastic number, folded into the triangle.
    u = (np.arange(count)[:, None] * [0.7548776662466927, 0.5698402909980532]) % 1
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    embedding = Embedding(triangle, np.column_stack([1 - u.sum(1), u]).astype(np.float32))
    shape = model.at(embedding)
    centers = far_apart(shape.mean, PATCHES)
    away = np.linalg.norm(shape.mean[:, None] - shape.mean[centers], axis=-1)
    return SurfaceSamples(embedding, shape, away.argmin(1), len(centers))


def far_apart(points, count):
    """Indices (up to count,) of points (N, 3), each next one farthest from those before; first the middle."""
    points = np.asarray(points, float)
    chosen = [int(np.linalg.norm(points - points.mean(0), axis=-1).argmin())]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=-1)
    for _ in range(min(count, len(points)) - 1):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=-1))
    return np.array(chosen)
