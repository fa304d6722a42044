import shutil

import numpy as np
import pytest

from steadyface.align.crop import Crop
from steadyface.align.methods import ALIGNMENT_METHODS, ASSETS, DEFAULT, check_method, make_aligner
from steadyface.align.regressor import Regressor
from steadyface.errors import InputError


def test_a_method_is_its_network_and_what_runs_it(tmp_path):
    shutil.copy(ASSETS / "regressor.onnx", tmp_path / "displacement.onnx")
    aligner = make_aligner("displacement", assets=tmp_path)
    assert isinstance(aligner, Regressor)
    assert aligner.path == tmp_path / "displacement.onnx"
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    crops = [Crop(np.array([25.0, 25.0]), 30.0)]
    (found,), (expected,) = aligner(image, crops), Regressor()(image, crops)
    np.testing.assert_array_equal(found.translation, expected.translation)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(InputError, match=r"the method 'displacement' is missing, .*displacement\.onnx: inst"):
        make_aligner("displacement", assets=tmp_path)


def test_an_unknown_method_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="unknown method 'best': known are 3ddfa_v2, displacement, local-mo"):
        make_aligner("best")


def test_the_default_is_the_shipped_live_network():
    assert check_method(DEFAULT).asset == "regressor.onnx"
    assert make_aligner().path == ASSETS / "regressor.onnx"
    assert set(ALIGNMENT_METHODS) == {"3ddfa_v2", "displacement", "local-motion"}
