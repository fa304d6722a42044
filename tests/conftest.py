"""Fixtures shared by the tests: a small face model made of numbers alone."""

import numpy as np
import pytest

from steadyface.face_model.morphable import Embedding, LinearShape, MorphableModel


@pytest.fixture(scope="session")
def tiny_model():
    """A head-like ellipsoid of some 400 vertices with 6 identity and 4 expression components.

    Its landmark sets lie on random triangles of the front; left-right symmetric, outward triangles.
    """
    rng = np.random.default_rng(0)
    rows, columns = 20, 20
    polar = np.pi * (np.arange(rows) + 0.5) / rows
    # Longitude 0 looks into the camera; half-steps keep the mesh symmetric about x = 0.
    longitude = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    p, a = np.meshgrid(polar, longitude, indexing="ij")
    unit = np.stack([np.sin(p) * np.sin(a), -np.cos(p), -np.sin(p) * np.cos(a)], -1).reshape(-1, 3)
    nose = np.exp(-((unit[:, 0] / 0.2) ** 2) - ((unit[:, 1] - 0.1) / 0.3) ** 2) * (unit[:, 2] < 0)
    mean = unit * [75, 110, 90] + [0, 20, 90]
    mean[:, 2] -= 25 * nose
    v = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(v, -1, 1)
    upper = np.stack([v[:-1], v[1:], right[:-1]], -1).reshape(-1, 3)
    lower = np.stack([right[:-1], v[1:], right[1:]], -1).reshape(-1, 3)
    triangles = np.concatenate([upper, lower])
    corners = mean[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = ((corners.mean(1) - mean.mean(0)) * normal).sum(-1) > 0
    triangles[~outward] = triangles[~outward][:, ::-1]
    mirror = v[:, ::-1].reshape(-1)
    flip = np.array([-1.0, 1, 1])

    def smooth():
        centres = unit[rng.integers(0, len(unit), 6)]
        bump = np.exp(-((unit[:, None] - centres[None]) ** 2).sum(-1) / 0.5)
        return bump @ rng.normal(0, 4, (6, 3))

    identity = np.stack([smooth() for _ in range(6)])
    # Components 0-3 are symmetric, 4-5 antisymmetric, so that mirroring is a change of sign.
    sign = np.array([1, 1, 1, 1, -1, -1])
    identity = (identity + sign[:, None, None] * identity[:, mirror] * flip) / 2
    first, second = smooth(), smooth()
    expression = 2 * np.stack([first, first[mirror] * flip, second, second[mirror] * flip])

    front = np.flatnonzero(corners.mean(1)[:, 2] < 75)

    def embedding(count):
        return Embedding(rng.choice(front, count), rng.dirichlet(np.ones(3), count))

    uv = np.stack([a.reshape(-1) / (2 * np.pi), p.reshape(-1) / np.pi], -1)
    return MorphableModel(
        name="tiny",
        shape=LinearShape(mean, identity, expression),
        identity_std=np.sqrt((identity**2).sum((1, 2))),
        expression_names=("jawOpen", "jawShut", "mouthSmileLeft", "mouthSmileRight"),
        triangles=triangles,
        uv=uv,
        uv_triangles=triangles,
        mirror=mirror,
        identity_mirror=sign.astype(float),
        expression_mirror=np.array([1, 0, 3, 2]),
        regions={"face": mean[:, 2] < 90, "neck": mean[:, 1] > 110},
        embeddings={"ibug68": embedding(68), "mediapipe478": embedding(478)},
    )
