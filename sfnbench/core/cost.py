"""The cost of questions, counted by kind and priced in gradients.

Their cost is the machine-independent axis of every comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import SfnbenchError
from ..words import did_you_mean

# The kinds of question that an Oracle answers, in the order of every stored array of calls.
QUESTIONS = ("loss", "grad", "hvp", "hessian")

# In gradients, a Hessian's for each parameter.
PRICES = {"loss": 1 / 3, "grad": 1.0, "hvp": 2.0, "hessian": 2.0}


@dataclass
class Calls:
    """Questions asked of an oracle, by kind in the order of `QUESTIONS`.

    A gradient brings its loss and a curvature its gradient, at no further count. `counts` (4,) says
    how many were asked. `passes` (4,) weighs each by its batch's share of all examples, which is
    its cost.
    """

    counts: np.ndarray = field(
        default_factory=lambda: np.zeros(len(QUESTIONS), dtype=np.int64)
    )
    passes: np.ndarray = field(default_factory=lambda: np.zeros(len(QUESTIONS)))

    def add(self, kind: str, share: float = 1.0) -> None:
        """Count one question."""
        place = QUESTIONS.index(kind)
        self.counts[place] += 1
        self.passes[place] += share


def price(
    passes: np.ndarray, dim: int, prices: Mapping[str, float] = PRICES
) -> np.ndarray:
    """The cost (...) of questions (..., 4) by kind, on a problem of `dim` parameters.

    It is counted in gradients on all examples. By `PRICES` a loss is the forward third of a
    gradient, a Hessian-vector product two gradients, and a Hessian `dim` such products. A question
    on a minibatch costs the share of a pass that its examples are of all examples.
    """
    each = [prices[kind] * (dim if kind == "hessian" else 1) for kind in QUESTIONS]
    return passes @ np.array(each)


def price_list(given: Iterable[str]) -> dict[str, float]:
    """`PRICES` with some of them replaced, each given as in ``hvp=1.65``.

    Raises SfnbenchError for anything that is not a price.
    """
    prices = dict(PRICES)
    for each in given:
        kind, _, number = each.partition("=")
        if kind not in prices:
            known = ", ".join(QUESTIONS)
            hint = did_you_mean(kind, QUESTIONS)
            raise SfnbenchError(
                f"a price of {kind!r}: expected one of {known}{hint}"
            )
        prices[kind] = _as_price(kind, number)
    return prices


def _as_price(kind: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SfnbenchError(
            f"a price of {number!r} for {kind}: expected gradients as a number of at least 0"
        )
    return value
