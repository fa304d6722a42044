import json
import sys

import pytest

from steadyface import cli, info
from steadyface.errors import InputError

ROW = {
    "method": "a paper",
    "network": "large",
    "input": "3 x 9 x 9",
    "parameters": 3_270_000,
    "multiply_adds": 51_400_000_000,
    "paper_parameters": 3.3e6,
    "paper_multiply_adds": None,
    "asset": None,
}


def write(path, *changes):
    path.write_text(json.dumps([{**ROW, **change} for change in changes]))
    return path


def test_networks_stand_beside_the_papers_figures(tmp_path):
    (tmp_path / "small.onnx").write_bytes(bytes(2_540_000))
    table = write(
        tmp_path / "table.json",
        {},
        {"network": "small", "parameters": 76_289, "multiply_adds": 999_600, "asset": "small.onnx"},
        {"network": "lost", "parameters": 850, "asset": "lost.onnx"},
    )
    columns, rows = info.networks(table, tmp_path)
    assert columns[3:7] == ("parameters", "paper's", "multiply-adds", "paper's")
    assert rows[0] == ("a paper", "large", "3 x 9 x 9", "3.27 M", "3.30 M", "51.4 G", "-", "-")
    assert rows[1][3:] == ("76.3 k", "3.30 M", "1.00 M", "-", "small.onnx, 2.5 MB")
    # What is not there is not shipped.
    assert rows[2][3] == "0.85 k"
    assert rows[2][-1] == "-"


@pytest.mark.parametrize("text", [None, "not JSON"])
def test_a_missing_or_broken_table_is_named(tmp_path, text):
    path = tmp_path / "table.json"
    if text:
        path.write_text(text)
    with pytest.raises(InputError, match=r"table\.json is missing or broken: install steadyface again"):
        info.networks(path)


def test_the_command_prints_every_network_in_columns(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["steadyface", "info", "--networks"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(json.loads(info.NETWORKS.read_text()))
    start = lines[0].index("multiply-adds")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines)
    (shipped,) = (line for line in lines if "regressor.onnx" in line)
    assert shipped.startswith("3DDFA_V2")
    (paper,) = (line for line in lines if "MobileNet, 62 outputs" in line)
    assert paper.split()[-6:] == ["M", "183", "M", "183", "M", "-"]
