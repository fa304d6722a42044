"""The colours of someone's head, as a texture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Skin:
    """The colours of someone's head.

    texture: (s, s, 3) uint8 RGB in the face model's layout; tone: (3,) RGB of the cheeks, 0..255; hair: (3,)
    RGB of the hair, or None if none is seen; surroundings: (n, n, 3) uint8, what the photograph shows around
    the head, or None.
    """

    texture: np.ndarray
    tone: np.ndarray
    hair: np.ndarray | None
    surroundings: np.ndarray | None = None
