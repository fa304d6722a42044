"""Pictures as PNG files."""

import cv2

from ..image import check_image
from ..output import replacing


def write_png(image, path):
    """Write an image (H, W, 3) uint8 RGB, whole or not at all.

    Raises InputError for another kind of image, OutputError if it cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(check_image(image), cv2.COLOR_RGB2BGR))
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
