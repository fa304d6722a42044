"""A tracked face drawn with its texture, to be compared with the frame that it was tracked in."""

import cv2
import numpy as np

from ..errors import InputError
from .rasterize import rasterize
from .shade import interpolate, sample_texture

#: Regions that make up the face as its texture shows it.
FACE_REGIONS = ("face", "eyes", "nose", "mouth", "eyeball_left", "eyeball_right", "tongue")


def face_triangles(model):
    """(F,) bool: triangles of the face, with the eyeballs and what an open mouth shows; all if none known."""
    known = [name for name in FACE_REGIONS if name in model.regions]
    if "face" not in known:
        return np.ones(len(model.triangles), bool)
    none = np.zeros(model.vertex_count, bool)
    inside = np.any([model.regions[name] for name in known], 0)
    # The mouth's lining lies behind the outer skin, as ear canals do.
    inside |= ~model.regions.get("outer", ~none)
    inside &= ~(model.regions.get("ears", none) | model.regions.get("neck", none))
    return inside[model.triangles].all(1)


def render_textured(track, row, texture, window=None, irradiance=None):
    """Frame `row` of the `Track` as its `VideoTexture` shows it.

    window: (x, y, width, height) px, the part of the image to draw, by default all; irradiance: (V,) or
    (V, 3) of the vertices, 1 unless given. Returns (h, w, 3) float32, 0..255 and 0 where there is no head,
    and the (h, w) bool mask of the pixels that show the face. Raises InputError for an irradiance of another
    shape.
    """
    model = track.model
    x, y, w, h = (0, 0, *track.image_size) if window is None else window
    points = track.image_points(model.shape, row).astype(np.float32)
    points[:, :2] -= (x, y)
    raster = rasterize(points, model.triangles, (h, w), cull=True)
    face = face_triangles(model)
    image = _coarsened(texture.color, texture.uv[model.uv_triangles[face]], points[model.triangles[face]])
    color = sample_texture(raster, texture.uv, model.uv_triangles, image).astype(np.float32)
    if irradiance is not None:
        light = np.asarray(irradiance, np.float32)
        if light.shape not in ((model.vertex_count,), (model.vertex_count, 3)):
            raise InputError(
                f"irradiance is of every vertex, ({model.vertex_count},) or ({model.vertex_count}, 3); got "
                f"{light.shape}"
            )
        color *= interpolate(raster, model.triangles, light.reshape(model.vertex_count, -1))
    return np.clip(color, 0, 255), raster.mask & face[raster.triangle]


def _coarsened(image, flat, corners):
    """A texture reduced where it has far more texels than pixels, for skipping texels would flicker.

    flat: (F, 3, 2) in [0, 1], corners: (F, 3, 3) px, the same triangles in texture and image.
    """
    size = len(image)
    there = _area(corners)
    facing = there < 0
    texels = np.abs(_area(flat[facing])).sum() * size**2
    step = np.sqrt(texels / max(-there[facing].sum(), 1e-6))
    if not 2 < step < size / 8:
        return image
    return cv2.resize(image, (round(1.4 * size / step),) * 2, interpolation=cv2.INTER_AREA)


def _area(t):
    """Twice the signed area of triangles (F, 3, 2+) in their first two coordinates: (F,)."""
    e, f = t[:, 1, :2] - t[:, 0, :2], t[:, 2, :2] - t[:, 0, :2]
    return e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
