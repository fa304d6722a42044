from types import SimpleNamespace

import numpy as np
import pytest

from steadyface.evaluate.refine_study.occluders import error_ratios, occluders_section
from steadyface.evaluate.tables import Result


def results(errors):
    """errors: method to clip to (T,)."""
    return [
        Result(method, clip, SimpleNamespace(frames={"error": np.array(e, float)}), {})
        for method, of in errors.items()
        for clip, e in of.items()
    ]


def test_frames_in_which_both_found_the_face_are_paired():
    nan = np.nan
    found = error_ratios(results({"standard": {"a": [1, 2, nan, 4]}, "studio": {"a": [2, nan, 3, 5]}}))
    before, after = found["a"]
    np.testing.assert_array_equal(before, [1, 4])
    np.testing.assert_array_equal(after, [2, 5])


def test_the_worst_frame_decides():
    errors = {
        "standard": {"hand": [1.0] * 20, "hair": [2.0] * 20, "clean": [1.0] * 20},
        "studio": {"hand": [0.9] * 19 + [1.04], "hair": [1.0] * 20, "clean": [9.0] * 20},
    }
    conditions = {"hand": "hand", "hair": "hair"}
    section = occluders_section(results(errors), conditions, [], "command")
    assert section.targets[0].met
    assert section.targets[0].value == pytest.approx(1.04)
    (table,) = section.tables
    assert [row[:3] for row in table.rows] == [("hand", "hand", 20), ("hair", "hair", 20), ("all", "", 40)]
    errors["studio"]["hair"][3] = 3.0
    section = occluders_section(results(errors), conditions, results(errors), "command")
    assert not section.targets[0].met
    row = dict(zip(section.tables[0].columns, section.tables[0].rows[-1], strict=True))
    assert row["more than 5 % worse, % of frames"] == pytest.approx(2.5)
    assert row["worst ratio"] == pytest.approx(1.5)
    assert row["most added"] == pytest.approx(1.0)
    assert row["median ratio"] == pytest.approx(0.9)
    # Clips without truth are told, and set no goal.
    assert [r[0] for r in section.tables[1].rows] == ["hand", "hair", "clean"]
    assert len(section.targets) == 1


def test_no_frame_at_all_meets_nothing():
    section = occluders_section(
        results({"standard": {"a": [np.nan]}, "studio": {"a": [1]}}), {"a": "hand"}, [], ""
    )
    assert not section.targets[0].met
    assert section.tables[0].rows == ()
