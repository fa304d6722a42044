import cv2
import numpy as np
import pytest

from steadyface.errors import InputError, OutputError
from steadyface.evaluate.datasets.mesh_file import read_mesh
from steadyface.export.obj import write_obj


def test_a_mesh_comes_back_with_y_up(tiny_model, tmp_path):
    write_obj(tiny_model.shape.mean, tiny_model.triangles, tmp_path / "head.obj")
    mesh = read_mesh(tmp_path / "head.obj")
    np.testing.assert_allclose(mesh.vertices * [1, -1, -1], tiny_model.shape.mean, atol=1e-4)
    np.testing.assert_array_equal(mesh.triangles, tiny_model.triangles)
    assert [p.name for p in tmp_path.iterdir()] == ["head.obj"]
    with pytest.raises(OutputError, match="does not exist"):
        write_obj(tiny_model.shape.mean, tiny_model.triangles, tmp_path / "none" / "head.obj")


def test_the_texture_lies_beside_the_mesh_with_v_up(tiny_model, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    uv, uv_triangles = tiny_model.uv[::-1], len(tiny_model.uv) - 1 - tiny_model.uv_triangles
    path = tmp_path / "face0.head.obj"
    write_obj(
        *(tiny_model.shape.mean, tiny_model.triangles, path),
        uv=uv,
        uv_triangles=uv_triangles,
        texture=picture,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "face0.head.mtl",
        "face0.head.obj",
        "face0.head.png",
    ]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "face0.head.png"))[..., ::-1], picture)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["mtllib face0.head.mtl", "usemtl face"]
    material = (tmp_path / "face0.head.mtl").read_text()
    assert "newmtl face" in material
    assert "map_Kd face0.head.png" in material
    written = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], float)
    np.testing.assert_allclose(written, np.column_stack([uv[:, 0], 1 - uv[:, 1]]), atol=1e-6)
    faces = np.array(
        [[c.split("/") for c in line.split()[1:]] for line in lines if line.startswith("f ")], int
    )
    np.testing.assert_array_equal(faces[..., 0] - 1, tiny_model.triangles)
    np.testing.assert_array_equal(faces[..., 1] - 1, uv_triangles)
    np.testing.assert_array_equal(read_mesh(path).triangles, tiny_model.triangles)


def test_when_one_file_cannot_be_written_none_is(tiny_model, tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    (tmp_path / "head.mtl").mkdir()
    args = tiny_model.shape.mean, tiny_model.triangles, tmp_path / "head.obj"
    with pytest.raises(OutputError, match=r"head\.mtl: it is a folder"):
        write_obj(*args, uv=tiny_model.uv, uv_triangles=tiny_model.uv_triangles, texture=picture)
    assert [p.name for p in tmp_path.iterdir()] == ["head.mtl"]


def test_what_does_not_fit_is_refused(tiny_model, tmp_path):
    mesh = tiny_model.shape.mean, tiny_model.triangles
    path, uv, uv_triangles = tmp_path / "head.obj", tiny_model.uv, tiny_model.uv_triangles
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="go together"):
        write_obj(*mesh, path, uv=uv)
    with pytest.raises(InputError, match="needs texture coordinates"):
        write_obj(*mesh, path, texture=picture)
    with pytest.raises(InputError, match=r"uv \(U, 2\)"):
        write_obj(*mesh, path, uv=uv, uv_triangles=uv_triangles[:-1])
    with pytest.raises(InputError, match="a mesh has vertices"):
        write_obj(mesh[0][:, :2], mesh[1], path)
    with pytest.raises(InputError, match="scale it to 0"):
        write_obj(*mesh, path, uv=uv, uv_triangles=uv_triangles, texture=picture / 255)
    with pytest.raises(InputError, match=r"ends in \.obj"):
        write_obj(*mesh, tmp_path / "head.png", uv=uv, uv_triangles=uv_triangles, texture=picture)
    assert not list(tmp_path.iterdir())
