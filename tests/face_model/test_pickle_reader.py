import copyreg
import io
import os
import pickle
import tempfile

import numpy as np
import pytest
import scipy.sparse
from python2_pickle import array2, chumpy2, number, object2, python2, sparse2, text

from steadyface.errors import InputError
from steadyface.face_model.pickle_reader import Fields, read_array, read_npy, read_npz, to_array, unpickle

A = np.arange(12.0).reshape(3, 4)
SPARSE = A * (A % 2)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_all_protocols_are_read(protocol):
    held = {
        "double": A,
        "fortran": np.asfortranarray(A),
        "big endian": A.astype(">i4"),
        "empty": np.zeros((0, 3)),
        "truth": A > 3,
        "scalar": np.float32(2.5),
        "number": 3,
        "list": [A, 2 * A],
        "by column": scipy.sparse.csc_matrix(SPARSE),
        "by row": scipy.sparse.csr_matrix(SPARSE),
    }
    read = unpickle(pickle.dumps(held, protocol), "x")
    for name, value in held.items():
        wanted = value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)
        np.testing.assert_array_equal(to_array(read[name]), wanted)


def test_the_arrays_of_python_2_are_read():
    read = unpickle(
        python2({"a": array2(A), "f": array2(np.asfortranarray(A)), "c": chumpy2(A), "s": sparse2(SPARSE)}),
        "x",
    )
    for name, wanted in {"a": A, "f": A, "c": A, "s": SPARSE}.items():
        np.testing.assert_array_equal(to_array(read[name]), wanted)


def call(function, *arguments):
    """A value whose unpickling calls a function."""

    class Call:
        def __reduce__(self):
            return function, arguments

    return Call()


MARK = os.path.join(tempfile.gettempdir(), f"steadyface-pickle-was-run-{os.getpid()}")


def attacks():
    mark = f"open({MARK!r}, 'w')"
    named = {
        "os.system": call(os.system, f"touch {MARK}"),
        "eval": call(eval, mark),
        "exec": call(exec, mark),
        "open": call(open, MARK, "w"),
        "getattr": call(getattr, "", "join"),
        "import": call(__import__, "antigravity"),
        "numpy.load": call(np.load, MARK),
        "numpy.save": call(np.save, MARK, 1),
        "numpy.fromfile": call(np.fromfile, MARK),
        "numpy.memmap": call(np.memmap, MARK, "u1", "w+", 0, (1,)),
        "numpy.testing.runstring": call(np.testing.runstring, mark, {}),
        "pickle.loads": call(pickle.loads, pickle.dumps(call(eval, mark))),
        "copyreg": call(copyreg.pickle, A.__class__, eval),
        "add_extension": call(copyreg.add_extension, "os", "system", 240),
        "bytes.fromhex": call(bytes.fromhex, "00"),
    }
    found = {f"{k}, protocol {p}": pickle.dumps({"a": v}, p) for k, v in named.items() for p in (0, 2, 4)}
    raw = {
        # numpy.testing's own way to run code, by name: it needs no such function to be installed.
        "numpy.testing": b"cnumpy.testing._private.utils\nrunstring\n" + text(mark) + b"}\x86R.",
        "old opcodes INST": b"(S'" + mark.encode() + b"'\ni__builtin__\neval\n.",
        "old opcodes OBJ": b"(c__builtin__\neval\nS'" + mark.encode() + b"'\no.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0blib.npyio.os\x93.",
        "dotted allowed name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        "attribute of an inert class": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__call__\x93)R.",
        "extension registry": b"\x80\x02\x82\xf0.",
        "persistent object": b"Pos.system\n.",
        "reconstructor of a real class": b"ccopy_reg\n_reconstructor\n(cos\n_Environ\nN\x85NtR.",
        "reconstructor of text": b"ccopy_reg\n_reconstructor\n(S'os'\nc__builtin__\nobject\nNtR.",
        "called text": b"S'os'\n(tR.",
        "called object": b"cchumpy.ch\nCh\n)\x81(tR.",
        "state of a class": b"cchumpy.ch\nCh\n}(S'value'\nI1\nub.",
        "attributes of a class": b"cchumpy.ch\nCh\n(N}(S'value'\nI1\nutb.",
        "items of a class": b"cchumpy.ch\nCh\nS'a'\nI1\ns.",
        "new object of a real class": b"\x80\x02cos\n_wrap_close\n)\x81.",
    }
    return found | raw


@pytest.mark.parametrize("attack", attacks().items(), ids=lambda kv: kv[0])
def test_malicious_pickles_are_refused_and_nothing_is_run(attack):
    if os.path.exists(MARK):
        os.remove(MARK)
    extensions = dict(copyreg._extension_registry)  # type: ignore[attr-defined]
    tables = dict(copyreg.dispatch_table)
    with pytest.raises(InputError) as error:
        unpickle(attack[1], "evil.pkl")
    assert str(error.value).startswith("evil.pkl")
    assert "\n" not in str(error.value)
    assert not os.path.exists(MARK)
    assert extensions == copyreg._extension_registry  # type: ignore[attr-defined]
    assert tables == copyreg.dispatch_table
    # What the reader stands on is as before.
    np.testing.assert_array_equal(to_array(unpickle(python2({"c": chumpy2(A)}), "x")["c"]), A)


def dtype2(code, state=b""):
    return b"cnumpy\ndtype\n" + text(code) + number(0) + number(1) + b"\x87R" + state


def filled(kind, shape, data):
    made = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0)
        + b"\x85"
        + text("b")
        + b"\x87R"
    )
    return (
        made + b"(" + number(1) + b"(" + b"".join(map(number, shape)) + b"t" + kind + b"\x89" + data + b"tb"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    {
        "addresses in place of objects": (filled(dtype2("O8"), [1], text(b"\1" * 8)), "without its list"),
        # The flags say that there are no objects in it.
        "objects disguised": (
            filled(
                dtype2(
                    "O8", b"(" + number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
                ),
                [1],
                text(b"\1" * 8),
            ),
            "without its list",
        ),
        "fields": (filled(dtype2("O8,i4"), [1], text(b"\1" * 12)), "kind"),
        "too few bytes": (filled(dtype2("f8"), [3], text(b"\0" * 8)), "reshape"),
        "too many bytes": (filled(dtype2("f8"), [1], text(b"\0" * 24)), "reshape"),
        "endless": (filled(dtype2("f8"), [-1, 0], text(b"")), "reshape|resize|number"),
        "type is text": (filled(text("f8"), [1], text(b"\0" * 8)), "without its type"),
        "no state": (b"cnumpy.core.multiarray\n_reconstruct\n)R", "without its state"),
        "another codec": (
            filled(dtype2("f8"), [1], b"c_codecs\nencode\n" + text("a") + text("zip") + b"\x86R"),
            "_codecs.encode",
        ),
        "chumpy of chumpy": (
            object2("chumpy.ch", "Ch", {"x": object2("chumpy.ch", "MatVecMult", {})}),
            "expression",
        ),
        "sparse without end": (
            object2(
                "scipy.sparse.csc",
                "csc_matrix",
                {k: array2(np.zeros(1, int)) for k in ("data", "indices", "indptr")}
                | {"_shape": number(2**30) + number(2**30) + b"\x86"},
            ),
            "1073741824 x",
        ),
        "a set": (b"c__builtin__\nset\n]\x85R", "no array"),
        "text": (text("f"), "no array but str"),
    }.values(),
)
def test_broken_arrays_are_named(value, message):
    fields = Fields("model.pkl", unpickle(python2({"shapedirs": value}), "model.pkl"))
    with pytest.raises(InputError, match=message) as error:
        fields("shapedirs")
    assert "model.pkl" in str(error.value)
    assert "'shapedirs'" in str(error.value)


def test_truncated_pickles_are_named():
    whole = python2({"a": array2(A), "s": sparse2(SPARSE)})
    for length in range(len(whole) - 1):
        with pytest.raises(InputError, match=r"^x\.pkl is not a readable pickle"):
            unpickle(whole[:length], "x.pkl")
    with pytest.raises(InputError, match="not a dictionary"):
        unpickle(pickle.dumps([1]), "x.pkl")


def test_fields_say_what_is_missing_or_unfit():
    f = Fields("m.npz", {"a": A, "nan": np.array([np.nan]), "text": np.array("x")})
    assert f("b", "a", shape=(3, -1)) is not None
    with pytest.raises(InputError, match=r"m\.npz lacks 'b' or 'c'"):
        f("b", "c")
    with pytest.raises(InputError, match=r"'a' must have the shape \(any, 3\), got \(3, 4\)"):
        f("a", shape=(-1, 3))
    with pytest.raises(InputError, match="'nan' must be finite"):
        f("nan")
    with pytest.raises(InputError, match="'text' must be finite numbers"):
        f("text")


def test_dictionaries_of_npy_files_are_read_and_attacks_in_them_refused(tmp_path):
    np.save(tmp_path / "good.npy", np.array({"a": A, "rows": [A, A]}, object))
    read = read_npy(tmp_path / "good.npy")
    np.testing.assert_array_equal(to_array(read["rows"]), [A, A])
    np.save(tmp_path / "bad.npy", np.array({"a": call(os.system, f"touch {MARK}")}, object))
    with pytest.raises(
        InputError, match=r"bad\.npy is refused: its pickle asks for posix\.system|nt\.system"
    ):
        read_npy(tmp_path / "bad.npy")
    assert not os.path.exists(MARK)
    np.save(tmp_path / "plain.npy", A)
    with pytest.raises(InputError, match="not a dictionary"):
        read_npy(tmp_path / "plain.npy")
    (tmp_path / "noise.npy").write_bytes(b"noise")
    with pytest.raises(InputError, match=r"not a \.npy file"):
        read_npy(tmp_path / "noise.npy")


def test_a_plain_array_is_read_and_a_broken_one_is_not(tmp_path):
    np.save(tmp_path / "a.npy", A)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), A)
    whole = (tmp_path / "a.npy").read_bytes()
    np.save(tmp_path / "evil.npy", np.array([call(os.system, f"touch {MARK}")], object))
    (tmp_path / "cut.npy").write_bytes(whole[:-5])
    (tmp_path / "header.npy").write_bytes(whole.replace(b"}", b" "))
    for name in ("evil", "cut", "header", "none"):
        with pytest.raises(InputError, match=rf"cannot read .*{name}\.npy") as error:
            read_array(tmp_path / f"{name}.npy")
        assert "\n" not in str(error.value)
    assert not os.path.exists(MARK)


def test_npz_files_with_pickles_or_cut_short_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", v_template=np.array([call(os.system, f"touch {MARK}")], object))
    with pytest.raises(InputError, match=r"cannot read .*evil\.npz"):
        read_npz(tmp_path / "evil.npz")
    assert not os.path.exists(MARK)
    whole = io.BytesIO()
    np.savez(whole, a=A)
    (tmp_path / "cut.npz").write_bytes(whole.getvalue()[:-30])
    with pytest.raises(InputError, match=r"cannot read .*cut\.npz"):
        read_npz(tmp_path / "cut.npz")
    # A compression that no zip file has, in the entry and in the directory.
    broken = bytearray(whole.getvalue())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        broken[broken.index(mark) + place] = 77
    (tmp_path / "odd.npz").write_bytes(broken)
    with pytest.raises(InputError, match=r"cannot read .*odd\.npz: That compression method"):
        read_npz(tmp_path / "odd.npz")
