import pytest

from steadyface.fit.blas_threads import one_blas_thread, openblas


def test_one_thread_within_and_as_many_as_before_after():
    found = openblas()
    if found is None:
        pytest.skip("numpy came without OpenBLAS")
    get, limit = found
    before = get()
    limit(2)
    try:
        asked = get()
        with one_blas_thread():
            assert get() == 1
        assert get() == asked
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert get() == asked
    finally:
        limit(before)
