"""Where the face lies in a texture: the model's texture coordinates moved so that few texels are wasted.

A model's own coordinates give the skull as much room as the face, and the eyeballs hardly any: of 512 x 512
texels the embedded model's face gets 6 %, an iris five texels.
"""

import numpy as np

from ..errors import InputError
from ..render.shade import triangle_normals

#: Texels that a square millimetre is worth by region; of a triangle's corners the least counts.
WORTH = {"skin": 0.04, "tongue": 0.1, "ears": 0.12, "neck": 0.03, "face": 1.0, "mouth": 1.5, "eyes": 2.0}
EYEBALLS = ("eyeball_left", "eyeball_right")
# Share of each axis that stays spread as in the model's own coordinates, and bins of the rest.
_EVEN, _BINS = 0.1, 96
# Height of the strip of tiles for the eyeballs, and what stays free around each tile.
_STRIP, _MARGIN = 0.15, 0.01


def texture_layout(model):
    """Texture coordinates (U, 2) in [0, 1], v down, for the model's `uv_triangles`.

    Both axes of the model's own coordinates are stretched where they cross what is worth seeing, which keeps
    neighbours neighbours and lets nothing overlap; the eyeballs move to tiles of their own at the bottom.
    Raises InputError for a model without texture coordinates.
    """
    if not len(model.uv):
        raise InputError(
            f"the face model {model.name!r} has no texture coordinates, so it can have no texture: "
            "use one that has, such as 'anny'"
        )
    uv = np.asarray(model.uv, float)
    worth = np.full(model.vertex_count, 0.04 if "face" in model.regions else 1.0)
    for name, value in WORTH.items():
        if name in model.regions:
            worth[model.regions[name]] = value
    eyes = {name: model.regions[name][model.triangles].all(1) for name in EYEBALLS if name in model.regions}
    area = np.linalg.norm(triangle_normals(np.asarray(model.shape.mean, float), model.triangles), axis=-1)
    area = area * worth[model.triangles].min(1)
    for triangles in eyes.values():
        area[triangles] = 0
    middle = uv[model.uv_triangles].mean(1)
    # The face lies across the middle, what is inside it somewhere beside: left and right stay equals.
    across = np.concatenate([middle[:, 0], 1 - middle[:, 0]])
    across = _stretched(uv[:, 0], across, np.concatenate([area, area]))
    out = np.stack([across, _stretched(uv[:, 1], middle[:, 1], area)], -1)
    eyes = {name: triangles for name, triangles in eyes.items() if triangles.any()}
    if eyes:
        out[:, 1] *= 1 - _STRIP
    for i, triangles in enumerate(eyes.values()):
        corners = np.unique(model.uv_triangles[triangles])
        low, high = uv[corners].min(0), uv[corners].max(0)
        room = np.array([1 / len(eyes), _STRIP]) - 2 * _MARGIN
        first = np.array([i / len(eyes), 1 - _STRIP]) + _MARGIN
        out[corners] = first + (uv[corners] - low) * (room / np.maximum(high - low, 1e-9)).min()
    return out.astype(np.float32)


def _stretched(value, middle, weight):
    """Values in [0, 1] through a distribution function of triangles' middles: [0, 1]."""
    edges = np.linspace(0, 1, _BINS + 1)
    share = np.histogram(middle, edges, weights=weight)[0]
    # Neighbouring texels do not differ suddenly in size; the root serves two axes.
    share = np.sqrt(np.convolve(share, np.array([1, 2, 1]) / 4, "same"))
    share = share / max(share.sum(), 1e-12) + _EVEN / _BINS
    share = np.concatenate([[0], np.cumsum(share)])
    return np.interp(value, edges, share / share[-1])
