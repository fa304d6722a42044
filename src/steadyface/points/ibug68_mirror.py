"""Which of the 68 iBUG points becomes which in a mirrored picture."""

import numpy as np

#: (68,) index of each point's partner: contour, brows, nose, eyes, outer lips, inner lips.
IBUG68_MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
