"""What of someone's face no coefficient of the face model tells: a smooth unevenness outside its span."""

from dataclasses import replace

import numpy as np

#: Length over which the unevenness varies: the waves' wave numbers spread by one over this, in 1/mm.
REACH_MM = 12.0
_WAVES = 400


def unevenness(head, rng, size_mm, region="face"):
    """Displacements (N, 3) mm of a `Head`'s vertices that its identities cannot make, nor a similarity.

    A sum of random waves in space, less what identities and similarities come closest to over a region of the
    face, where its root mean square is size_mm.
    """
    points = head.rest.astype(float)
    wave = rng.normal(0, 1 / REACH_MM, (3, _WAVES))
    phase, strength = rng.uniform(0, 2 * np.pi, _WAVES), rng.normal(0, 1, (_WAVES, 3))
    moved = np.sin(points @ wave + phase) @ strength
    model = head.model
    still = np.zeros(model.expression_count)
    identities = [head.points(x, still) - head.rest for x in np.eye(model.identity_count)]
    basis = np.stack([*identities, *_similarities(points)], -1)
    inside = np.flatnonzero(model.region(region))
    known = basis[inside].reshape(3 * len(inside), -1)
    share = np.linalg.lstsq(known, moved[inside].ravel(), rcond=None)[0]
    moved = moved - basis @ share
    return moved * (size_mm / np.sqrt((moved[inside] ** 2).sum(-1).mean()))


def _similarities(points):
    """Directions in which similarities move points: list of seven (N, 3)."""
    turns = [np.cross(axis, points) for axis in np.eye(3)]
    return [*np.broadcast_to(np.eye(3)[:, None], (3, *points.shape)), *turns, points]


def uneven_head(head, moved):
    """A `Head`, and with it its face model, whose mean face is displaced by (N, 3) mm."""
    model = head.model
    own = moved[: model.vertex_count].astype(np.float32)
    shape = replace(model.shape, mean=model.shape.mean + own)
    rest = (head.rest + moved).astype(np.float32)
    return replace(head, model=replace(model, shape=shape), rest=rest)
