"""Files that several datasets share: points, meshes, cameras, and the values that readers give."""

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.datasets.mat_file import read_mat
from steadyface.evaluate.datasets.mesh_file import read_mesh
from steadyface.evaluate.datasets.points_file import read_picked_points
from steadyface.evaluate.datasets.sample import Calibration, Clip, Sample
from steadyface.rotation import matrix_from_axis_angle

rng = np.random.default_rng(0)


def test_picked_points_come_in_order_and_inactive_ones_are_unknown(tmp_path):
    file = tmp_path / "a.pp"
    file.write_text(
        "<!DOCTYPE PickedPoints>\n<PickedPoints>\n <DocumentData>\n  <User name='x'/>\n </DocumentData>\n"
        ' <point x="1.5" y="-2" z="3e1" active="1" name="0"/>\n'
        ' <point active="0" name="1" z="3" y="2" x="1"/>\n</PickedPoints>\n'
    )
    np.testing.assert_array_equal(read_picked_points(file), [[1.5, -2, 30], [np.nan] * 3])
    file.write_text("points: 1 2 3")
    with pytest.raises(InputError, match="not a file of picked points"):
        read_picked_points(file)


VERTICES = np.array([[0, 0, 0], [1.5, 0, 0], [1.5, 2.25, 0], [0, 2.25, -1]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def test_obj_with_quads_texture_and_negative_indices(tmp_path):
    file = tmp_path / "a.obj"
    head = "# scan\nmtllib a.mtl\n" + "".join(f"v {x} {y} {z} 0.5 0.5 0.5\nvt 0 0\n" for x, y, z in VERTICES)
    for faces in ("f 1/1 2/2/2 3//3 4\n", "f 1 2 3\nf 1 3 4\n", "f -4 -3 -2 -1\n"):
        file.write_text(head + faces)
        mesh = read_mesh(file)
        np.testing.assert_array_equal(mesh.vertices, VERTICES)
        np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    file.write_text(head + "f 1 2 9\n")
    with pytest.raises(InputError, match="names a vertex that it does not have"):
        read_mesh(file)


def ply_header(kind, faces=2):
    return (
        f"ply\nformat {kind} 1.0\ncomment made by a test\nelement vertex 4\n"
        "property float x\nproperty float y\nproperty float z\nproperty uchar red\n"
        f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    )


def test_ply_as_text_and_binary(tmp_path):
    file = tmp_path / "a.ply"
    rows = "".join(f"{x} {y} {z} 200\n" for x, y, z in VERTICES)
    file.write_text(ply_header("ascii", 1) + rows + "4 0 1 2 3\n")
    meshes = [read_mesh(file)]
    for kind, order in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        v = np.zeros(4, [("p", order + "f4", 3), ("red", "u1")])
        v["p"] = VERTICES
        f = np.zeros(2, [("n", "u1"), ("i", order + "i4", 3)])
        f["n"], f["i"] = 3, TRIANGLES
        file.write_bytes(ply_header(kind).encode() + v.tobytes() + f.tobytes())
        meshes.append(read_mesh(file))
    for mesh in meshes:
        np.testing.assert_array_equal(mesh.vertices, VERTICES)
        np.testing.assert_array_equal(mesh.triangles, TRIANGLES)


def test_meshes_that_cannot_be_read_are_named(tmp_path):
    file = tmp_path / "a.ply"
    with pytest.raises(InputError, match=r"a\.ply is missing"):
        read_mesh(file)
    file.write_text("plywood")
    with pytest.raises(InputError, match=r"cannot read the mesh .*a\.ply: it has no PLY header"):
        read_mesh(file)
    with pytest.raises(InputError, match=r"know \.obj, \.ply"):
        read_mesh(tmp_path / "a.stl")


def test_mat_files_name_what_they_lack(tmp_path):
    io = pytest.importorskip("scipy.io")
    file = tmp_path / "a.mat"
    io.savemat(file, {"pt2d": np.arange(6).reshape(2, 3)})
    np.testing.assert_array_equal(read_mat(file, ("pt2d",))["pt2d"], [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(InputError, match="no array Pose_Para: it holds pt2d"):
        read_mat(file, ("Pose_Para",))
    file.write_text("not MATLAB's")
    with pytest.raises(InputError, match=r"a\.mat is not a \.mat file"):
        read_mat(file, ("pt2d",))


def test_without_scipy_mat_files_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(InputError, match=r"^reading a\.mat needs SciPy: pip install .*evaluate"):
        read_mat(tmp_path / "a.mat", ())


def test_calibration_projects_as_worked_by_hand():
    """World (30, -20, 0) is 400 mm before the camera: 1000 x (30, -20) / 400 + (320, 240) = (395, 190)."""
    k = np.array([[1000, 0, 320], [0, 1000, 240], [0, 0, 1.0]])
    plain = Calibration(k, np.hstack([np.eye(3), [[0], [0], [400]]]))
    np.testing.assert_allclose(plain.project(np.array([30, -20, 0.0])), [395, 190])
    # k1 = 0.1 at (0.075, -0.05): r^2 = 0.008125, factor 1.0008125.
    bent = Calibration(k, plain.extrinsics, np.array([0.1, 0, 0, 0, 0]))
    expected = np.array([320, 240]) + 1.0008125 * np.array([75, -50])
    np.testing.assert_allclose(bent.project(np.array([[30, -20, 0.0]])), [expected])


def test_calibration_moves_points_as_its_matrix_does():
    k = np.array([[900, 0, 320], [0, 950, 240], [0, 0, 1.0]])
    rt = np.hstack([matrix_from_axis_angle(np.array([0.1, 0.5, -0.2])), [[10.0], [20], [900]]])
    points = 50 * rng.normal(size=(4, 5, 3))
    homogeneous = np.concatenate([points, np.ones((4, 5, 1))], -1) @ rt.T @ k.T
    found = Calibration(k, rt).project(points)
    np.testing.assert_allclose(found, homogeneous[..., :2] / homogeneous[..., 2:], atol=1e-9)


def test_images_are_read_when_asked_for_and_in_stored_colours(tmp_path):
    file = tmp_path / "a.png"
    sample = Sample("ours", "a", file)
    with pytest.raises(InputError, match=r"cannot read the image .*a\.png"):
        sample.image()
    rgb = rng.integers(0, 255, (4, 6, 3), np.uint8)
    cv2.imwrite(str(file), rgb[..., ::-1])
    np.testing.assert_array_equal(sample.image(), rgb)
    clip = Clip("ours", "b", (file, file), 2)
    assert [np.array_equal(f, rgb) for f in clip.frames()] == [True, True]
    assert len(clip) == 2
    with pytest.raises(InputError, match="ours c has no image"):
        Sample("ours", "c", None).image()
