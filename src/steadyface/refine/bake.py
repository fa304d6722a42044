"""The whole texture, in colour, from pictures of the frames that it was learned from."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..render.textured import render_textured
from ..track import Track
from .completion import complete
from .irradiance import VertexIrradiance
from .texture import TextureMerge
from .unwrap import UVUnwrap

#: Side of the texture, texels, and that of the pictures that are kept for it, pixels at most.
TEXTURE_SIZE, PICTURE_SIZE = 512, 448
#: Least irradiance by which a colour is divided: below it, noise would become texture.
LEAST_LIGHT = 0.05
#: Pictures that the texture is sharpened by, and grey levels that it may lack; more is something before it.
SHARPEN, LARGEST_LACK = 40, 25.0
#: Kept around the face, of its span.
_MARGIN = 0.2
_ROWS = ("frame_index", "time_s", "rotation", "translation", "expression", "sigma", "confidence")


@dataclass(frozen=True)
class Picture:
    """The part of a frame around a face.

    image: (h, w, 3) uint8 RGB; offset: (2,) px of its corner in the frame; factor: (2,) its pixels for one of
    the frame, along x and y.
    """

    image: np.ndarray
    offset: np.ndarray
    factor: np.ndarray


def take_picture(image, points):
    """The `Picture` of a frame, (H, W, 3) uint8, around points (N, 2) px; large ones are reduced."""
    low, high = points.min(0), points.max(0)
    margin = _MARGIN * float((high - low).max())
    limit = np.array(image.shape[1::-1])
    first = np.clip(np.floor(low - margin), 0, limit - 2).astype(int)
    last = np.clip(np.ceil(high + margin) + 1, first + 2, limit).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    span = last - first
    if span.max() <= PICTURE_SIZE:
        return Picture(part.copy(), first.astype(float), np.ones(2))
    size = np.maximum(np.rint(span * (PICTURE_SIZE / span.max())), 1).astype(int)
    small = cv2.resize(part, size.tolist(), interpolation=cv2.INTER_AREA)
    return Picture(small, first.astype(float), size / span)


def bake_texture(pictures, track, light):
    """The `VideoTexture` of a face, completed.

    pictures: list of n `Picture`; track: `Track` of those n frames, in a pinhole camera; light: (n, B)
    coefficients of the irradiance. Of the two rounds of merging the second knows from the first what belongs
    to the face; a last one adds what renders of the texture still lack beside the pictures.
    """
    unwrap, shine = UVUnwrap(track.model, TEXTURE_SIZE), VertexIrradiance(track.model)
    views = [
        (p.image, _in_picture(track, row, p), np.maximum(shine(track.vertices(row), light[row]), LEAST_LIGHT))
        for row, p in enumerate(pictures)
    ]
    texture = None
    for _ in range(2):
        merge = TextureMerge(unwrap, around=texture)
        for image, there, lit in views:
            seen = unwrap.unwrap(image, there, 0)
            merge.add(seen, unwrap.at_texels(lit, seen.index))
        texture = merge.result()
    return _sharpened(complete(texture, unwrap), unwrap, views[:: max(1, round(len(views) / SHARPEN))])


def _sharpened(texture, unwrap, views):
    """Back-projection (Irani and Peleg 1991): pixels read between others are blurred, twice in a render."""
    total, mass = np.zeros((len(unwrap), 3), np.float32), np.full(len(unwrap), 0.5, np.float32)
    for image, there, lit in views:
        drawn, face = render_textured(there, 0, texture, irradiance=lit)
        lack = np.where(face[..., None], image - drawn, 0)
        # What goes into a texture is a picture: lacks are drawn around the middle grey.
        seen = unwrap.unwrap(np.clip(lack + 128.5, 0, 255).astype(np.uint8), there, 0)
        lack = (seen.color - 128) / unwrap.at_texels(lit, seen.index)[:, None]
        weight = seen.weight * (np.abs(lack).max(1) < LARGEST_LACK)
        total[seen.index] += lack * weight[:, None]
        mass[seen.index] += weight
    color = texture.color + unwrap.image_of(total / mass[:, None])
    return replace(texture, color=np.clip(color + 0.5, 0, 255).astype(np.uint8))


def _in_picture(track, row, picture):
    """The one-frame `Track` of a row in a picture of it."""
    one = slice(row, row + 1)
    # Pixels of a reduced picture are square but for the rounding of its size.
    factor = float(picture.factor.mean())
    return Track(
        **{name: np.asarray(getattr(track, name))[one] for name in _ROWS},
        scale=np.asarray(track.scale)[one] * factor,
        center=(np.asarray(track.center) - picture.offset + 0.5) * picture.factor - 0.5,
        identity=track.identity,
        image_size=picture.image.shape[1::-1],
        fps=track.fps,
        model=track.model,
        focal=track.focal * factor,
    )
