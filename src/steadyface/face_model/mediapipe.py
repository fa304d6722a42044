"""Indices of MediaPipe's 478 points by the part of the face they lie on.

0 to 467 are the mesh, 468 to 477 the irises (of MediaPipe's `FaceMesh` with `refine_landmarks`). Right and
left are the subject's.
"""

RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
EYES = (*RIGHT_EYE, *LEFT_EYE)
OUTER_EYE_CORNERS = (33, 263)
#: Centre and rim of the right iris, then of the left.
IRISES = tuple(range(468, 478))
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LIPS = (*OUTER_LIPS, *INNER_LIPS)

NOSE = (
    *(168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327),
    *(129, 358, 64, 294, 48, 278, 115, 344, 131, 360, 198, 420),
)
FOREHEAD_TOP, CHIN = 10, 152
#: The face's outline on either side, from the forehead's top down to the chin, both left out.
RIGHT_OVAL = (109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148)
LEFT_OVAL = (338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
#: All of it, around.
OVAL = (FOREHEAD_TOP, *LEFT_OVAL, CHIN, *reversed(RIGHT_OVAL))

#: Upper and lower points whose distances tell how far the right eye, the left eye and the mouth are open.
RIGHT_LID_PAIRS = ((160, 144), (159, 145), (158, 153))
LEFT_LID_PAIRS = ((385, 380), (386, 374), (387, 373))
LIP_PAIRS = ((82, 87), (13, 14), (312, 317))

#: The points that lie where iBUG-68's 17 to 67 do: brows, nose, eyes, outer and inner lips.
INNER_51 = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
