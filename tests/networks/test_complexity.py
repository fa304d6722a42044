import pytest
import torch
from torch import nn

from steadyface.networks.complexity import multiply_adds, parameter_count


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # 5 x 5 outputs of 4 channels from 3 x 3 x 2 values each.
        (nn.Conv2d(2, 4, 3, padding=1), (2, 5, 5), 25 * 4 * 18),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 5, 5), 25 * 6 * 9),
        (nn.Conv3d(4, 6, 3), (4, 3, 5, 5), 9 * 6 * 4 * 27),
        # Every one of 5 x 5 inputs is spread over 3 x 3 outputs.
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 25 * 4 * 6 * 9),
        (nn.Linear(6, 7), (6,), 42),
        # Four gates that read the input and the last output, three times.
        (nn.LSTM(5, 7, batch_first=True), (3, 5), 3 * 4 * 7 * (5 + 7)),
        # Queries, keys, values and the result; scores and sums; the two linear layers.
        (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            (5, 8),
            5 * 4 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16,
        ),
        (nn.BatchNorm2d(6), (6, 5, 5), 25 * 6 * 4),
        (nn.BatchNorm3d(6), (6, 2, 5, 5), 50 * 6 * 4),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else None,
)
def test_multiply_adds_of_layers_done_by_hand(layer, shape, expected):
    assert multiply_adds(layer, torch.zeros(1, *shape)) == expected
    assert multiply_adds(layer, torch.zeros(3, *shape)) == 3 * expected


def test_folded_normalizations_count_nothing():
    assert multiply_adds(nn.BatchNorm2d(6), torch.zeros(1, 6, 5, 5), normalizations=False) == 0


def test_counting_leaves_the_module_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    module[2].eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    multiply_adds(module, torch.zeros(1, 3, 8, 8))
    assert [m.training for m in module] == [True, True, False]
    assert all(v.device.type == "cpu" and torch.equal(v, before[k]) for k, v in module.state_dict().items())
    module(torch.zeros(2, 3, 8, 8))


def test_a_module_without_values_can_be_counted():
    with torch.device("meta"):
        module = nn.Linear(10**5, 10**5)
    assert multiply_adds(module, torch.empty(1, 10**5)) == 10**10
    assert parameter_count(module) == 10**10 + 10**5
