import numpy as np
import pytest

from steadyface.errors import OutputError
from steadyface.evaluate.datasets.mesh_file import read_mesh
from steadyface.export.obj import write_obj


def test_a_mesh_comes_back_with_y_up(tiny_model, tmp_path):
    write_obj(tiny_model.shape.mean, tiny_model.triangles, tmp_path / "head.obj")
    mesh = read_mesh(tmp_path / "head.obj")
    np.testing.assert_allclose(mesh.vertices * [1, -1, -1], tiny_model.shape.mean, atol=1e-4)
    np.testing.assert_array_equal(mesh.triangles, tiny_model.triangles)
    with pytest.raises(OutputError, match="does not exist"):
        write_obj(tiny_model.shape.mean, tiny_model.triangles, tmp_path / "none" / "head.obj")
