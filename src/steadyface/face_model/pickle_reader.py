"""Read arrays out of pickles without running anything that they name.

A pickle is a program that may call whatever it can name. Here it can name only the few constructors by which
numpy, scipy and chumpy store arrays, and each of these names stands for an inert class of this file: the
pickle calls nothing of numpy, scipy or chumpy, neither scipy nor chumpy need be installed, and the arrays are
built afterwards, from plain numbers.
"""

import io
import pickle
import re
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

# Lists of arrays inside lists, chumpy inside chumpy: deeper than any model nests them.
_MAX_DEPTH = 4
# Entries of a sparse matrix when written out: a model of 10 million vertices would be larger.
_MAX_DENSE = 50_000_000
# How broken files of arrays end: damaged, of an unknown compression, encrypted, or larger than memory.
_BROKEN = (
    *(ValueError, OSError, EOFError, KeyError, AttributeError, RuntimeError, MemoryError, OverflowError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class _Refused(Exception):
    """The pickle asks for something that is no array."""


class _Inert:
    """What a pickle may call: it keeps arguments and state, and does nothing else."""

    # Unpickling may make an instance without arguments and without state.
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments):
        self.arguments = arguments

    def __new__(cls, *arguments):
        return object.__new__(cls)

    def __setstate__(self, state):
        # Without this, unpickling would set any attributes that the file names.
        self.state = state


class _Name(_Inert):
    """A type that is only ever an argument of others: ndarray, object."""


class _Rebuilt(_Inert):
    """copy_reg._reconstructor(cls, base, state): the object of protocols 0 and 1."""

    def __new__(cls, kind=None, *_):
        if not (isinstance(kind, type) and issubclass(kind, _Inert)):
            raise _Refused("copy_reg._reconstructor")
        return kind()


class _Text(_Inert):
    """_codecs.encode(text, "latin1"): how Python 3 writes bytes for protocols below 3."""

    def value(self):
        text, *codec = self.arguments
        if not isinstance(text, str) or codec not in (["latin1"], ["latin-1"]):
            raise _Refused("_codecs.encode")
        return text.encode("latin1")


class _Bytes(_Inert):
    """bytes() or bytearray(...), empty or of text, as protocols below 3 write them."""

    def value(self):
        return _raw(self.arguments[0]) if self.arguments else b""


class _Set(_Inert):
    """A set, which chumpy arrays carry beside their numbers."""


class _Dtype(_Inert):
    """numpy.dtype of plain numbers, text, or (for lists of arrays) objects."""

    def value(self):
        code = self.arguments[0] if self.arguments else None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        if code in ("O", "O8", "|O"):
            return np.dtype(object)
        if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?([biufcSU]\d+|\?)", code):
            raise _Refused(f"an array of the kind {code!r}")
        dtype = np.dtype(code)
        return dtype.newbyteorder(order) if order in ("<", ">") else dtype


class _Array(_Inert):
    """numpy.ndarray: made by _reconstruct(...), filled by its state (version, shape, dtype, order, data)."""

    def value(self):
        if not isinstance(self.state, tuple) or len(self.state) not in (4, 5):
            raise _Refused("an array without its state")
        shape, dtype, fortran, data = self.state[-4:]
        return _build(data, dtype, shape, "F" if fortran else "C")


class _Buffer(_Inert):
    """numpy's _frombuffer(data, dtype, shape, order) of protocol 5."""

    def value(self):
        data, dtype, shape, order = self.arguments
        return _build(data, dtype, shape, "F" if order == "F" else "C")


class _Scalar(_Inert):
    """numpy's scalar(dtype, data)."""

    def value(self):
        dtype, data = self.arguments
        return _build(data, dtype, (), "C")[()]


class _Sparse(_Inert):
    """scipy.sparse matrices by column or by row: (data, indices, indptr, shape) to a dense array."""

    by_column = True

    def value(self):
        state = self.state if isinstance(self.state, dict) else {}
        data, indices, ends = (to_array(state.get(key)) for key in ("data", "indices", "indptr"))
        shape = state.get("_shape") or state.get("shape") or ()
        rows, columns = (int(to_array(n)) for n in shape)
        if rows * columns > _MAX_DENSE:
            raise _Refused(f"a matrix of {rows} x {columns}")
        lines = columns if self.by_column else rows
        line = np.repeat(np.arange(lines), np.diff(ends.astype(int)))
        dense = np.zeros((lines, rows if self.by_column else columns), data.dtype)
        np.add.at(dense, (line, indices.astype(int)), data)  # type: ignore[arg-type]
        return dense.T if self.by_column else dense


class _SparseByRow(_Sparse):
    by_column = False


class _Chumpy(_Inert):
    """chumpy.ch.Ch: a variable whose numbers are its attribute x."""

    def value(self):
        if not isinstance(self.state, dict) or "x" not in self.state:
            raise _Refused("a chumpy expression in place of plain numbers")
        return self.state["x"]


class _Expression(_Inert):
    """Any other class of chumpy: it may lie about in a file, but its numbers would have to be computed."""

    def value(self):
        raise _Refused("a chumpy expression in place of plain numbers")


_NUMPY = {
    "multiarray._reconstruct": _Array,
    "multiarray.scalar": _Scalar,
    "numeric._frombuffer": _Buffer,
}
_KNOWN = {
    **{f"numpy.{core}.{name}": kind for core in ("core", "_core") for name, kind in _NUMPY.items()},
    "numpy.ndarray": _Name,
    "numpy.dtype": _Dtype,
    **{f"scipy.sparse.{m}.csc_matrix": _Sparse for m in ("csc", "_csc")},
    **{f"scipy.sparse.{m}.csr_matrix": _SparseByRow for m in ("csr", "_csr")},
    "chumpy.ch.Ch": _Chumpy,
    **{f"{m}._reconstructor": _Rebuilt for m in ("copy_reg", "copyreg")},
    **{f"{m}.object": _Name for m in ("__builtin__", "builtins")},
    **{f"{m}.set": _Set for m in ("__builtin__", "builtins")},
    **{f"{m}.bytes": _Bytes for m in ("__builtin__", "builtins")},
    **{f"{m}.bytearray": _Bytes for m in ("__builtin__", "builtins")},
    "_codecs.encode": _Text,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        kind = _KNOWN.get(f"{module}.{name}")
        if kind is None and module.split(".")[0] == "chumpy":
            kind = _Expression
        if kind is None:
            raise _Refused(f"{module}.{name}")
        return kind

    def persistent_load(self, pid):
        raise _Refused("a persistent object")


def _raw(data):
    if isinstance(data, (_Text, _Bytes)):
        data = data.value()
    if isinstance(data, str):  # Python 2 wrote bytes as text, read here as latin1.
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise _Refused("an array without its bytes")
    return bytes(data)


def _build(data, dtype, shape, order):
    if not isinstance(dtype, _Dtype):
        raise _Refused("an array without its type")
    dtype, shape = dtype.value(), tuple(int(n) for n in shape)
    if dtype.hasobject:
        # Never from bytes: those would be taken for addresses.
        if not isinstance(data, list) or len(data) != int(np.prod(shape)):
            raise _Refused("an array of objects without its list")
        array = np.empty(len(data), object)
        array[:] = data
        return array.reshape(shape, order=order)
    return np.frombuffer(_raw(data), dtype).reshape(shape, order=order)


def to_array(value, depth=0):
    """A value out of a pickle as an array: arrays, sparse matrices, chumpy arrays, numbers and lists of them.

    Raises ValueError if it is something else, or its numbers do not fit its shape.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("its arrays are nested too deeply")
    if isinstance(value, _Inert):
        try:
            value = value.value()  # type: ignore[attr-defined]
        except (AttributeError, TypeError, KeyError, IndexError) as e:
            raise ValueError("it is no array") from e
        except _Refused as e:
            raise ValueError(f"it holds {e}") from e
        return to_array(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return np.array([to_array(v, depth + 1) for v in value])
    if isinstance(value, np.ndarray) and value.dtype == object:
        items = [to_array(v, depth + 1) for v in value.ravel()]
        return np.array(items).reshape(*value.shape, *items[0].shape) if items else np.zeros(0)
    if isinstance(value, (np.ndarray, np.generic, int, float, bool)):
        return np.asarray(value)
    raise ValueError(f"it is no array but {type(value).__name__}")


def unpickle(data, name):
    """The dictionary of a pickle: keys to values that `to_array` understands.

    data: bytes, of Python 2 or 3; name: of the file, for messages. Raises InputError if the pickle is broken,
    holds no dictionary, or names anything other than arrays; then nothing of it has been run.
    """
    value = _load(data, name)
    if isinstance(value, _Array):  # the .npy of a dictionary
        try:
            value = value.value().item()
        except (_Refused, ValueError, TypeError, AttributeError) as e:
            raise InputError(f"{name} holds no dictionary of arrays") from e
    if not isinstance(value, dict):
        raise InputError(f"{name} holds {type(value).__name__.strip('_')}, not a dictionary of arrays")
    return value


def unpickle_array(data, name):
    """The one array of a pickle, with the restrictions of `unpickle`. Raises InputError."""
    return Fields(name, {"array": _load(data, name)})("array")


def _load(data, name):
    try:
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _Refused as e:
        raise InputError(
            f"{name} is refused: its pickle asks for {e}, and only numpy, scipy and chumpy arrays are read"
        ) from None
    except Exception as e:
        # Broken pickles fail in as many ways as there are opcodes.
        raise InputError(f"{name} is not a readable pickle: {type(e).__name__}: {_line(e)}") from e


def _line(error):
    return " ".join(str(error).split()) or "no details"


def read_pickle(path):
    """`unpickle` of a file. Raises InputError if it cannot be read."""
    return unpickle(read_bytes(path), path)


def read_bytes(path):
    """A file's bytes. Raises InputError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e


def read_npy(path):
    """The dictionary that numpy.save wrote to a .npy file, through the same restrictions as `unpickle`."""
    data = read_bytes(path)
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read(stream)
    except _BROKEN as e:
        raise InputError(f"{path} is not a .npy file: {_line(e)}") from e
    if not dtype.hasobject:
        raise InputError(f"{path} holds one array of {dtype}, not a dictionary of arrays")
    return unpickle(data[stream.tell() :], path)


def read_array(path):
    """The array of a .npy file. Raises InputError if it is broken or holds pickled objects."""
    data = read_bytes(path)
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except _BROKEN as e:
        raise InputError(f"cannot read {path}: {_line(e)}") from e


def read_npz(path):
    """The arrays of an npz file. Raises InputError if it is broken or holds pickled objects."""
    try:
        # numpy leaves broken files open if it opens them itself.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as z:
            return {key: z[key] for key in z.files}
    except _BROKEN as e:
        raise InputError(f"cannot read {path}: {_line(e)}") from e


class Fields:
    """Named arrays of one file, asked for by their key, with errors that name file and key."""

    def __init__(self, path, values):
        self.path, self.values = path, values

    def __contains__(self, key):
        return key in self.values

    def __call__(self, *keys, shape=None):
        """The first of the keys that the file has, as an array; shape: its sizes, -1 where any will do.

        Raises InputError if none is there, it is no array of numbers, not finite, or has another shape.
        """
        key = next((k for k in keys if k in self.values), None)
        if key is None:
            raise InputError(f"{self.path} lacks {' or '.join(map(repr, keys))}")
        try:
            array = to_array(self.values[key])
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError, IndexError) as e:
            raise InputError(f"{self.path} has no readable {key!r}: {_line(e)}") from e
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise InputError(f"{self.path}: {key!r} must be finite numbers, got {array.dtype}")
        if shape is not None and not (
            array.ndim == len(shape) and all(w in (-1, n) for w, n in zip(shape, array.shape, strict=True))
        ):
            wanted = ", ".join("any" if n < 0 else str(n) for n in shape)
            raise InputError(f"{self.path}: {key!r} must have the shape ({wanted}), got {array.shape}")
        return array
