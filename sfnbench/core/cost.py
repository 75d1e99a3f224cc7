"""What questions cost, priced in gradients: the machine-independent axis of every comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import SfnbenchError
from ..words import did_you_mean

KINDS = (
    "loss",
    "grad",
    "hvp",
    "hessian",
)  # the questions of an Oracle, in the order of every stored array of calls
PRICES = {
    "loss": 1 / 3,
    "grad": 1.0,
    "hvp": 2.0,
    "hessian": 2.0,
}  # in gradients; a Hessian's for each parameter


def price(passes: np.ndarray, dim: int, prices: Mapping[str, float] = PRICES) -> np.ndarray:
    """The cost (...) of questions (..., 4) by kind, in gradients on all examples of a problem of `dim` parameters.

    By `PRICES` a loss is the forward third of a gradient, a Hessian-vector product two gradients, a
    Hessian `dim` such products; a question on a minibatch counts as that share of a pass which its
    examples are of all examples.
    """
    return passes @ np.array([prices[kind] * (dim if kind == "hessian" else 1) for kind in KINDS])


def price_list(given: Iterable[str]) -> dict[str, float]:
    """`PRICES` with others in their place, each as in ``hvp=1.65``.

    SfnbenchError for what is no price.
    """
    prices = dict(PRICES)
    for each in given:
        kind, _, number = each.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if kind not in prices:
            raise SfnbenchError(
                f"a price of {kind!r}: expected one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
            )
        if not 0 <= value < math.inf:
            raise SfnbenchError(
                f"a price of {number!r} for {kind}: expected gradients as a number of at least 0"
            )
        prices[kind] = value
    return prices
