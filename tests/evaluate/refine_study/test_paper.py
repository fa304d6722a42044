import sys
from dataclasses import replace

import numpy as np
import pytest
from textured_head import pattern, pictures, textured, turning

from steadyface.errors import InputError
from steadyface.evaluate.refine_study import paper
from steadyface.evaluate.refine_study.paper import compare_modes, of_focal, paper_section, part_of
from steadyface.refine.irradiance import IrradianceBasis
from steadyface.refine.layout import texture_layout

T = 4


@pytest.fixture(scope="module")
def fast(tiny_model):
    """A track of the studio quality that says the truth of frames under plain light."""
    track = turning(textured(tiny_model), np.linspace(-0.2, 0.2, T))
    light = np.zeros((T, len(IrradianceBasis.of(track.model))), np.float32)
    light[:, 0] = 1.0
    return replace(
        track,
        texture=pattern(64),
        texture_confidence=np.ones((64, 64), np.float16),
        refined=np.ones(T, bool),
        irradiance=light,
    )


def test_a_part_of_a_track_is_that_of_its_rows(fast):
    rows = np.array([1, 3])
    part = part_of(fast, rows)
    assert len(part) == 2
    np.testing.assert_array_equal(part.frame_index, rows)
    np.testing.assert_allclose(part.landmarks("ibug68"), fast.landmarks("ibug68", rows))
    np.testing.assert_array_equal(part.irradiance, fast.irradiance[rows])
    assert part.texture is fast.texture
    assert len(part_of(fast, slice(2))) == 2
    # Even where shared arrays are as long as the track, they stay whole.
    six = turning(fast.model, np.zeros(6))
    assert len(six.identity) == 6
    assert len(part_of(six, slice(2)).identity) == 6


def test_another_focal_length_shows_the_head_as_large(fast):
    other = of_focal(fast, 2 * fast.focal)
    np.testing.assert_allclose(other.translation[:, 2], 2 * fast.translation[:, 2])
    origin = [f.camera.project(f.translation[:, None]) for f in (fast, other)]
    np.testing.assert_allclose(*origin)
    np.testing.assert_allclose(of_focal(other, fast.focal).landmarks("ibug68"), fast.landmarks("ibug68"))


def test_both_modes_are_judged_by_one_objective(fast):
    pytest.importorskip("torch")
    from steadyface.networks.self_refinement import SelfRefinementConfig
    from steadyface.refine.paper import PaperConfig

    networks = SelfRefinementConfig(
        texture_size=64, texture_width=8, texture_levels=2, irradiance_levels=2, identity_width=16
    )
    config = PaperConfig(
        *(T, T), epochs=2, inference_epochs=1, chunk=2, crop=64, irradiance_size=16, networks=networks
    )
    coarse = replace(fast, **dict.fromkeys(("texture", "texture_confidence", "refined", "irradiance")))
    frames = list(enumerate(pictures(fast, fast.texture, texture_layout(fast.model))))
    steps = []
    found = compare_modes(frames, coarse, fast, config, progress=lambda *n: steps.append(n))
    assert steps[-1] == (2, 2)
    # The fast mode is exact here, and changed nothing.
    assert found["fast"]["1 - SSIM"] < 0.05
    assert found["fast"]["change of expression and pose"] == pytest.approx(0, abs=1e-6)
    assert found["fast"]["irradiance"] == pytest.approx(0, abs=1e-6)
    assert found["fast"]["objective"] < found["coarse"]["objective"]
    assert found["paper"]["objective"] <= found["coarse"]["objective"] + 1e-3
    off = compare_modes(frames, coarse, replace(fast, irradiance=1.2 * fast.irradiance), config)
    assert off["fast"]["irradiance"] == pytest.approx(0.5 * 0.2, rel=1e-3)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("steadyface.refine.paper")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match="install steadyface with its extra 'train'"):
        paper.compare_with_paper("video.mp4")


def test_the_section_sets_the_fast_mode_its_goal():
    def of(fast, slow):
        terms = {"1 - SSIM": 0.1, "change of expression and pose": 0.0, "irradiance": 0.0}
        return {
            "coarse": {"objective": 0.5},
            "paper": {"objective": slow, "seconds": 60.0, **terms},
            "fast": {"objective": fast, "seconds": 3.0, **terms},
            "given": {"frames": 16, "epochs": 40, "device": "cpu"},
        }

    section = paper_section({"a": of(0.1, 0.2)}, "command")
    assert section.targets[0].met
    assert section.targets[0].value == pytest.approx(0.5)
    assert [row[:3] for row in section.tables[0].rows] == [
        ("a", "coarse", 0.5),
        ("a", "paper", 0.2),
        ("a", "fast", 0.1),
    ]
    assert "20 times" in section.notes[0]
    assert not paper_section({"a": of(0.1, 0.2), "b": of(0.3, 0.2)}, "command").targets[0].met
