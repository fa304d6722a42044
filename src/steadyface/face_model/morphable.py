"""The morphable model value: a linear face shape with its topology, regions and landmarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import InputError

#: Model frame: millimetres, origin midway between the eyeball centres of the mean face, axes as the
#: camera's (x to the image's right = the subject's left, y down, z away from the viewer), so that the
#: identity rotation is a face that looks into the camera.


@dataclass(frozen=True)
class LinearShape:
    """Points that move linearly with identity and expression: S = mean + A_id a + A_exp e (3DDFA_V2, eq. 1).

    mean: (P, 3) mm; identity_basis: (K, P, 3) mm per standard deviation; expression_basis: (E, P, 3) mm
    at full activation.
    """

    mean: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray

    def __call__(self, identity, expression):
        """identity: (*, K) standard-normal units; expression: (*, E) in [0, 1]. Returns (*, P, 3) mm."""
        # In the basis' own precision: numpy would otherwise convert the whole basis at every call.
        dtype = self.mean.dtype
        identity, expression = np.asarray(identity, dtype), np.asarray(expression, dtype)
        flat = self.neutral(identity).reshape(*identity.shape[:-1], -1)
        moved = flat + expression @ self._expression_rows
        return moved.reshape(*moved.shape[:-1], *self.mean.shape)

    def neutral(self, identity):
        """The points without expression: (*, K) to (*, P, 3) mm.

        Of one identity the last result is kept: a tracked face keeps its identity from frame to frame.
        """
        identity = np.asarray(identity, self.mean.dtype)
        if identity.ndim > 1:
            offset = identity @ self._identity_rows
            return self.mean + offset.reshape(*offset.shape[:-1], *self.mean.shape)
        key = identity.tobytes()
        if self._last.get("key") != key:
            points = self.mean + (identity @ self._identity_rows).reshape(self.mean.shape)
            self._last.update(key=key, points=points)
        return self._last["points"]

    @cached_property
    def _identity_rows(self):
        return self.identity_basis.reshape(len(self.identity_basis), -1)

    @cached_property
    def _expression_rows(self):
        return self.expression_basis.reshape(len(self.expression_basis), -1)

    @cached_property
    def _last(self):
        return {}


@dataclass(frozen=True)
class Embedding:
    """Points fixed to the surface: triangle (L,) indices and barycentric (L, 3) weights."""

    triangle: np.ndarray
    barycentric: np.ndarray


@dataclass(frozen=True)
class MorphableModel:
    """A face model: shape, topology, texture coordinates, symmetry, regions and landmark embeddings.

    shape: `LinearShape` over V vertices. identity_std: (K,) mm, root of each component's variance summed
    over vertices. expression_names: E names. triangles: (F, 3), outward counter-clockwise as seen in the
    image of a camera. uv: (U, 2) in [0, 1] (v down, as image rows); uv_triangles: (F, 3) into uv.
    mirror: (V,) index of each vertex's mirror image. regions: name to (V,) bool. embeddings: name to
    `Embedding`. identity_mirror: (K,) +1 or -1, expression_mirror: (E,) permutation: the coefficients
    of the mirrored face. name: for messages and saved tracks.
    """

    name: str
    shape: LinearShape
    identity_std: np.ndarray
    expression_names: tuple[str, ...]
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    mirror: np.ndarray
    identity_mirror: np.ndarray
    expression_mirror: np.ndarray
    regions: Mapping[str, np.ndarray]
    embeddings: Mapping[str, Embedding]

    @property
    def vertex_count(self):
        return len(self.shape.mean)

    @property
    def identity_count(self):
        return len(self.shape.identity_basis)

    @property
    def expression_count(self):
        return len(self.shape.expression_basis)

    @cached_property
    def _landmark_shapes(self):
        return {}

    def landmarks(self, name):
        """The `LinearShape` of a landmark set: "ibug68" or "mediapipe478".

        Raises InputError with the known names if there is no such set.
        """
        if name not in self.embeddings:
            raise InputError(
                f"unknown landmark set {name!r}: this model has {', '.join(sorted(self.embeddings))}"
            )
        if name not in self._landmark_shapes:
            self._landmark_shapes[name] = self.at(self.embeddings[name])
        return self._landmark_shapes[name]

    def at(self, embedding):
        """The `LinearShape` of points on the surface."""
        corners = self.triangles[embedding.triangle]
        w = embedding.barycentric.astype(np.float32)

        def pick(x):
            return np.einsum("...lcd,lc->...ld", x[..., corners, :], w, optimize=True)

        s = self.shape
        return LinearShape(pick(s.mean), pick(s.identity_basis), pick(s.expression_basis))

    def region(self, name):
        """(V,) bool mask of a region. Raises InputError with the known names."""
        if name not in self.regions:
            raise InputError(f"unknown region {name!r}: this model has {', '.join(sorted(self.regions))}")
        return self.regions[name]


def save_face_model(model, path):
    """Write a model to npz (bases as float16 of their own scale, masks and indices as small integers)."""
    s = model.shape
    arrays = {
        "name": np.array(model.name),
        "mean": s.mean.astype(np.float32),
        "identity_std": model.identity_std.astype(np.float32),
        "expression_names": np.array(model.expression_names),
        "triangles": model.triangles.astype(np.uint16),
        "uv": model.uv.astype(np.float32),
        "uv_triangles": model.uv_triangles.astype(np.uint16),
        "mirror": model.mirror.astype(np.uint16),
        "identity_mirror": model.identity_mirror.astype(np.int8),
        "expression_mirror": model.expression_mirror.astype(np.uint8),
    }
    for key in ("identity_basis", "expression_basis"):
        arrays[key] = getattr(s, key).astype(np.float16)
    for key, mask in model.regions.items():
        arrays[f"region_{key}"] = np.packbits(mask)
    for key, e in model.embeddings.items():
        arrays[f"embedding_{key}_triangle"] = e.triangle.astype(np.uint16)
        arrays[f"embedding_{key}_barycentric"] = e.barycentric.astype(np.float32)
    np.savez_compressed(path, **arrays)


def load_face_model(source="anny"):
    """The embedded model ("anny"), or one written by `save_face_model`.

    source: name or path. Raises InputError if the file is missing or is not a face model.
    """
    if source == "anny":
        with resources.as_file(resources.files("steadyface") / "assets" / "face_model.npz") as path:
            return _read(path)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"unknown face model {str(source)!r}: give 'anny' or the path of a face model file")
    return _read(path)


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as z:
            a = {k: z[k] for k in z.files}
        v = len(a["mean"])
        regions, embeddings = {}, {}
        for key in a:
            if key.startswith("region_"):
                regions[key[7:]] = np.unpackbits(a[key], count=v).astype(bool)
            elif key.endswith("_triangle"):
                stem = key[: -len("_triangle")]
                embeddings[stem[len("embedding_") :]] = Embedding(
                    a[key].astype(np.int32), a[f"{stem}_barycentric"]
                )
        return MorphableModel(
            name=str(a["name"]),
            shape=LinearShape(
                a["mean"], a["identity_basis"].astype(np.float32), a["expression_basis"].astype(np.float32)
            ),
            identity_std=a["identity_std"],
            expression_names=tuple(str(n) for n in a["expression_names"]),
            triangles=a["triangles"].astype(np.int32),
            uv=a["uv"],
            uv_triangles=a["uv_triangles"].astype(np.int32),
            mirror=a["mirror"].astype(np.int32),
            identity_mirror=a["identity_mirror"].astype(np.float32),
            expression_mirror=a["expression_mirror"].astype(np.int32),
            regions=regions,
            embeddings=embeddings,
        )
    except (KeyError, ValueError, OSError, EOFError) as e:
        raise InputError(f"{path} is not a steadyface face model: {e}") from e
