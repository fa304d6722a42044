import numpy as np
import pytest
from model_files import write_obj

from steadyface.errors import InputError
from steadyface.face_model.neutral_file import read_neutral
from steadyface.fit.sequence_terms import NeutralPrior
from steadyface.rotation import matrix_from_axis_angle

AXES = np.array([1.0, -1.0, -1.0])


@pytest.fixture
def face(tiny_model):
    return tiny_model.shape.neutral(np.array([1.0, -0.5, 0.8, 0.2, -1.0, 0.6])).astype(float)


@pytest.mark.parametrize(("unit", "turn"), [(1e-3, 0.0), (1.0, 0.7), (0.1, -0.4), (1e3, 0.2)])
def test_any_axes_and_any_unit_of_length_will_do(tiny_model, face, tmp_path, unit, turn):
    turned = (face * AXES) @ matrix_from_axis_angle(np.array([0.1, turn, 0.3])).T + [10, -300, 50]
    np.save(tmp_path / "a.npy", (turned * unit).astype(np.float32))
    got = read_neutral(tmp_path / "a.npy", tiny_model)
    # The rigid motion of a face is not known to less than what its identity may look like.
    np.testing.assert_allclose(got, face, atol=0.5)
    prior = NeutralPrior(tiny_model.shape, got)
    np.testing.assert_array_equal(prior.points, got)


def test_all_files_give_the_same(tiny_model, face, tmp_path):
    np.save(tmp_path / "a.npy", face[None])
    np.savez(tmp_path / "a.npz", vertices=face)
    write_obj(tmp_path / "a.obj", face, tiny_model.triangles)
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in face)
    axes = "".join(f"property double {a}\n" for a in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex {len(face)}\n{axes}end_header\n"
    (tmp_path / "a.ply").write_text(head + rows)
    wanted = read_neutral(tmp_path / "a.npy", tiny_model)
    for name in ("a.npz", "a.obj", "a.ply"):
        np.testing.assert_allclose(read_neutral(tmp_path / name, tiny_model), wanted, atol=1e-6)


def test_what_is_not_this_models_face_is_refused(tiny_model, face, tmp_path):
    rng = np.random.default_rng(0)
    bad = np.array(face)
    bad[3] = np.nan
    for array, message in (
        (face[:-1], r"must hold the 400 vertices of the face model 'tiny', \(400, 3\); got \(399, 3\)"),
        (face.T, r"must hold the 400 vertices"),
        (bad, "has a vertex that is not finite"),
        (rng.permutation(face), "mm from any face of the model 'tiny': are they in the same order"),
        (face * 1e7, "in no unit of length is it as large as a head"),
        (face * 0, "in no unit of length is it as large as a head"),
        (np.full((400, 3), "a"), "must hold numbers"),
        (np.array([{}]), "cannot read"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(InputError, match=message) as error:
            read_neutral(tmp_path / "a.npy", tiny_model)
        assert "\n" not in str(error.value)
    np.savez(tmp_path / "a.npz", face=face)
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.npz").write_bytes(b"")
    for name, message in (
        ("a.npz", "lacks the key 'vertices' or 'neutral'"),
        ("b.npz", "cannot read"),
        ("a.txt", "know .obj, .ply, .npy and .npz"),
        ("none.obj", "there is no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_neutral(tmp_path / name, tiny_model)
