"""What a tracker says of one clip, whatever tracker it is: the value and the file that are scored.

The file is a numpy archive that any tool can write with numpy alone (`numpy.savez`), one a clip, named
NAME.npz after the clip NAME. T frames, of which every one counts, found or not:

- method: text, the tracker's name.
- found: (T,) bool, whether the face was found in the frame.
- points_MARKUP: (T, L, 2) or (T, L, 3) pixels, integers being pixel centres, and depth in pixels, farther
  being more; MARKUP is ibug68, mediapipe478 or another; NaN in frames where found is false.
- vertices: optional, (T, V, 3) in the camera's axes (x right, y down, z forward), NaN likewise; mm if metric.
- vertex_pixels: optional, (T, V, 2) pixels, the vertices in the image, NaN likewise.
- triangles: (F, 3) indices of vertices; where there are vertices, and only there.
- metric: optional, bool, whether vertices are the tracker's estimate in millimetres; false if absent.
- rotation: optional, (T, 3, 3) matrices, head to camera, as seen along the ray to the face (what a tracker
  that knows no focal length can tell); the identity looks into the camera; NaN likewise.
- expression, expression_names: optional, (T, E) in [0, 1], and E ARKit names; NaN likewise.
- seconds: optional, (T,) seconds that the tracker alone took for the frame, decoding left out.
- memory_mb: optional, largest resident size of the tracker's process, MB of 10^6 bytes.

At least one set of points is needed; everything else may be left out. Keys that are not named here are an
error, so that a misspelt one does not pass.
"""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..output import replacing
from ..track import Track

#: Number of points of the mark-ups that are known.
MARKUPS = {"ibug68": 68, "mediapipe478": 478}
_PREFIX = "points_"
_ARRAYS = ("vertices", "vertex_pixels", "triangles", "rotation", "expression", "expression_names", "seconds")
_KEYS = ("method", "found", *_ARRAYS, "metric", "memory_mb")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a tracker says of the T frames of a clip; the fields are the keys of the file (see the module).

    method: name; found: (T,) bool; points: mark-up to (T, L, 2) or (T, L, 3) pixels, NaN where not found;
    vertices: (T, V, 3) in the camera's axes, mm if metric; vertex_pixels: (T, V, 2); triangles: (F, 3);
    rotation: (T, 3, 3) head to camera; expression: (T, E) in [0, 1]; expression_names: E names; seconds:
    (T,) of the tracker alone; memory_mb: NaN if unknown. Arrays that a tracker does not give are None.
    Raises InputError, which names the key, if something does not fit.
    """

    method: str
    found: np.ndarray = field(repr=False)
    points: Mapping[str, np.ndarray] = field(repr=False)
    vertices: np.ndarray | None = field(default=None, repr=False)
    vertex_pixels: np.ndarray | None = field(default=None, repr=False)
    triangles: np.ndarray | None = field(default=None, repr=False)
    metric: bool = False
    rotation: np.ndarray | None = field(default=None, repr=False)
    expression: np.ndarray | None = field(default=None, repr=False)
    expression_names: tuple[str, ...] | None = field(default=None, repr=False)
    seconds: np.ndarray | None = field(default=None, repr=False)
    memory_mb: float = math.nan

    def __post_init__(self):
        found = np.asarray(self.found)
        if found.ndim != 1 or found.dtype != bool:
            raise InputError(f"found must be (T,) of bool, got {found.shape} of {found.dtype}")
        if not self.points:
            raise InputError(f"a prediction needs points of some mark-up: {', '.join(MARKUPS)} or another")
        for markup, points in self.points.items():
            key = _PREFIX + markup
            self._check(key, points, (MARKUPS.get(markup, "L"), "2 or 3"))
        self._check_surface()
        self._check("rotation", self.rotation, (3, 3))
        if self.rotation is not None:
            _check_rotation(self.rotation[found])
        self._check_expression()
        if self.seconds is not None:
            seconds = np.asarray(self.seconds)
            if seconds.shape != found.shape or not (seconds >= 0).all():
                raise InputError(
                    f"seconds must be {found.shape}, zero or more for every frame, got {seconds.shape}"
                )

    def __len__(self):
        return len(self.found)

    def _check(self, key, array, shape):
        """Raise unless an array, where there is one, is (T, *shape), finite where found and else NaN.

        shape: numbers, "L", "V" or "E" for any, or "2 or 3".
        """
        if array is None:
            return
        array = np.asarray(array)
        t = len(self.found)
        fits = array.ndim == 1 + len(shape) and len(array) == t
        if fits:
            fits = all(
                got == want or (got in (2, 3) if want == "2 or 3" else isinstance(want, str))
                for got, want in zip(array.shape[1:], shape, strict=True)
            )
        if not fits or array.dtype.kind not in "fiu":
            wanted = ", ".join(map(str, (t, *shape)))
            raise InputError(f"{key} must be ({wanted}) numbers, got {_described(array)}")
        known = np.isfinite(array).reshape(t, -1)
        if bad := np.flatnonzero(self.found & ~known.all(1)).tolist():
            raise InputError(f"{key} is not finite in frame {bad[0]}, where found says that there is a face")
        if bad := np.flatnonzero(~self.found & known.any(1)).tolist():
            raise InputError(f"{key} must be NaN in frame {bad[0]}, where found is false")

    def _check_surface(self):
        self._check("vertices", self.vertices, ("V", 3))
        self._check("vertex_pixels", self.vertex_pixels, ("V", 2))
        if self.vertices is None:
            for key in ("vertex_pixels", "triangles"):
                if getattr(self, key) is not None:
                    raise InputError(f"{key} without vertices: give both or neither")
            return
        count = np.shape(self.vertices)[1]
        if self.vertex_pixels is not None and np.shape(self.vertex_pixels)[1] != count:
            raise InputError(
                f"vertex_pixels must hold the {count} vertices, got {_described(self.vertex_pixels)}"
            )
        if self.triangles is None:
            raise InputError("vertices without triangles: give the (F, 3) indices too")
        triangles = np.asarray(self.triangles)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
            raise InputError(f"triangles must be (F, 3) integers, got {_described(triangles)}")
        if triangles.size and not (triangles.min() >= 0 and triangles.max() < count):
            raise InputError(
                f"triangles must be indices of the {count} vertices from 0, got {triangles.min()} to "
                f"{triangles.max()}"
            )

    def _check_expression(self):
        expression, names = self.expression, self.expression_names
        if (expression is None) != (names is None):
            raise InputError("expression and expression_names go together: give both or neither")
        if expression is None or names is None:
            return
        self._check("expression", expression, ("E",))
        if len(names) != expression.shape[1]:
            raise InputError(f"expression is {_described(expression)}, but there are {len(names)} names")

    @classmethod
    def from_track(
        cls, track: Track | None, frames, *, method="steadyface", seconds=None, memory_mb=math.nan, model=None
    ):
        """The prediction of a `Track` for a clip of so many frames, those without the face not found.

        Frames that the track has filled are frames in which it says where the face is: they are found.
        track: None if no face was found; seconds: (frames,) of the tracker; model: the `MorphableModel`,
        needed only where there is no track and the model is not the embedded one.
        """
        if track is None:
            track = _track_after(frames, model or load_face_model())
        model = track.model
        known = np.asarray(track.frame_index) < frames
        index = np.asarray(track.frame_index)[known]
        found = np.zeros(frames, bool)
        found[index] = True

        def spread(values):
            out = np.full((frames, *values.shape[1:]), np.nan, np.float32)
            out[index] = values[known]
            return out

        vertices = track.vertices()
        return cls(
            method=method,
            found=found,
            points={m: spread(track.landmarks(m)) for m in MARKUPS if m in model.embeddings},
            vertices=spread(vertices),
            vertex_pixels=spread(track.camera.project(vertices)),
            triangles=model.triangles,
            metric=True,
            rotation=spread(track.seen_rotation()),
            expression=spread(track.expression),
            expression_names=tuple(model.expression_names),
            seconds=seconds,
            memory_mb=memory_mb,
        )

    def save(self, path):
        """Write the npz file, whole or not at all. Raises OutputError if it cannot be written."""
        arrays: dict[str, Any] = {key: getattr(self, key) for key in _KEYS if getattr(self, key) is not None}
        arrays |= {_PREFIX + markup: points for markup, points in self.points.items()}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path):
        """Read an npz file written by `save` or by any tool.

        Raises InputError, which names the file and the key, if it is missing or does not hold a prediction.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"cannot read the prediction {path}: there is no such file")
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as z:
                arrays = {key: z[key] for key in z.files}
        except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as e:
            raise InputError(f"{path} is not a prediction: it must be an npz file of plain arrays") from e
        try:
            return cls(**_fields(arrays))
        except InputError as e:
            raise InputError(f"{path} is not a prediction: {e}") from e


def _track_after(frames, model):
    """A track whose only frame comes after so many: of a clip of as many frames it knows nothing."""
    one = np.ones(1)
    return Track.from_image_pose(
        frame_index=np.array([frames]),
        time_s=one,
        rotation=np.zeros((1, 3)),
        translation=np.zeros((1, 2)),
        scale=one,
        identity=np.zeros(model.identity_count),
        expression=np.zeros((1, model.expression_count)),
        sigma=np.zeros((1, 68)),
        confidence=one,
        image_size=(1, 1),
        fps=1.0,
        model=model,
    )


def _fields(arrays):
    """The fields of `Prediction` of the arrays of a file."""
    points = {k.removeprefix(_PREFIX): a for k, a in arrays.items() if k.startswith(_PREFIX)}
    unknown = sorted(k for k in arrays if k not in _KEYS and not k.startswith(_PREFIX))
    if unknown:
        raise InputError(
            f"unknown key {unknown[0]!r}: known are {', '.join(_KEYS)} and {_PREFIX}MARKUP, for example "
            f"{_PREFIX}ibug68"
        )
    for key in ("method", "found"):
        if key not in arrays:
            raise InputError(f"it lacks the key {key}")
    fields: dict[str, Any] = {key: arrays[key] for key in ("found", *_ARRAYS) if key in arrays}
    if "expression_names" in fields:
        fields["expression_names"] = tuple(map(str, np.ravel(fields["expression_names"])))
    for key, convert in (("method", str), ("metric", bool), ("memory_mb", float)):
        if key in arrays:
            if arrays[key].size != 1:
                raise InputError(f"{key} must be a single value, got {_described(arrays[key])}")
            fields[key] = convert(arrays[key].item())
    return {**fields, "points": points}


def _check_rotation(rotation):
    rotation = np.asarray(rotation, float)
    error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).reshape(len(rotation), 9)
    if len(rotation) and (error.max() > 1e-2 or np.linalg.det(rotation).min() < 0):
        raise InputError("rotation must be rotation matrices: orthonormal, determinant 1")


def _described(array):
    array = np.asarray(array)
    return f"{array.shape} of {array.dtype}"
