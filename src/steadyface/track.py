"""A face through time: the value that every stage writes, saves and reads."""

import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from .camera import Pinhole, WeakPerspective
from .errors import InputError
from .face_model.morphable import MorphableModel, load_face_model
from .output import replacing
from .rotation import euler_from_matrix, matrix_from_axis_angle

#: First entry of a track file, and the version of its layout.
FORMAT = "steadyface track"
VERSION = 2
#: The layout without a focal length, which tracks in a weak-perspective camera are still written in.
WEAK_VERSION = 1


@dataclass(frozen=True, eq=False)
class Track:
    """One face over the T frames of a video where it was followed, in a weak-perspective or pinhole camera.

    frame_index: (T,) int, frames of the video; time_s: (T,) seconds; rotation: (T, 3) axis-angle, head to
    camera; translation: (T, 3) mm, the model's origin in the camera frame (under weak perspective z is
    nominal: the distance at which a camera of focal length max(width, height) px sees the head this large);
    scale: (T,) px/mm at the model's origin (focal / z of a pinhole camera); center: (2,) px, the image of
    the optical axis; identity: (K,) standard-normal units, one for the track; expression: (T, E) in [0, 1];
    sigma: (T, 68) px, standard deviation of each iBUG-68 point; confidence: (T,) in [0, 1]; image_size:
    (width, height) px; fps: nominal frames a second; focal: px of the pinhole camera, None for weak
    perspective.
    """

    frame_index: np.ndarray
    time_s: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray
    center: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    sigma: np.ndarray
    confidence: np.ndarray
    image_size: tuple[int, int]
    fps: float
    model: MorphableModel = field(repr=False)
    focal: float | None = None

    def __post_init__(self):
        if self.focal is not None and not (np.isfinite(self.focal) and self.focal > 0):
            raise InputError(f"the focal length must be > 0 px, None for weak perspective; got {self.focal}")
        t, k, e = len(self.frame_index), self.model.identity_count, self.model.expression_count
        expected = {
            "frame_index": (t,),
            "time_s": (t,),
            "rotation": (t, 3),
            "translation": (t, 3),
            "scale": (t,),
            "center": (2,),
            "identity": (k,),
            "expression": (t, e),
            "sigma": (t, 68),
            "confidence": (t,),
        }
        for name, shape in expected.items():
            got = np.shape(getattr(self, name))
            if got != shape:
                raise InputError(f"a track of {t} frames needs {name} of shape {shape}, got {got}")

    @classmethod
    def from_image_pose(cls, *, translation, scale, image_size, **arrays):
        """The track of weak-perspective poses in the image: pixel = scale * (R @ S)[:2] + translation.

        translation: (T, 2) px; scale: (T,) px/mm; image_size: (width, height) px; arrays: the other fields.
        """
        center = (np.array(image_size, float) - 1) / 2
        scale = np.asarray(scale, float)
        distance = max(image_size) / scale
        head = np.column_stack([(np.asarray(translation) - center) / scale[:, None], distance])
        return cls(translation=head, scale=scale, center=center, image_size=tuple(image_size), **arrays)

    def __len__(self):
        return len(self.frame_index)

    @property
    def camera(self):
        """The camera of every frame: `Pinhole` if the track has a focal length, else `WeakPerspective`."""
        return self._camera(slice(None))

    def _camera(self, frames):
        scale = np.asarray(self.scale)[frames]
        center = np.broadcast_to(self.center, (*np.shape(scale), 2))
        if self.focal is None:
            return WeakPerspective(scale, center)
        return Pinhole(np.full(np.shape(scale), self.focal), center)

    @property
    def head_angles(self):
        """(T, 3) pitch, yaw, roll in radians, signs as in `rotation.euler_from_matrix`."""
        return euler_from_matrix(matrix_from_axis_angle(self.rotation))

    def camera_points(self, shape, frames=slice(None)):
        """Points of a `LinearShape` in the camera frame: (T, P, 3) mm. frames: index of the frames wanted."""
        expression = self.expression[frames]
        identity = np.broadcast_to(self.identity, (*expression.shape[:-1], len(self.identity)))
        rotation = matrix_from_axis_angle(self.rotation[frames])
        return (
            shape(identity, expression) @ np.swapaxes(rotation, -1, -2)
            + self.translation[frames][..., None, :]
        )

    def vertices(self, frames=slice(None)):
        """All vertices in the camera frame: (T, V, 3) mm. frames: index of the frames wanted."""
        return self.camera_points(self.model.shape, frames)

    def image_points(self, shape, frames=slice(None)):
        """Points of a `LinearShape` in the image: (T, P, 3), x, y and depth from the head's origin in px."""
        points = self.camera_points(shape, frames)
        scale = np.asarray(self.scale)[frames]
        depth = scale[..., None] * (points[..., 2] - self.translation[frames][..., None, 2])
        return np.concatenate([self._camera(frames).project(points), depth[..., None]], -1)

    def landmarks(self, name="ibug68", frames=slice(None)):
        """Landmarks in the image: (T, L, 3), x and y in px, depth from the head's origin in px (scale * z).

        name: "ibug68" or "mediapipe478". Raises InputError with the known names.
        """
        return self.image_points(self.model.landmarks(name), frames)

    def save(self, path):
        """Write the track to an npz file, whole or not at all. Raises OutputError if it cannot be written."""
        names = [f.name for f in fields(self) if f.name != "model" and getattr(self, f.name) is not None]
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in names}
        arrays |= {
            "format": np.array(FORMAT),
            "version": np.array(WEAK_VERSION if self.focal is None else VERSION),
            "model": np.array(self.model.name),
        }
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path, model=None):
        """Read a track written by `save`.

        model: the `MorphableModel` it was made with; needed only if it is not the embedded one. Raises
        InputError if the file is missing, is not a track, is of a later version or of another model.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"cannot read the track {path}: there is no such file")
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as z:
                arrays = {name: z[name] for name in z.files}
            if str(arrays.pop("format")) != FORMAT:
                raise KeyError("format")
            version, model_name = int(arrays.pop("version")), str(arrays.pop("model"))
        except (KeyError, ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as e:
            raise InputError(f"{path} is not a steadyface track") from e
        if version > VERSION:
            raise InputError(
                f"{path} has track version {version}, this steadyface reads up to {VERSION}: update it"
            )
        model = model or load_face_model(model_name)
        if model.name != model_name:
            raise InputError(f"{path} was made with the face model {model_name!r}, not {model.name!r}")
        missing = {f.name for f in fields(cls)} - {"model", "focal"} - arrays.keys()
        if missing:
            raise InputError(f"{path} is not a whole track: it lacks {', '.join(sorted(missing))}")
        arrays["image_size"] = tuple(int(n) for n in arrays["image_size"])
        arrays["fps"] = float(arrays["fps"])
        if "focal" in arrays:
            arrays["focal"] = float(arrays["focal"])
        known = {f.name for f in fields(cls)}
        return cls(model=model, **{name: a for name, a in arrays.items() if name in known})
