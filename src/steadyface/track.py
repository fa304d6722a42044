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
from .rotation import euler_from_matrix, matrix_from_axis_angle, seen_rotation

#: First entry of a track file, and the version of its layout.
FORMAT = "steadyface track"
VERSION = 4
#: Fields that only some tracks have, in groups that go together, and the layout that each came with. A track
#: is written in the earliest layout that has all of its fields.
EXTRAS = (
    (2, ("focal",)),
    (3, ("interpolated",)),
    (3, ("dense_vertices", "dense_sigma", "dense_confidence")),
    (4, ("refined", "irradiance")),
    (4, ("texture", "texture_confidence")),
)
_OPTIONAL = {name for _, names in EXTRAS for name in names}
#: Vertices between measured ones take after so many of them.
NEIGHBOURS = 4


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

    Known of some tracks, else None: interpolated (T,) bool, frames in which nothing of the face was seen and
    that are filled from their neighbours; dense_vertices: (M,) indices of vertices spread over the face;
    dense_sigma: (T, M) px, standard deviation of their place in the image; dense_confidence: (T, M) in
    [0, 1], how well what was seen there agrees with the track, 0 where nothing was seen. Of the studio
    quality: refined (T,) bool, frames that the face's own texture moved to a better place, the others being
    where dense points alone put them; irradiance: (T, B), coefficients of the light on the face
    (`refine.irradiance`); texture: (S, S, 3) uint8 RGB of the face under an irradiance of 1, with
    texture_confidence (S, S) in [0, 1], 0 where it is completed or empty (`refine.texture`).
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
    interpolated: np.ndarray | None = None
    dense_vertices: np.ndarray | None = None
    dense_sigma: np.ndarray | None = None
    dense_confidence: np.ndarray | None = None
    refined: np.ndarray | None = None
    irradiance: np.ndarray | None = None
    texture: np.ndarray | None = None
    texture_confidence: np.ndarray | None = None

    def __post_init__(self):
        if self.focal is not None and not (np.isfinite(self.focal) and self.focal > 0):
            raise InputError(f"the focal length must be > 0 px, None for weak perspective; got {self.focal}")
        for _, names in EXTRAS:
            given = [getattr(self, name) is not None for name in names]
            if any(given) and not all(given):
                raise InputError(f"{', '.join(names)} go together: give all of them or none")
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
        m = 0 if self.dense_vertices is None else len(self.dense_vertices)
        expected |= {"interpolated": (t,), "dense_vertices": (m,)}
        expected |= {"dense_sigma": (t, m), "dense_confidence": (t, m), "refined": (t,)}
        b = 0 if self.irradiance is None else np.shape(self.irradiance)[-1]
        s = 0 if self.texture is None else len(self.texture)
        expected |= {"irradiance": (t, b), "texture": (s, s, 3), "texture_confidence": (s, s)}
        for name, shape in expected.items():
            if name in _OPTIONAL and getattr(self, name) is None:
                continue
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

    def seen_rotation(self, frames=slice(None)):
        """(T, 3, 3) rotations as they look along the ray to the face: those of a weak-perspective camera.

        `rotation` itself, as matrices, where the track is weak-perspective. frames: slice or list of those
        wanted.
        """
        rotation = matrix_from_axis_angle(self.rotation[frames])
        if self.focal is None:
            return rotation
        markup = next((m for m in ("mediapipe478", "ibug68") if m in self.model.embeddings), None)
        shape = self.model.landmarks(markup) if markup else self.model.shape
        middle = rotation @ shape.mean.mean(0).astype(float) + self.translation[frames]
        return seen_rotation(rotation, middle)

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

    def vertex_sigma(self, frames=slice(None)):
        """Standard deviation of every vertex's place in the image: (T, V) px. frames: as in `vertices`.

        Between `dense_vertices` it is interpolated; far from all of them (the back of the head, the neck) it
        is that of the nearest, and too small. Raises InputError if the track does not know.
        """
        return self._spread("dense_sigma", frames)

    def vertex_confidence(self, frames=slice(None)):
        """How well what was seen of every vertex agrees with the track: (T, V) in [0, 1], 0 where hidden.

        Interpolated as `vertex_sigma` is. Raises InputError if the track does not know.
        """
        return self._spread("dense_confidence", frames)

    def _spread(self, name, frames):
        values = getattr(self, name)
        if values is None:
            raise InputError(
                f"this track has no {name}: the live quality does not tell it, track with quality='standard'"
            )
        mean = np.asarray(self.model.shape.mean, float)
        known = mean[self.dense_vertices]
        squares = (mean**2).sum(-1)[:, None] + (known**2).sum(-1) - 2 * mean @ known.T
        nearest = np.argsort(squares, 1, kind="stable")[:, :NEIGHBOURS]
        # A vertex that is itself known keeps its value.
        weight = 1 / np.maximum(np.take_along_axis(squares, nearest, 1), 1e-6)
        weight /= weight.sum(1, keepdims=True)
        values = np.asarray(values)[frames].astype(np.float32)
        return sum(
            values[..., nearest[:, k]] * weight[:, k].astype(np.float32) for k in range(nearest.shape[1])
        )

    def save(self, path):
        """Write the track to an npz file, whole or not at all. Raises OutputError if it cannot be written."""
        names = [f.name for f in fields(self) if f.name != "model" and getattr(self, f.name) is not None]
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in names}
        version = max([1, *(v for v, group in EXTRAS if group[0] in arrays)])
        arrays |= {
            "format": np.array(FORMAT),
            "version": np.array(version),
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
        missing = {f.name for f in fields(cls)} - {"model", *_OPTIONAL} - arrays.keys()
        if missing:
            raise InputError(f"{path} is not a whole track: it lacks {', '.join(sorted(missing))}")
        arrays["image_size"] = tuple(int(n) for n in arrays["image_size"])
        arrays["fps"] = float(arrays["fps"])
        if "focal" in arrays:
            arrays["focal"] = float(arrays["focal"])
        known = {f.name for f in fields(cls)}
        return cls(model=model, **{name: a for name, a in arrays.items() if name in known})
