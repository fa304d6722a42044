"""Frames of a video as the networks see them: cut to the face, and their pixels laid out on its texture."""

from dataclasses import dataclass

import numpy as np

from ...align.crop import Crop
from ...camera import Pinhole
from .window import face_triangles

#: Side of the square crop over the longer side of the face's box in it.
CROP_MARGIN = 1.15


@dataclass(frozen=True)
class FaceCrop:
    """A frame cut to a square around the face of a pinhole track.

    row: of the track; image: (n, n, 3) uint8 RGB; inside: (n, n) bool, pixels that the frame has; focal: px
    and center: (2,) px, the crop's own pinhole camera.
    """

    row: int
    image: np.ndarray
    inside: np.ndarray
    focal: float
    center: np.ndarray


def crop_face(track, row, image, size):
    """The `FaceCrop` at a row of a pinhole `Track`; image: (H, W, 3) uint8 RGB; size: side of the crop, px.

    It depends on the track alone, so that it shows the same pixels however the face is refined.
    """
    face = np.unique(track.model.triangles[face_triangles(track.model)])
    center = np.asarray(track.center, float)
    points = Pinhole(track.focal, center).project(track.camera_points(track.model.shape.points(face), row))
    low, high = points.min(0), points.max(0)
    crop = Crop((low + high) / 2, float(CROP_MARGIN * (high - low).max()))
    # Pixel j of the crop lies at center + side ((j + 1/2) / size - 1/2) of the frame.
    scale = size / crop.side
    at = crop.center[:, None] + ((np.arange(size) + 0.5) / size - 0.5) * crop.side
    x, y = ((a > -0.5) & (a < n - 0.5) for a, n in zip(at, image.shape[1::-1], strict=True))
    return FaceCrop(
        row=int(row),
        image=crop.extract(image, size),
        inside=y[:, None] & x,
        focal=float(track.focal * scale),
        center=(center - crop.center) * scale + size / 2 - 0.5,
    )


def sample_texture(unwrap, track, row, image):
    """A frame laid out on the texture: colours T*_i, and how well each texel was seen.

    unwrap: `UVUnwrap`; image: (H, W, 3) uint8 RGB. Returns (S, S, 3) float32 in [0, 1], 0 where nothing was
    seen, and (S, S) float32 in [0, 1], the weight by visibility and angle. SR-VFA, section 2.1, which does
    not say its weights.
    """
    seen = unwrap.unwrap(image, track, row)
    texture = np.zeros((unwrap.size * unwrap.size, 3), np.float32)
    visibility = np.zeros(unwrap.size * unwrap.size, np.float32)
    texel = unwrap.texel[seen.index]
    texture[texel] = seen.color / 255
    visibility[texel] = seen.weight
    return texture.reshape(unwrap.size, unwrap.size, 3), visibility.reshape(unwrap.size, unwrap.size)
