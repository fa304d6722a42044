"""What no frame showed of a face: taken from its other side, else from around (SR-VFA, sec. 2.1)."""

from dataclasses import replace

import cv2
import numpy as np

from ..render.fill import push_pull

#: Confidence from which a texel is itself; below, it is mixed with what is guessed.
KNOWN = 0.5
#: Left and right differ in brightness over at least this share of the texture, and by this factor at most.
SMOOTH, FACTOR = 1 / 24, 2.0


def complete(texture, unwrap):
    """The `VideoTexture` with nothing missing: every texel holds a colour, those beyond the surface too.

    texture: of the `UVUnwrap` unwrap. A texel seen poorly or never takes the colour of its mirror image as
    far as that was seen, times the smooth ratio of brightness between the two sides, else a colour diffused
    from around it; where known and guessed meet they are mixed by confidence, so that no seam shows.
    `completed` marks texels of the surface of which at least half is guessed; confidence stays that of the
    frames.
    """
    color = texture.color.astype(np.float32)
    here = _ramp(texture.confidence / KNOWN)
    there, reflected = _reflected(color, here, unwrap)
    # Shadows and lamps differ from side to side, but slowly.
    ratio = _smooth_ratio(color, reflected, here * there)
    guess = (1 - here) * there
    known = here + guess
    mixed = (color * here[..., None] + reflected * ratio * guess[..., None]) / np.maximum(known, 1e-6)[
        ..., None
    ]
    filled = push_pull(mixed, known)
    completed = unwrap.image_of(np.ones(len(unwrap), bool)) & (here < 0.5)
    return replace(texture, color=np.clip(filled + 0.5, 0, 255).astype(np.uint8), completed=completed)


def _ramp(x):
    """Smoothly from 0 to 1 as x does."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _reflected(color, weight, unwrap):
    """Weight (S, S) and colours (S, S, 3) of the mirror images of texels."""
    at = unwrap.image_of(unwrap.mirror, np.nan)
    x, y = (np.nan_to_num(np.ascontiguousarray(at[..., k]), nan=-9.0) for k in (0, 1))

    def look_up(image):
        return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    there = look_up(weight)
    colors = look_up(color * weight[..., None])
    return there, colors / np.maximum(there, 1e-6)[..., None]


def _smooth_ratio(color, reflected, both):
    """color / reflected, smooth over the texture, told by texels of weight `both`: (S, S, 3)."""
    size = len(both)
    few = max(4, round(1 / SMOOTH))
    log = np.log((color + 8) / (reflected + 8))
    mass = cv2.resize(both, (few, few), interpolation=cv2.INTER_AREA)
    mean = cv2.resize(log * both[..., None], (few, few), interpolation=cv2.INTER_AREA)
    mean = mean / np.maximum(mass, 1e-6)[..., None]
    smooth = push_pull(mean, np.minimum(8 * mass, 1))
    smooth = cv2.GaussianBlur(smooth, (0, 0), 1, borderType=cv2.BORDER_REPLICATE)
    limit = np.log(FACTOR)
    return np.exp(np.clip(cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR), -limit, limit))
