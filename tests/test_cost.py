"""What questions cost, in gradients on all examples."""

import numpy as np
import pytest

from sfnbench.core import Calls
from sfnbench.cost import KINDS, price


def test_a_hessian_is_d_products_a_product_two_gradients_and_a_loss_a_third():
    prices = price(np.eye(len(KINDS)), dim=7)
    assert dict(zip(KINDS, prices, strict=True)) == {"loss": pytest.approx(1 / 3), "grad": 1, "hvp": 2, "hessian": 14}


def test_a_minibatch_costs_its_share():
    calls = Calls()
    for _ in range(10):
        calls.add("grad", share=0.1)
    calls.add("hvp")
    assert calls.counts.tolist() == [0, 10, 1, 0]
    assert price(calls.passes, dim=7) == pytest.approx(3)
