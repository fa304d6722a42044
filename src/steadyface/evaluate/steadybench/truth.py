"""What is known of a filmed clip: where every point of the head is in every frame, and whether it is seen."""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...face_model.morphable import load_face_model
from ...output import replacing
from ...synthesis.script import Script

_ARRAYS = ("rotation", "translation", "focal", "center", "identity", "expression", "image_size", "fps")


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a clip of T frames.

    script: where head and camera are, and the face's coefficients; visible: (T, V) bool, vertices that the
    camera sees: inside the picture, turned to it and behind nothing.
    """

    script: Script
    visible: np.ndarray

    def __post_init__(self):
        expected = (len(self.script), self.script.model.vertex_count)
        if np.shape(self.visible) != expected:
            raise InputError(f"visible must be of shape {expected}, got {np.shape(self.visible)}")

    def __len__(self):
        return len(self.script)

    def vertices(self, i=None):
        """All vertices in the camera frame, mm: (T, V, 3), or (V, 3) of frame i."""
        return self.script.vertices(i)

    def points(self, markup="ibug68", i=None):
        """Landmarks in the picture: (T, L, 3), or (L, 3) of frame i; x and y in px, depth in px.

        Depth is counted from the model's origin away from the camera, times the scale there (focal over z),
        so that it compares with `Track.landmarks`. Raises InputError for an unknown markup with the known
        ones.
        """
        points = np.array(self.script.image_points(markup, i), float)
        origin = np.asarray(self.script.translation, float)[..., 2]
        origin = (origin if i is None else origin[i])[..., None]
        points[..., 2] = (points[..., 2] - origin) * self.script.focal / origin
        return points

    @cached_property
    def _visible(self):
        return {}

    def visible_points(self, markup="ibug68"):
        """Whether the camera sees each landmark: (T, L) bool, by the vertices around it.

        Raises InputError for an unknown markup with the known ones.
        """
        if markup not in self._visible:
            model = self.script.model
            model.landmarks(markup)
            embedding = model.embeddings[markup]
            seen = self.visible[:, model.triangles[embedding.triangle]]
            self._visible[markup] = (seen * embedding.barycentric).sum(-1) >= 0.5
        return self._visible[markup]


def save_truth(truth, path, plan_hash=""):
    """Write a `Truth` to npz, whole or not at all. Raises OutputError if it cannot be written."""
    script = truth.script
    arrays: dict[str, Any] = {name: np.asarray(getattr(script, name)) for name in _ARRAYS}
    arrays |= {
        "visible": np.packbits(truth.visible, axis=-1),
        "model": np.array(script.model.name),
        "plan": np.array(plan_hash),
    }
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_truth(path, model=None):
    """Read what `save_truth` wrote.

    model: the `MorphableModel` it was filmed with, needed only if it is not the embedded one. Raises
    InputError if the file is missing, is not a truth or is of another model.
    """
    arrays = _read(path)
    name = str(arrays["model"])
    model = model or load_face_model(name)
    if model.name != name:
        raise InputError(f"{path} was filmed with the face model {name!r}, not {model.name!r}")
    width, height = (int(n) for n in arrays["image_size"])
    script = Script(
        *(arrays[k] for k in ("rotation", "translation")),
        focal=float(arrays["focal"]),
        **{k: arrays[k] for k in ("center", "identity", "expression")},
        image_size=(width, height),
        fps=float(arrays["fps"]),
        model=model,
    )
    return Truth(script, np.unpackbits(arrays["visible"], axis=-1, count=model.vertex_count).astype(bool))


def plan_hash_of(path):
    """The plan's digest that a truth file was written with, "" if there is no such file or it is broken."""
    try:
        return str(_read(path)["plan"])
    except InputError:
        return ""


def _read(path):
    path = Path(path)
    if not path.is_file():
        raise InputError(f"cannot read the truth {path}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as z:
            arrays = {name: z[name] for name in z.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} is not the truth of a clip") from e
    missing = {*_ARRAYS, "visible", "model", "plan"} - arrays.keys()
    if missing:
        raise InputError(f"{path} is not the truth of a clip: it lacks {', '.join(sorted(missing))}")
    return arrays
