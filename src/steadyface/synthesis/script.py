"""The exact truth of a filmed clip: where head and camera are, and who makes which face, frame by frame."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..camera import Pinhole
from ..errors import InputError
from ..face_model.morphable import MorphableModel
from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle


@dataclass(frozen=True, eq=False)
class Script:
    """A head over T frames before a pinhole camera.

    rotation: (T, 3) axis-angle, head to camera; translation: (T, 3) mm, the model's origin in the camera
    frame, z > 0; focal: px; center: (2,) px, the image of the optical axis; identity: (K,); expression:
    (T, E) in [0, 1]; image_size: (width, height) px; fps: frames a second.

    Raises InputError if shapes disagree, a number is not finite or the head is behind the camera.
    """

    rotation: np.ndarray
    translation: np.ndarray
    focal: float
    center: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    image_size: tuple[int, int]
    fps: float
    model: MorphableModel = field(repr=False)

    def __post_init__(self):
        t = len(self.rotation)
        expected = {
            "rotation": (t, 3),
            "translation": (t, 3),
            "focal": (),
            "center": (2,),
            "identity": (self.model.identity_count,),
            "expression": (t, self.model.expression_count),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if np.shape(value) != shape or not np.isfinite(value).all():
                raise InputError(
                    f"a script of {t} frames needs {name} of shape {shape} and finite, got {np.shape(value)}"
                )
        if t and not (np.asarray(self.translation)[:, 2] > 0).all():
            raise InputError("the head must be before the camera: give every translation a z above 0 mm")

    def __len__(self):
        return len(self.rotation)

    @property
    def camera(self):
        """The `Pinhole` camera, the same in every frame."""
        return Pinhole(np.asarray(self.focal, float), np.asarray(self.center, float))

    @cached_property
    def matrices(self):
        """Head-to-camera rotations: (T, 3, 3)."""
        return matrix_from_axis_angle(np.asarray(self.rotation, float))

    def camera_points(self, shape, i=None):
        """Points of a `LinearShape` in the camera frame, mm: (T, P, 3), or (P, 3) of frame i."""
        expression = np.asarray(self.expression if i is None else self.expression[i])
        identity = np.broadcast_to(self.identity, (*expression.shape[:-1], len(self.identity)))
        return self.place(shape(identity, expression), i)

    def place(self, points, i=None):
        """Carry points of the model frame into the camera frame, mm: (T, P, 3) or, of frame i, (P, 3)."""
        index = slice(None) if i is None else i
        rotation, translation = self.matrices[index], np.asarray(self.translation, float)[index]
        return points @ np.swapaxes(rotation, -1, -2) + translation[..., None, :]

    def vertices(self, i=None):
        """The model's vertices in the camera frame, mm: (T, V, 3), or (V, 3) of frame i."""
        return self.camera_points(self.model.shape, i)

    def image_points(self, shape, i=None):
        """Points in the image, x and y in pixels and z in mm of the camera frame: (T, P, 3) or (P, 3).

        shape: a `LinearShape` or the name of a landmark set. Raises InputError with the known names.
        """
        shape = self.model.landmarks(shape) if isinstance(shape, str) else shape
        points = self.camera_points(shape, i)
        return np.concatenate([self.camera.project(points), points[..., 2:]], -1)

    def between(self, time):
        """The script of one moment between two frames, for the parts of a shutter's opening.

        time: in frames, limited to [0, T - 1]. Turns at a steady rate between the frames. Returns a `Script`
        of one frame.
        """
        time = float(np.clip(time, 0, len(self) - 1))
        i = min(int(time), max(len(self) - 2, 0))
        j, s = min(i + 1, len(self) - 1), time - i
        turn = axis_angle_from_matrix(self.matrices[j] @ self.matrices[i].T)
        rotation = axis_angle_from_matrix(matrix_from_axis_angle(s * turn) @ self.matrices[i])

        def mix(values):
            return ((1 - s) * np.asarray(values[i]) + s * np.asarray(values[j]))[None]

        return replace(
            self,
            rotation=rotation[None],
            translation=mix(self.translation),
            expression=mix(self.expression),
        )
