"""What steadyface takes as an image: RGB, 8 bits, (H, W, 3)."""

import numpy as np

from .errors import InputError


def check_image(image):
    """The image itself, laid out in rows, if it is RGB uint8 (H, W, 3) with at least one pixel.

    Raises InputError otherwise, with the conversion that would help: grey images, alpha channels and
    floats are refused rather than guessed at.
    """
    rule = "an image must be an RGB uint8 array (H, W, 3)"
    if not isinstance(image, np.ndarray):
        raise InputError(f"{rule}, got {type(image).__name__}; a file is read by steadyface.read_image")
    got = f"got shape {image.shape} of {image.dtype}"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        fix = "image.repeat(3, -1)" if image.ndim == 3 else "image[..., None].repeat(3, -1)"
        raise InputError(f"{rule}, {got}: it is grey; convert it by {fix}")
    if image.ndim == 3 and image.shape[2] == 4:
        raise InputError(f"{rule}, {got}: it has an alpha channel; drop it by image[..., :3]")
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"{rule}, {got}")
    if image.dtype != np.uint8:
        raise InputError(f"{rule}, {got}: scale it to 0..255 and convert it by image.astype('uint8')")
    if image.size == 0:
        raise InputError(f"{rule}, {got}: it has no pixels")
    return np.ascontiguousarray(image)
