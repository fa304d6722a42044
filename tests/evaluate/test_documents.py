"""The documentation names only what exists."""

import json
import re
from pathlib import Path

import numpy as np
import typer
from typer.testing import CliRunner

from steadyface.align.crop import ANCHOR_MM, SIDE_MM
from steadyface.align.methods import ALIGNMENT_METHODS
from steadyface.cli import app
from steadyface.evaluate import metrics
from steadyface.evaluate.datasets.registry import READERS
from steadyface.evaluate.methods import METHODS
from steadyface.evaluate.network_speed import networks_section
from steadyface.info import NETWORKS
from steadyface.learn.batches import BatchConfig
from steadyface.learn.objective import STRATEGIES
from steadyface.learn.settings import with_setting
from steadyface.learn.train import TrainConfig
from steadyface.learn.train import main as train_command
from steadyface.rotation import matrix_from_axis_angle, matrix_from_euler

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_every_page_of_the_menu_and_every_link_exists():
    pages = re.findall(r":\s+(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(pages) >= 7
    for page in pages:
        assert (DOCS / page).is_file(), page
        for link in re.findall(r"\]\(([^):#]+\.md)", (DOCS / page).read_text()):
            assert (DOCS / page).parent.joinpath(link).is_file(), (page, link)


def test_metrics_programs_and_commands_of_the_evaluation_page_exist():
    text = (DOCS / "evaluation.md").read_text()
    names = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", text, re.MULTILINE)
    known = {n for pair in names for n in pair if n}
    assert {"nme", "nmf", "jitter", "lag", "auc_fr"} <= known
    assert all(callable(getattr(metrics, n)) for n in known)
    for program in re.findall(r"python (benchmarks/\w+\.py)", text):
        assert (ROOT / program).is_file(), program
    benchmarks = set(re.findall(r"steadyface benchmark ([a-z]+)", text))
    assert {"steadybench", "live", "train", "fit", "clips", "portraits", "report"} <= benchmarks
    for name in benchmarks:
        assert CliRunner().invoke(app, ["benchmark", name, "--help"]).exit_code == 0, name
    datasets = set(re.findall(r"steadyface evaluate ([a-z0-9][\w-]*)", text))
    assert datasets
    assert datasets <= set(READERS)


def test_source_files_named_by_the_method_page_exist():
    text = (DOCS / "methods" / "3ddfa_v2.md").read_text()
    files = re.findall(r"`((?:learn|networks|face_model)/\w+\.py)", text)
    assert len(files) >= 5
    assert all((ROOT / "src" / "steadyface" / f).is_file() for f in files)


def test_losses_settings_and_commands_of_the_training_page_exist():
    text = (DOCS / "training.md").read_text()
    named = set(re.findall(r"^\| `([\w-]+)` \|.*\|.*\|$", text.partition("## Losses")[2], re.MULTILINE))
    assert named == {*STRATEGIES, "meta-joint"}
    config = TrainConfig("out", BatchConfig({}))
    settings = re.findall(r"--with (\S+=[\w.]+)", text)
    assert len(settings) >= 8
    for setting in settings:
        with_setting(config, setting)
    for module in set(re.findall(r"python -m steadyface\.(learn\.\w+)", text)):
        path = ROOT / "src" / "steadyface" / f"{module.replace('.', '/')}.py"
        assert "def main(" in path.read_text(), module
    training = typer.Typer()
    training.command()(train_command)
    options = {o for p in typer.main.get_command(training).params for o in p.opts}
    assert (
        set(re.findall(r"(?<!\w)--[a-z][a-z-]+", text.partition("## Train")[2].partition("## Short")[0]))
        <= options
    )


def test_the_conventions_page_has_the_crop_and_the_angles_right():
    text = (DOCS / "conventions.md").read_text()
    assert f"({', '.join(f'{v:g}' for v in ANCHOR_MM)}) mm" in " ".join(text.split())
    assert f"{SIDE_MM:g} mm" in text
    assert "R_y(-yaw) R_x(-pitch) R_z(roll)" in text
    pitch, yaw, roll = 0.1, 0.2, 0.3
    x, y, z = np.eye(3)
    expected = (
        matrix_from_axis_angle(-yaw * y)
        @ matrix_from_axis_angle(-pitch * x)
        @ matrix_from_axis_angle(roll * z)
    )
    np.testing.assert_allclose(matrix_from_euler(np.array([pitch, yaw, roll])), expected, atol=1e-12)
    # A face looks along -z of the model: yaw turns it to the subject's left, pitch up.
    nose = matrix_from_euler(np.array([pitch, yaw, 0])) @ -z
    assert nose[0] > 0
    assert nose[1] < 0


def test_the_networks_page_names_what_exists():
    text = (DOCS / "networks.md").read_text()
    files = re.findall(r"`((?:learn|networks|assets)/\w+\.\w+)`", text)
    assert len(files) >= 8
    assert all((ROOT / "src" / "steadyface" / f).is_file() for f in files)
    methods = {row["method"] for row in json.loads(NETWORKS.read_text())}
    table = text.partition("|---|---|---|")[2].partition("## ")[0]
    named = re.findall(r"^\| \[?([\w -]+)", table, re.MULTILINE)
    assert {name.strip().removesuffix(" learning") for name in named} == methods
    chosen = text.partition("## Choose one")[2].partition("## ")[0]
    assert {name for name in ALIGNMENT_METHODS if f"{name}`" in chosen} == set(ALIGNMENT_METHODS)
    assert set(re.findall(r"`(live[\w-]*)`", chosen)) <= set(METHODS)
    # The heading on the page of results that the text points to.
    anchor = re.findall(r"results\.md#([\w-]+)", text)
    assert anchor == ["-".join(networks_section([]).title.lower().split())]
