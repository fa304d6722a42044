"""The texture of an average face: what there is to compare with where a video's own texture is not wanted."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from .appearance import TURNS, judge
from .texture import VideoTexture
from .unwrap import UVUnwrap

#: Colours averaged over many portraits, on the embedded model's texture coordinates: nobody's face.
TEXTURE = Path(__file__).parent.parent / "assets" / "mean_texture.jpg"


def average_color(model):
    """The average texture, (S, S, 3) uint8 RGB on `model.uv`. Raises InputError for other face models."""
    if model.name != "anny":
        raise InputError(f"the average texture is the face model 'anny''s, not {model.name!r}'s: learn one")
    image = cv2.imread(str(TEXTURE), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(f"cannot read {TEXTURE}: install steadyface again")
    return image


def average_texture(surface):
    """Grey levels of the average texture at the samples of a `Surface`: (N,) float32."""
    model, where = surface.model, surface.samples.embedding
    grey = cv2.cvtColor(average_color(model), cv2.COLOR_RGB2GRAY).astype(np.float32)
    uv = (model.uv[model.uv_triangles[where.triangle]] * where.barycentric[..., None]).sum(1)
    at = (uv * grey.shape[::-1] - 0.5).astype(np.float32)
    return cv2.remap(grey, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]


def judge_all(texture, views, prior, weights):
    """Views `Judged` beside a texture that is not learned from them; as `learn_texture` returns it."""
    judged = [judge(v, texture, prior, weights) for v in views]
    for _ in range(TURNS - 1):
        judged = [judge(v, texture, prior, weights, j.weight) for v, j in zip(views, judged, strict=True)]
    return texture, judged


def average_video_texture(model, size):
    """The average texture as the `VideoTexture` of a video that showed nothing."""
    unwrap = UVUnwrap(model, size)
    color = average_color(model)
    uv = (model.uv[model.uv_triangles[unwrap.triangle]] * unwrap.barycentric[..., None]).sum(1)
    at = (uv * color.shape[1::-1] - 0.5).astype(np.float32)
    # cv2.remap takes no line longer than 2^15.
    parts = [cv2.remap(color, a[:, :1], a[:, 1:], cv2.INTER_LINEAR)[:, 0] for a in np.array_split(at, 32)]
    image = unwrap.image_of(np.concatenate(parts))
    known = unwrap.image_of(np.ones(len(unwrap), bool))
    return VideoTexture(image, np.zeros(known.shape, np.float32), known, unwrap.uv)
