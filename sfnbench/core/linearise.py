"""The loss of a problem to second order at one point, in the fastest way that there is.

See `core.curvature` for the matrices.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from .curvature import CurvatureKind, Linearisation, with_decay
from .derivatives import (
    linearise_eagerly,
    linearise_in_transforms,
    linearise_outputs,
)
from .network import Network
from .problem import Problem


def linearise(
    problem: Problem,
    theta: Tensor,
    batch: Any,
    kind: CurvatureKind = "hessian",
    *,
    eager: bool,
) -> Linearisation:
    """The loss of `problem` on `batch` to second order at theta (d,).

    `eager` is faster, but it does not run inside transforms.
    """
    if eager:
        own = problem.linearised(theta, batch, kind)
        if own is not None:
            return own
    if kind != "hessian":
        return _through_outputs(cast(Network, problem), theta, batch, kind)
    if eager:
        by_autograd = linearise_eagerly
    else:
        by_autograd = linearise_in_transforms
    return by_autograd(lambda t: problem.loss(t, batch), theta)


def _through_outputs(
    problem: Network, theta: Tensor, batch: Any, kind: CurvatureKind
) -> Linearisation:
    fit = linearise_outputs(
        lambda t: problem.outputs(t, batch),
        lambda outputs: problem.fit(outputs, batch),
        theta,
        kind,
    )
    return with_decay(fit, theta, problem.weight_decay)
