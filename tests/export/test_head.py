from dataclasses import replace

import cv2
import numpy as np
import pytest
from textured_head import pattern, textured, turning

from steadyface.errors import InputError
from steadyface.evaluate.datasets.mesh_file import read_mesh
from steadyface.export.head import write_head
from steadyface.refine.layout import texture_layout


def test_the_neutral_face_is_written_with_its_texture(tiny_model, tmp_path):
    model = textured(tiny_model)
    track = turning(model, np.array([0.4]))
    identity = np.random.default_rng(0).normal(0, 1, model.identity_count)
    track = replace(track, identity=identity, expression=np.ones_like(track.expression))
    with pytest.raises(InputError, match="this track has no texture"):
        write_head(track, tmp_path / "face0.obj")
    shown = replace(track, texture=pattern(32), texture_confidence=np.ones((32, 32), np.float16))
    write_head(shown, tmp_path / "face0.obj")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["face0.mtl", "face0.obj", "face0.png"]
    mesh = read_mesh(tmp_path / "face0.obj")
    np.testing.assert_allclose(mesh.vertices * [1, -1, -1], model.shape.neutral(identity), atol=1e-3)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "face0.png"))[..., ::-1], shown.texture)
    lines = (tmp_path / "face0.obj").read_text().splitlines()
    uv = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], float)
    np.testing.assert_allclose(uv * [1, -1] + [0, 1], texture_layout(model), atol=1e-5)
