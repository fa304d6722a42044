"""What the paper's mode found as a `Track` like any refined one, with texture and light."""

from dataclasses import replace

import numpy as np

from ...render.shade import vertex_normals
from ..irradiance import RANGE, IrradianceBasis

# What holds the irradiance's coefficients down stands beside squared grey levels: of skin under a light of 1.
_GREY = 100.0


def refined_track(result):
    """The `Track` of a `PaperResult`, with the fields of the studio quality.

    `Track.irradiance` is a least-squares fit of the irradiance at the face's vertices by the functions of
    `IrradianceBasis`, held down as in the fast mode; coloured light becomes grey. Frames that were not
    improved have `refined` False and the light 1.
    """
    track, texture = result.track, result.texture
    model = track.model
    basis = IrradianceBasis.of(model)
    face = np.flatnonzero(model.regions.get("face", np.ones(model.vertex_count, bool)))
    bumps = basis.bumps(np.asarray(model.shape.mean)[face])
    hold = np.diag(basis.prior / _GREY**2)
    light = np.zeros((len(track), len(basis)), np.float32)
    light[:, 0] = 1.0
    for row in np.flatnonzero(result.improved):
        wanted = np.clip(np.asarray(result.vertex_irradiance(row), float), *RANGE)
        wanted = wanted.reshape(model.vertex_count, -1).mean(1)[face]
        normals = vertex_normals(track.vertices(row).astype(np.float32), model.triangles)
        functions = basis(normals[face], bumps).astype(float)
        light[row] = np.linalg.solve(functions.T @ functions + hold, functions.T @ wanted)
    return replace(
        track,
        refined=np.asarray(result.improved, bool),
        irradiance=light,
        texture=texture.color,
        texture_confidence=np.where(texture.completed, 0, texture.confidence).astype(np.float16),
    )
