"""The changes of coordinates that leave a method's steps alone, measured on a saddle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.problem import Problem
from ..experiments.setup import Setup
from ..members import registry
from ..records import Run, Spec
from ..results.cells import Cell
from ..results.tables import Table

N_CARD_STEPS = 10
SAME = 1e-6  # relative: rounding grows near a saddle, a dependence is far larger
CARD_SADDLE = {"eigenvalues": [3, 1, -0.5, -2], "rotation": 1, "radius": 1}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reparametrised(Problem):
    """A problem in other coordinates, its loss in another unit: scale * f(A theta), A (d, d)."""

    base: Problem
    matrix: Tensor
    scale: float = 1.0

    @property
    def dim(self) -> int:
        """As many parameters as before."""
        return self.base.dim

    def start(self, rng: torch.Generator) -> Tensor:
        """The same point."""
        there = self.base.start(rng).to(self.matrix)
        return torch.linalg.solve(self.matrix, there)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The loss () of the same point, in the new unit."""
        return self.scale * self.base.loss(self.matrix.to(theta) @ theta, batch)


def invariances(label: str, use: str, params: Mapping[str, Any]) -> Table:
    """One row: for each change of coordinates, by how much ten steps differ, relative to the path.

    The four directions are those of a saddle of index 2. Noise that the method adds is left out.
    """
    d = len(CARD_SADDLE["eigenvalues"])  # type: ignore[arg-type]
    eye = torch.eye(d, dtype=torch.float64)
    turned = torch.linalg.qr(
        torch.arange(1.0, d * d + 1, dtype=torch.float64).reshape(d, d) % 7
    )
    changes = {
        "rotation": (turned.Q, 1.0),
        "permutation": (eye.flip(0), 1.0),
        "loss times 10": (eye, 10.0),
        "parameters times 10": (0.1 * eye, 1.0),
        "each parameter its own unit": (
            torch.diag(10.0 ** torch.linspace(-1, 1, d).double()),
            1.0,
        ),
    }
    run = Run(
        "card",
        "race",
        Spec("quadratic_saddle", "saddle", dict(CARD_SADDLE), ""),
        Spec(use, label, dict(params), ""),
        (0,),
        {},
    )
    plain = _points_of_path(run, eye, 1.0)
    line: dict[str, Any] = {"optimizer": label}
    for name, (matrix, scale) in changes.items():
        line[name] = _verdict(plain, _points_of_path(run, matrix, scale))
    return [line]


# -- inside ----------------------------------------------------------------------------------------


def _points_of_path(run: Run, matrix: Tensor, scale: float) -> Tensor:
    """The points (STEPS + 1, d) of one trajectory, in the first coordinates."""
    base = registry.build("problem", run.problem.use, run.problem.params)
    setup = Setup(run, Reparametrised(base=base, matrix=matrix, scale=scale))
    trajectories = setup.trajectories(setup.starts((0,)), (0,))
    points = [trajectories.theta[0]]
    batches = [(None,) * len(setup.batch_sizes)]
    noise = torch.zeros(1, setup.n_noise, base.dim, dtype=torch.float64)
    for _ in range(N_CARD_STEPS):
        trajectories.step(batches, noise if setup.n_noise else None)
        points.append(trajectories.theta[0].detach().clone())
    return torch.stack(points) @ matrix.T


def _verdict(plain: Tensor, changed: Tensor) -> Cell | str:
    if not torch.isfinite(plain).all():
        return "it diverges here"
    apart = float(
        (plain - changed).norm(dim=1).max() / (plain - plain[0]).norm(dim=1).max()
    )
    if apart < SAME:
        return "invariant"
    return Cell(apart, form=".2g") if apart < 1e6 else "breaks"
