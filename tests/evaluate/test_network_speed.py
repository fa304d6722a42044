import sys

import pytest
import torch
from torch import nn

from steadyface.align.methods import ASSETS
from steadyface.errors import InputError
from steadyface.evaluate.network_speed import (
    COLUMNS,
    LOCAL_MOTION_ORDER,
    measure_networks,
    networks_section,
    onnx_ms,
)
from steadyface.evaluate.report import page
from steadyface.networks.catalogue import Network, Published
from steadyface.networks.timing import cpu_ms, time_network


class Busy(nn.Module):
    """Spends a known number of matrix products."""

    def __init__(self, products):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(150, 150))
        self.products, self.runs = products, 0

    def forward(self, x):
        self.runs += 1
        assert not self.training
        assert not torch.is_grad_enabled()
        # Multiply-adds are counted on shapes alone, with any number of threads.
        assert x.is_meta or torch.get_num_threads() == 1
        for _ in range(self.products):
            x = torch.tanh(x @ self.weight)
        return x


def entry(products, **keywords):
    return Network("a paper", f"{products}", ((150, 150),), lambda: Busy(products), **keywords)


def test_time_is_measured_outside_training_on_one_thread():
    network = Busy(1)
    threads = torch.get_num_threads()
    assert cpu_ms(network, (torch.rand(150, 150),), enough_s=0, least=7) > 0
    assert network.runs == 8
    assert torch.get_num_threads() == threads


def test_times_are_given_over_the_reference():
    own, gpu, ratio = time_network(1, 0, [entry(4), entry(32)])
    assert own > 0
    assert (gpu is None) == (not torch.cuda.is_available())
    assert 4 < ratio < 16


def test_the_shipped_files_run():
    assert onnx_ms(ASSETS / "detector.onnx", ((1, 3, 64, 64),), enough_s=0) > 0
    with pytest.raises(InputError, match="is missing"):
        onnx_ms(ASSETS / "none.onnx", ())


def test_sizes_and_times_stand_beside_the_papers(tmp_path):
    (tmp_path / "regressor.onnx").write_bytes((ASSETS / "regressor.onnx").read_bytes())
    live = Network("a paper", "live", ((1, 3, 120, 120),), lambda: nn.Conv2d(3, 4, 3), asset="regressor.onnx")
    paper = Published(2e4, 7e6, cpu_ms=6.2)
    done = []
    section = measure_networks([live, entry(2, paper=paper)], tmp_path, lambda *d: done.append(d))
    assert done == [(1, 2), (2, 2)]
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in section.tables[0].rows)
    assert first["ms, onnxruntime"] > 0
    assert first["times live"] == pytest.approx(1, rel=0.7)
    assert second["million parameters"] == 0.0225
    assert second["million multiply-adds"] == pytest.approx(2 * 150**3 / 1e6)
    assert second["ms, onnxruntime"] is None
    assert section.tables[0].rows[1][3] == 0.02
    assert section.tables[0].rows[1][5] == 7
    assert (second["paper, CPU"], second["paper, GPU"]) == (6.2, None)
    assert "| a paper | live |" in page([section])


def row(name, ms):
    return ("local motion", name, *(1.0,) * 4, ms, *(None,) * 5)


def test_the_order_of_the_local_motion_networks_is_computed():
    rows = [row(name, 1.0 + i) for i, name in enumerate(LOCAL_MOTION_ORDER)]
    assert "as fast in turn as table 7" in networks_section(rows).notes[-1]
    rows[0] = row("2D", 2.5)
    assert "are 2DRNN, 2D, 3D" in networks_section(rows).notes[-1]
    assert len(networks_section(rows[:3]).notes) == 1


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "steadyface.networks.catalogue")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="needs torch: install steadyface with its extra 'train'"):
        measure_networks()
