"""Denormal numbers count as zero where they are flushed, and only there."""

import pytest
import torch

from sfnbench.core.denormals import flushed

DTYPES = [torch.float32, torch.float64]


@pytest.fixture
def set_flushed():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_flush_denormal
    torch.set_flush_denormal(False)
    torch.set_num_threads(n_threads)


def half_of_the_smallest(dtype):
    return float(
        torch.full((9,), torch.finfo(dtype).tiny, dtype=dtype).div(2).sum()
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_they_are_zero_and_normal_numbers_are_not(set_flushed, dtype):
    set_flushed(False)
    assert half_of_the_smallest(dtype) > 0
    tiny = torch.tensor(torch.finfo(dtype).tiny, dtype=dtype)
    with flushed():
        assert half_of_the_smallest(dtype) == 0
        assert tiny * 1 == tiny
        assert tiny * 3 / 3 == tiny


@pytest.mark.parametrize("before", [False, True])
def test_it_is_as_before_afterwards(set_flushed, before):
    set_flushed(before)
    with pytest.raises(ValueError, match="broken"), flushed():
        raise ValueError("broken")
    assert (half_of_the_smallest(torch.float32) == 0) == before


def test_of_several_threads_none_is_changed(set_flushed):
    """Else a number's place in a tensor would decide, as each thread takes a part of it."""
    set_flushed(False)
    torch.set_num_threads(2)
    tiny = torch.full((400_000,), torch.finfo(torch.float32).tiny)
    for _ in range(2):
        with flushed():
            assert (tiny / 2 > 0).all()
        assert (tiny / 2 > 0).all()
