"""Cameras around a head: the same performance as each of them sees it."""

from dataclasses import dataclass, replace

import numpy as np

from ...fit.rig import Rig
from ...rotation import axis_angle_from_matrix, matrix_from_axis_angle
from ...synthesis.lighting import Light
from ..reference import face_middle
from ..steadybench.clip import face_width_mm

#: Share of the picture's sides that the landmarks keep away from its edges.
_MARGIN = 0.03


@dataclass(frozen=True)
class Place:
    """Where a camera stands, seen from the head: degrees to the first camera's right, and below it.

    focal: over the picture's width; width: of a face that looks into the camera, over the picture's width.
    """

    right_deg: float
    below_deg: float
    focal: float
    width: float

    @property
    def turn(self):
        """(3, 3), the first camera's frame to this one's."""
        right, below = np.radians([self.right_deg, self.below_deg])
        return matrix_from_axis_angle(np.array([-below, 0, 0])) @ matrix_from_axis_angle(
            np.array([0, right, 0])
        )


#: The cameras beside the first one, whose focal length and distance come from its script.
PLACES = (Place(35, 0, 1.2, 0.26), Place(-35, 0, 1.7, 0.24), Place(0, 25, 1.45, 0.25))


def seen_from(script, rotation, translation, focal):
    """The `Script` of another camera: it has a point X of the first one's at rotation @ X + translation.

    rotation: (3, 3); translation: (3,) mm; focal: px. The picture's size and centre stay.
    """
    return replace(
        script,
        rotation=axis_angle_from_matrix(rotation @ script.matrices),
        translation=np.asarray(script.translation, float) @ rotation.T + translation,
        focal=float(focal),
    )


def placed_before(script, place):
    """The `Script` of a camera at a `Place`, looking at the face's middle from where all of it is seen."""
    width, height = script.image_size
    focal = place.focal * width
    middle = face_middle(script).mean(0)
    distance = focal * face_width_mm(script.model) / (place.width * width)
    size = np.array([width, height])
    while True:
        translation = np.array([0, 0, distance]) - place.turn @ middle
        other = seen_from(script, place.turn, translation, focal)
        points = other.image_points("ibug68")[..., :2]
        low, high = points.min((0, 1)), points.max((0, 1))
        if (low >= _MARGIN * size).all() and (high <= (1 - _MARGIN) * size).all():
            return other
        distance *= 1.05


def scripts_of(script, places=PLACES):
    """A script and what the cameras at the `places` see of it: list of `Script`, the given one first."""
    return [script, *(placed_before(script, place) for place in places)]


def turned_light(light: Light, turn):
    """A `Light` fixed in the room, in the frame of a camera turned by (3, 3)."""
    return replace(light, toward=turn @ light.toward, slope=turn @ light.slope)


def true_rig(scripts):
    """The `Rig` of cameras that film one performance, the first one's frame being the world."""
    first = scripts[0]
    rotation = np.stack([s.matrices[0] @ first.matrices[0].T for s in scripts])
    moved = [s.translation[0] - r @ first.translation[0] for s, r in zip(scripts, rotation, strict=True)]
    focal, center = [s.focal for s in scripts], [s.center for s in scripts]
    return Rig(np.array(focal), np.array(center), rotation, np.array(moved))
