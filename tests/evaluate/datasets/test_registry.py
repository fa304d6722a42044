import inspect
import re
from pathlib import Path

import pytest

from steadyface.errors import InputError
from steadyface.evaluate.datasets import READERS, read_dataset

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_unknown_names_and_options_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="unknown dataset 'helen': know 300vw, 300w, 300w-lp, aflw"):
        read_dataset("helen", tmp_path)
    with pytest.raises(InputError, match="wflw has no option 'split': know subset"):
        read_dataset("wflw", tmp_path, split="test")
    with pytest.raises(InputError, match="portraits has no option 'dataset': know none"):
        read_dataset("portraits", tmp_path, dataset="mine")


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_at_once_what_an_empty_folder_lacks(name, tmp_path):
    with pytest.raises(InputError, match=r"(is missing|holds no video); expected layout: .*under the root"):
        read_dataset(name, tmp_path)
    with pytest.raises(InputError, match="is missing; expected layout:"):
        read_dataset(name, tmp_path / "nowhere")


def test_the_page_of_datasets_has_every_reader_and_its_options():
    text = (DOCS / "datasets.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)\|$", text, re.MULTILINE))
    assert set(rows) == set(READERS)
    for name, row in rows.items():
        for option in inspect.signature(READERS[name]).parameters:
            assert option in ("root", "dataset") or f"`{option}`" in row, (name, option)
