import json

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.datasets import read_dataset
from steadyface.evaluate.steadybench.clip import draw_script
from steadyface.evaluate.steadybench.plan import make_plan
from steadyface.evaluate.steadybench.truth import Truth, save_truth
from steadyface.face_model.morphable import load_face_model
from steadyface.video import write_video


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A benchmark folder of three clips whose pictures are plain: what its maker writes, by hand."""
    root = tmp_path_factory.mktemp("steadybench")
    model = load_face_model()
    plans = make_plan(clips=3, frames=4, size=(64, 48))
    rows = []
    for plan in plans:
        (root / plan.name).mkdir()
        script = draw_script(plan, model, np.random.default_rng(plan.seed))
        visible = np.random.default_rng(0).random((4, model.vertex_count)) < 0.7
        save_truth(Truth(script, visible), root / plan.name / "truth.npz")
        with write_video(root / plan.name / "video.mp4", plan.size, plan.fps) as write:
            for i in range(4):
                write(np.full((48, 64, 3), 50 * i, np.uint8), i / plan.fps)
        fields = ("name", "category", "condition", "motion", "expression", "tone")
        rows.append({k: getattr(plan, k) for k in fields})
    table = {"format": "steadybench", "textures": "mean", "clips": rows}
    (root / "steadybench.json").write_text(json.dumps(table))
    return root


def test_clips_come_with_their_whole_truth(root):
    clips = list(read_dataset("steadybench", root))
    assert [c.name for c in clips] == ["A01-talk-sway", "B01-talk-sway-lamp", "C01-talk-sway-hand"]
    for clip in clips:
        assert (len(clip), clip.fps, clip.markup) == (4, 25.0, "ibug68")
        assert clip.landmarks.shape == (4, 68, 3)
        assert clip.visible.shape == (4, 68)
        images = list(clip.frames())
        assert len(images) == 4
        assert images[0].shape == (48, 64, 3)
        truth = clip.attributes["truth"]
        np.testing.assert_array_equal(truth.points("ibug68"), clip.landmarks)
        mesh = clip.mesh(2)
        np.testing.assert_array_equal(mesh.vertices, truth.vertices(2))
        assert mesh.triangles.max() < len(mesh.vertices)
        # The mesh is in the camera's frame: projected, it lies around the landmarks.
        projected = truth.script.camera.project(mesh.vertices)
        middle = clip.landmarks[2, :, :2].mean(0)
        assert np.linalg.norm(np.median(projected, 0) - middle) < 20
    assert clips[2].attributes["condition"] == "hand"
    assert {c.attributes["textures"] for c in clips} == {"mean"}


def test_a_category_can_be_read_alone(root):
    assert [c.name for c in read_dataset("steadybench", root, subset="B")] == ["B01-talk-sway-lamp"]
    with pytest.raises(InputError, match="steadybench has no subset 'D': know all, A, B, C"):
        read_dataset("steadybench", root, subset="D")


def test_what_is_missing_or_foreign_is_named(root, tmp_path):
    (tmp_path / "steadybench.json").write_text((root / "steadybench.json").read_text())
    with pytest.raises(InputError, match=r"A01-talk-sway/video\.mp4 is missing; expected layout:"):
        read_dataset("steadybench", tmp_path)
    for text in ("{}", "nonsense", '{"format": "steadybench", "clips": [{}]}'):
        (tmp_path / "steadybench.json").write_text(text)
        with pytest.raises(InputError, match="is not the table of a benchmark"):
            read_dataset("steadybench", tmp_path)
