"""What questions cost, priced in gradients: the machine-independent axis of every comparison."""

from __future__ import annotations

import numpy as np

KINDS = ("loss", "grad", "hvp", "hessian")  # the questions of an Oracle, in the order of every stored array of calls


def price(passes: np.ndarray, dim: int) -> np.ndarray:
    """The cost (...) of questions (..., 4) by kind, in gradients on all examples of a problem of `dim` parameters.

    A loss is the forward third of a gradient, a Hessian-vector product two gradients, a Hessian `dim` such products; a
    question on a minibatch counts as that share of a pass which its examples are of all examples.
    """
    return passes @ np.array([1 / 3, 1.0, 2.0, 2.0 * dim])
