"""Products as CUDA graphs: the same numbers, and nothing of it elsewhere."""

import pytest
import torch

from sfnbench.core.cuda_graph import LAUNCHES_DOMINATE, N_ONE_BY_ONE, recorded

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
H = torch.tensor([[3.0, 1.0], [1.0, -2.0]])


def product(v):
    return H.to(v) @ v


def test_elsewhere_a_product_stays_as_it_is():
    assert recorded(product, torch.zeros(2), 1) is product


@on_gpu
def test_on_a_gpu_a_large_product_stays_as_it_is():
    assert (
        recorded(product, torch.zeros(2, device="cuda"), LAUNCHES_DOMINATE + 1)
        is product
    )


@on_gpu
def test_on_a_gpu_all_products_have_the_same_numbers():
    matrix = H.cuda()
    faster = recorded(lambda v: matrix @ v, torch.zeros(2, device="cuda"), 1)
    vectors = torch.randn(N_ONE_BY_ONE + 4, 2, device="cuda")
    found = [faster(v) for v in vectors]  # each in a tensor of its own
    for v, each in zip(vectors, found, strict=True):
        assert torch.equal(each, matrix @ v)
