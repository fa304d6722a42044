import json
import math

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate import report
from steadyface.evaluate.report import Section, Table, Target


def example(name="clips", value=3.25):
    return Section(
        name=name,
        title=f"Title of {name}",
        command=f"measure {name}",
        targets=(Target("error", value, "<=", 4.0, "%"),),
        tables=(Table("Caption.", ("a", "b"), (("x|y", 1.5), ("z", None), (np.float64(2.0), float("nan")))),),
        notes=("A note.",),
    )


@pytest.mark.parametrize(
    ("value", "relation", "met"),
    [(1.0, "<=", True), (1.0, "<", False), (0.9, ">=", False), (1.1, ">=", True)],
)
def test_a_target_is_met_by_its_relation_to_the_limit(value, relation, met):
    assert Target("t", value, relation, 1.0).met is met


def test_what_could_not_be_measured_is_not_met():
    assert not Target("t", math.nan, ">=", 1.0).met
    assert not Target("t", math.inf, ">=", 1.0).met


def test_saved_sections_come_back_and_the_page_shows_them_in_order(tmp_path):
    report.save(example("zebra"), tmp_path)
    report.save(example("startup", math.nan), tmp_path)
    page = report.save(example("clips"), tmp_path)
    again = report.load(tmp_path / "results" / "clips.json")
    assert again.targets == example().targets
    assert again.tables[0].columns == ("a", "b")
    assert again.machine["cores"] >= 1
    assert math.isnan(report.load(tmp_path / "results" / "startup.json").targets[0].value)
    text = page.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Title of clips", "## Title of startup", "## Title of zebra"]
    assert "| error | 3.25 % | <= 4 % | yes |" in text
    assert "| error | – % | <= 4 % | **no** |" in text
    assert "| x\\|y | 1.5 |" in text
    assert "| z | – |" in text


def test_a_section_measured_again_replaces_the_old_one(tmp_path):
    report.save(example(value=9.0), tmp_path)
    text = report.save(example(value=3.0), tmp_path).read_text()
    assert "**no**" not in text
    assert text.count("## ") == 1


def test_results_are_plain_json_without_nan(tmp_path):
    report.save(example(value=math.nan), tmp_path)
    content = json.loads((tmp_path / "results" / "clips.json").read_text(), parse_constant=pytest.fail)
    assert content["targets"][0]["value"] is None
    assert {"processor", "python", "numpy", "onnxruntime"} <= content["machine"].keys()


def test_a_broken_section_is_named(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json is not a section of results"):
        report.render(tmp_path)


def test_numbers_are_shown_to_three_figures():
    shown = [report._cell(float(x)) for x in (0.12345, 1.2345, 12.345, 1234.5, 4.0, 0.0)]
    assert shown == ["0.123", "1.23", "12.3", "1234.5", "4", "0"]
