"""The dead-unit ladder: critical points of a narrower network are critical points of a wider one.

A hidden unit of tanh whose weights, in and out, and bias are zero says nothing and learns nothing:
its gradient vanishes exactly. So a critical point of a network with fewer units, padded with dead
ones, is one of the wider network. A dead unit of hidden layer l adds the eigenvalues weight_decay
+- sigma_j, sigma the singular values of its detour

    C_l = mean_b (dL/dz_{l+1})_b (a_{l-1}, 1)_b^T,

z what goes into a layer's units and a what comes out of them, and weight_decay for the rest: to
second order a dead unit is a way from the layer before to the layer after, and the weights between
two dead units act to third order only.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..core.problem import CoordinateSubspace, Problem

Descents = Callable[[Tensor], Sequence[int]]


def ladder(
    hidden: tuple[int, ...],
    shapes: tuple[tuple[int, int], ...],
    descents: Descents,
    narrower: Callable[[int], Problem],
) -> tuple[CoordinateSubspace, ...]:
    """The rungs: networks of at most 0, 1, 2, ... units in each hidden layer, short of the whole.

    `descents` is theta (d,) -> for each hidden layer, the number of sigma_j above the weight decay;
    `narrower` makes the network of so many units a layer. theta holds the layers as matrices
    (n_out, n_in + 1) by rows, the bias last.
    """
    first = list(itertools.accumulate(map(math.prod, shapes), initial=0))
    rungs = []
    for most in range(max(hidden)):
        alive = [min(width, most) for width in hidden]
        outs, ins = [*alive, shapes[-1][0]], [shapes[0][1] - 1, *alive]
        places = [
            (start + torch.arange(math.prod(shape)).view(shape))[
                :n_out, [*range(n_in), -1]
            ].ravel()
            for start, shape, n_out, n_in in zip(
                first, shapes, outs, ins, strict=False
            )
        ]
        dead = [width - each for width, each in zip(hidden, alive, strict=True)]
        across = functools.partial(_across, descents, dead)
        name = f"{most} unit" if most == 1 else f"{most} units"
        rungs.append(
            CoordinateSubspace(
                name, torch.cat(places), across, narrower(most) if most else None
            )
        )
    return tuple(rungs)


def _across(descents: Descents, dead: Sequence[int], theta: Tensor) -> int:
    return sum(n * each for n, each in zip(dead, descents(theta), strict=True))
