import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from steadyface.face_model.morphable import load_face_model
from steadyface.info import ASSETS, NETWORKS
from steadyface.learn.displacement_export import export_displacement
from steadyface.learn.local_motion_export import export_local_motion
from steadyface.learn.parameters import statistics
from steadyface.networks.catalogue import Network, Published, catalogue, weight_shapes, write_table
from steadyface.networks.complexity import parameter_count
from steadyface.networks.displacement import DisplacementRegressor
from steadyface.networks.local_motion import NETWORKS as LOCAL_MOTION
from steadyface.networks.local_motion import LocalMotion

#: Those that take seconds to count; MiT-b1 is made of the same parts.
SLOW = {"MiT-b2", "MiT-b5"}


@pytest.fixture(scope="module")
def networks():
    return catalogue()


@pytest.fixture(scope="module")
def table():
    return json.loads(NETWORKS.read_text())


def test_the_shipped_table_is_what_the_modules_give(networks, table):
    """Where this fails, `python -m steadyface.networks.catalogue` writes it anew."""
    names = [(n.method, n.name, n.asset) for n in networks]
    assert [(row["method"], row["network"], row["asset"]) for row in table] == names
    assert {n.name for n in networks} >= SLOW
    for network, row in zip(networks, table, strict=True):
        if network.name not in SLOW:
            assert network.row() == row, network.name


def test_every_method_is_there(table):
    methods = {row["method"] for row in table}
    assert methods == {"3DDFA_V2", "displacement", "local motion", "FlowFace", "SR-VFA", "steadyface"}
    assert len({(row["method"], row["network"]) for row in table}) == len(table)


def test_sizes_are_the_papers_where_they_print_them(table):
    printed = [row for row in table if row["paper_parameters"]]
    assert len(printed) >= 13
    for row in printed:
        assert row["parameters"] == pytest.approx(row["paper_parameters"], rel=0.03), row["network"]
        if row["paper_multiply_adds"]:
            assert row["multiply_adds"] == pytest.approx(row["paper_multiply_adds"], rel=0.03)


def test_shipped_files_have_the_parameters_of_their_networks(table):
    """Batch normalizations are folded, and integers have scales of their own: about a hundredth."""
    shipped = {row["asset"]: row for row in table if row["asset"]}
    assert set(shipped) == {path.name for path in ASSETS.glob("*.onnx")}
    for name, row in shipped.items():
        learned = sum(math.prod(shape) for shape in weight_shapes(ASSETS / name))
        assert learned == pytest.approx(row["parameters"], rel=0.05), name


def test_what_is_shipped_is_read_from_the_files(networks, tmp_path):
    model = load_face_model()
    assert weight_shapes(tmp_path / "displacement.onnx") == []
    lone = {
        n.name: n.asset for n in catalogue(model, tmp_path) if n.method in ("displacement", "local motion")
    }
    assert set(lone.values()) == {None}
    params = np.random.default_rng(0).normal(size=(9, 144))
    torch.manual_seed(0)
    network = DisplacementRegressor(statistics(params), statistics(params[:, :8]), 64, 0.25).eval()
    export_displacement(network, tmp_path / "displacement.onnx", model.name)
    motion = LocalMotion(LOCAL_MOTION["2D"]).eval()
    export_local_motion(motion, tmp_path / "local_motion.onnx", np.full(68, 0.01))
    shipped = {n.asset: n for n in catalogue(model, tmp_path)}
    assert shipped["displacement.onnx"].name == "ResNet-18 x 0.25, 80 + 52 coefficients"
    assert shipped["displacement.onnx"].shapes == ((1, 3, 64, 64),)
    assert parameter_count(shipped["displacement.onnx"].build()) == parameter_count(network)
    assert shipped["local_motion.onnx"].name == "2D"


def test_a_table_can_be_written(tmp_path):
    network = Network("a", "b", ((1, 6), (2, 3)), lambda: nn.Bilinear(6, 3, 1), Published(1e3, cpu_ms=2.0))
    simple = Network("a", "c", ((1, 6),), lambda: nn.Linear(6, 7), asset="c.onnx")
    assert [x.shape for x in network.inputs()] == [(1, 6), (2, 3)]
    write_table(tmp_path / "table.json", [simple])
    (row,) = json.loads((tmp_path / "table.json").read_text())
    assert row == {
        "method": "a",
        "network": "c",
        "input": "6",
        "parameters": 49,
        "multiply_adds": 42,
        "paper_parameters": None,
        "paper_multiply_adds": None,
        "asset": "c.onnx",
    }
