"""The square that networks of landmarks see: the face alone, where the tracker's square holds the head."""

import numpy as np

from .crop import SIDE_MM, Crop

#: Where the square lies in the tracker's, whose side is 1: so far below its middle, and so large. The
#: landmarks of a head at any yaw stay inside with room for a face that moved since the last frame.
BELOW, SIDE = 0.09, 0.85
#: Side of the square, mm at the head.
FACE_SIDE_MM = SIDE * SIDE_MM


def face_square(crop):
    """The `Crop` of the face in a head's `Crop`."""
    return Crop(crop.to_image(np.array([0.0, BELOW])), SIDE * crop.side, crop.roll)
