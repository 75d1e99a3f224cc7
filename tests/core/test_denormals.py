"""Denormal numbers count as zero where they are flushed, and only there."""

import pytest
import torch

from sfnbench.core.denormals import flushed

DTYPES = [torch.float32, torch.float64]


@pytest.fixture
def set_flushed():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    yield torch.set_flush_denormal
    torch.set_flush_denormal(False)


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
