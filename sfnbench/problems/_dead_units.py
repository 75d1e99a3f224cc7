"""The dead-unit ladder: critical points of a narrower network are critical points of a wider one.

A hidden unit of tanh whose weights, in and out, and bias are zero says nothing and learns nothing: its gradient vanishes
exactly. So a critical point of h' < h units, padded with dead ones, is one of h units. Each dead unit adds the eigenvalues
weight_decay +- sigma_j, sigma the singular values of C = mean_b (dL/dz)_b (x_b, 1)^T, and weight_decay for the rest.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..core import CoordinateSubspace, Problem

Descents = Callable[[Tensor], int]


def ladder(
    widths: tuple[int, ...], shapes: tuple[tuple[int, int], ...], descents: Descents, narrower: Callable[[int], Problem]
) -> tuple[CoordinateSubspace, ...]:
    """The rungs 0, 1, ..., h - 1 of a network with one hidden layer of h units.

    `descents` is theta (d,) -> the number of sigma_j above the weight decay, `narrower` makes the network of so many
    units. theta holds the layers as matrices by rows.
    """
    _, h, n_out = widths
    n_first = math.prod(shapes[0])
    outer = n_first + torch.arange(math.prod(shapes[1])).view(n_out, h + 1)
    rungs = []
    for alive in range(h):
        inner = torch.arange(alive * shapes[0][1])
        places = torch.cat([inner, outer[:, :alive].ravel(), outer[:, h]]).sort().values
        across = functools.partial(_across, descents, h - alive)
        rungs.append(CoordinateSubspace(f"{alive} units", places, across, narrower(alive) if alive else None))
    return tuple(rungs)


def errors_on_inputs(e: Tensor, x: Tensor) -> Tensor:
    """C (n_out, n_in + 1), the mean over examples of the criterion's slopes e (n_out, n) times the inputs x (n_in, n)."""
    return e @ functional.pad(x, (0, 0, 0, 1), value=1.0).mT / x.shape[1]


def _across(descents: Descents, n_dead: int, theta: Tensor) -> int:
    return n_dead * descents(theta)
