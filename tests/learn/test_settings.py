import pytest

from steadyface.errors import InputError
from steadyface.learn.settings import read_shares


def test_shares_are_read_with_one_for_those_not_told():
    assert read_shares(["a/b=0.25", "c"]) == {"a/b": 0.25, "c": 1.0}


def test_a_share_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="folder=share, got 'a=much'"):
        read_shares(["a=much"])
