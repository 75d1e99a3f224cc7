"""Denormal numbers count as zero where they are flushed, and only there."""

import pytest
import torch

from sfnbench.core.denormals import flushed
from sfnbench.members.contract.shared import Waves
from sfnbench.metrics.measuring import measure

SINGLE = torch.zeros(1)


@pytest.fixture
def set_flushed():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)
    yield torch.set_flush_denormal
    torch.set_flush_denormal(False)
    torch.set_num_threads(n_threads)


def half_of_the_smallest(dtype=torch.float32):
    return float(
        torch.full((9,), torch.finfo(dtype).tiny, dtype=dtype).div(2).sum()
    )


@pytest.mark.usefixtures("set_flushed")
def test_in_float32_they_are_zero_and_normal_numbers_are_not():
    assert half_of_the_smallest() > 0
    tiny = torch.tensor(torch.finfo(torch.float32).tiny)
    with flushed(SINGLE):
        assert half_of_the_smallest() == 0
        assert tiny * 1 == tiny
        assert tiny * 3 / 3 == tiny


@pytest.mark.usefixtures("set_flushed")
def test_in_float64_nothing_changes():
    with flushed(SINGLE.double()):
        assert half_of_the_smallest() > 0
        assert half_of_the_smallest(torch.float64) > 0


@pytest.mark.parametrize("before", [False, True])
def test_it_is_as_before_afterwards(set_flushed, before):
    set_flushed(before)
    with pytest.raises(ValueError, match="broken"), flushed(SINGLE):
        raise ValueError("broken")
    assert (half_of_the_smallest() == 0) == before


@pytest.mark.usefixtures("set_flushed")
def test_of_several_threads_none_is_changed():
    """Else a number's place in a tensor would decide, as each thread takes a part of it."""
    torch.set_num_threads(2)
    tiny = torch.full((400_000,), torch.finfo(torch.float32).tiny)
    for _ in range(2):
        with flushed(SINGLE):
            assert (tiny / 2 > 0).all()
        assert (tiny / 2 > 0).all()


@pytest.mark.usefixtures("set_flushed")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_metrics_in_float32_are_measured_so(dtype):
    halves = []

    class Watched(Waves):
        def loss(self, theta, batch):
            halves.append(half_of_the_smallest())
            return super().loss(theta, batch)

    measure(Watched(), "loss", torch.ones(2, Waves.dim, dtype=dtype))
    assert halves
    assert all((half == 0) == (dtype == torch.float32) for half in halves)
    assert half_of_the_smallest() > 0
