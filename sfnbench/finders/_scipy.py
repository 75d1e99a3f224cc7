"""scipy's solvers as finders: one search at a time, each to its end, in one step."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.finder import Equations, Iterate

Array = NDArray[np.float64]
System = Callable[[Equations, Callable[[Array], Tensor], Array], Array]


def one_by_one(equations: Equations, at: Iterate, solve: System) -> Iterate:
    """The ends of ``solve(equations, placed, start (d,)) -> end (d,)``, called for each search.

    It gets the equations of that search, and `placed`, which turns an array into a point (1, d). A
    search becomes NaN where the solver gives up, as something was not finite.
    """
    ends = torch.empty_like(at.theta)
    for i, start in enumerate(at.theta):

        def placed(x: Array, start: Tensor = start) -> Tensor:
            return torch.as_tensor(x).to(start)[None]

        own = equations.of(torch.tensor([i]))
        try:
            ends[i] = placed(solve(own, placed, start.double().cpu().numpy()))[0]
        except (ValueError, np.linalg.LinAlgError):
            ends[i] = torch.nan
    return Iterate(ends, equations.grad(ends))
