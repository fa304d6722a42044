"""Pickles as Python 2 wrote them, with its module names and its bytes for text, opcode by opcode."""

import struct

import scipy.sparse


def python2(entries):
    """A protocol-2 pickle of a dictionary as Python 2 wrote it; entries: name to the opcodes of its value."""
    return b"\x80\x02}(" + b"".join(text(k) + v for k, v in entries.items()) + b"u."


def text(value):
    """Python 2's str: bytes, up to 4 GB."""
    data = value if isinstance(value, bytes) else value.encode()
    return b"T" + struct.pack("<i", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def array2(a):
    """An array by numpy under Python 2."""
    made = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0)
        + b"\x85"
        + text("b")
        + b"\x87R"
    )
    kind = b"cnumpy\ndtype\n" + text(a.dtype.str[1:]) + number(0) + number(1) + b"\x87R"
    kind += b"(" + number(3) + text("<") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    shape = b"(" + b"".join(number(n) for n in a.shape) + b"t"
    fortran = a.flags.f_contiguous and not a.flags.c_contiguous
    state = b"(" + number(1) + shape + kind + (b"\x88" if fortran else b"\x89")
    return made + state + text(a.tobytes("F" if fortran else "C")) + b"tb"


def object2(module, name, attributes):
    """A new-style object under Python 2's protocol 2: made empty, then given its attributes."""
    state = b"}(" + b"".join(text(k) + v for k, v in attributes.items()) + b"u"
    return f"c{module}\n{name}\n".encode() + b")\x81" + state + b"b"


def chumpy2(a):
    dirty = b"c__builtin__\nset\n]\x85R"
    return object2(
        "chumpy.ch", "Ch", {"x": array2(a), "_dirty_vars": dirty, "_itr": b"N", "_status": text("new")}
    )


def sparse2(a):
    m = scipy.sparse.csc_matrix(a)
    shape = number(m.shape[0]) + number(m.shape[1]) + b"\x86"
    parts = {k: array2(getattr(m, k)) for k in ("data", "indices", "indptr")}
    return object2("scipy.sparse.csc", "csc_matrix", parts | {"_shape": shape, "format": text("csc")})
