"""What questions cost, in gradients on all examples."""

import numpy as np
import pytest

from sfnbench.core.cost import PRICES, QUESTIONS, Calls, price, price_list
from sfnbench.errors import SfnbenchError


def test_a_hessian_is_d_products_a_product_two_gradients_and_a_loss_a_third():
    prices = price(np.eye(len(QUESTIONS)), dim=7)
    assert dict(zip(QUESTIONS, prices, strict=True)) == {
        "loss": pytest.approx(1 / 3),
        "grad": 1,
        "hvp": 2,
        "hessian": 14,
    }


def test_a_minibatch_costs_its_share():
    calls = Calls()
    for _ in range(10):
        calls.add("grad", share=0.1)
    calls.add("hvp")
    assert calls.counts.tolist() == [0, 10, 1, 0]
    assert price(calls.passes, dim=7) == pytest.approx(3)


def test_a_price_list_is_the_usual_one_with_others_in_their_place():
    prices = price_list(["hvp=1.65", "loss=0.5"])
    assert prices == {"loss": 0.5, "grad": 1.0, "hvp": 1.65, "hessian": 2.0}
    assert price(np.array([2.0, 1, 10, 1]), 7, prices) == pytest.approx(
        1 + 1 + 16.5 + 14
    )
    assert price_list([]) == PRICES
    for wrong, told in {
        "hpv=1": "a price of 'hpv': .*mean 'hvp'",
        "hvp": "a price of '' for hvp",
        "grad=-1": "'-1'",
        "loss=x": "'x'",
    }.items():
        with pytest.raises(SfnbenchError, match=told):
            price_list([wrong])
