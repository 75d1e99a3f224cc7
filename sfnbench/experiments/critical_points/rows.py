"""The end of a search as a row of numbers: what kind of point it is, and what it cost."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.cost import QUESTIONS
from ...core.metric import Metric
from ...core.problem import Problem
from ...linalg.inertia import count_below
from ...linalg.newton import GRADIENT_FLAT
from ...metrics.certificate import kind_of, tail
from ...metrics.gradient_norm import GradientNorm
from ...metrics.loss import Loss
from ...metrics.measuring import measure
from ...records import Run, Status
from ..checkpoints import Kept
from .known import is_known_loss
from .search import Ends
from .spectrum import Spectrum, hessian_at, spectrum_at
from .starts import Start
from .views import Restricted


class Measured(NamedTuple):
    """The end of one search: its row, spectrum and point (d,)."""

    row: dict[str, Any]
    spectrum: Spectrum
    point: np.ndarray

    @classmethod
    def of(cls, kept: Kept) -> Measured:
        """From what `kept` gave."""
        spectrum = Spectrum(
            np.asarray(kept["values"]), np.asarray(kept["weights"]), kept["facts"]
        )
        return cls(kept["row"], spectrum, np.asarray(kept["point"]))

    def kept(self) -> Kept:
        """All of it, for a checkpoint."""
        kept = {"row": self.row, "point": self.point}
        return {**kept, **self.spectrum._asdict()}


def measured(
    run: Run, space: Problem, start: Start, ends: Ends, i: int
) -> Measured:
    """The end of search i in a space, measured in the whole problem."""
    whole = space
    theta = ends.theta[i]
    if isinstance(space, Restricted):
        whole = space.problem
        theta = space.embedded(theta)
    row: dict[str, Any] = {"path": None, "path_step": None, "noise": None}
    row.update(start.facts)
    row["subspace"] = space.subspace.name if isinstance(space, Restricted) else None
    row.update(_start_facts(run, space, ends.starts[i]))
    row.update(_levels(whole, theta, run.settings["energy"]))
    spectrum = spectrum_at(whole, theta, run.settings)
    row.update(spectrum.facts)
    row["converged"] = bool(row["gradient_norm"] ** 2 < run.settings["cut_off"])
    row["end_point"] = _kind(row)
    if row["converged"] and whole.tangent(theta) is None:
        begun = ends.starts[i]
        if isinstance(space, Restricted):
            begun = space.embedded(begun)
        # the gradient in a tail is small, but no more than that
        if kind := tail(whole, theta, begun):
            row["converged"] = False
            row["end_point"] = kind
    row["status"] = str(_status(row))
    row["steps"] = int(ends.steps[i])
    row["seconds"] = float(ends.seconds[i])
    for k, kind in enumerate(QUESTIONS):
        row[f"n_{kind}"] = int(ends.calls[i, k])
    if isinstance(space, Restricted) and row["converged"]:
        within = count_below(space.hessian(ends.theta[i], None).cpu().numpy())
        row["predicted_index"] = within + space.subspace.normal_index(theta)
    for name in whole.measures:
        row[name] = _metric_at(whole, name, theta)
    return Measured(row, spectrum, theta.cpu().numpy())


def mark_distinct(
    rows: list[dict[str, Any]],
    points: list[np.ndarray],
    problem: Problem,
    tolerance: float,
) -> None:
    """Mark the first row of each critical point as distinct, and the rows of known ones as known.

    Two points (d,) are the same where their invariants agree to within a relative tolerance. A
    point is known where the problem's own table has its loss and index.
    """
    seen: list[np.ndarray] = []
    for row, point in zip(rows, points, strict=True):
        row["distinct"] = False
        row["known"] = None
        if not row["converged"]:
            continue
        numbers = problem.invariants(torch.as_tensor(point)).numpy()
        apart = [
            np.abs(numbers - other).max() / (1 + np.abs(other).max())
            for other in seen
        ]
        if not any(distance <= tolerance for distance in apart):
            row["distinct"] = True
            seen.append(numbers)
        if len(problem.critical_points) > 1:
            row["known"] = _is_known(row, problem)


def _start_facts(run: Run, space: Problem, start: Tensor) -> dict[str, Any]:
    """Loss, energy, gradient norm and alpha at a start, in the whole problem."""
    whole = space
    if isinstance(space, Restricted):
        whole = space.problem
        start = space.embedded(start)
    facts = _levels(whole, start, run.settings["energy"])
    H, _ = hessian_at(whole, start)
    facts["alpha"] = count_below(H) / len(H) if np.isfinite(H).all() else None
    return {f"start_{name}": value for name, value in facts.items()}


def _levels(problem: Problem, theta: Tensor, energy: str) -> dict[str, Any]:
    """Loss, energy and gradient norm at theta (d,)."""
    return {
        "loss": _metric_at(problem, Loss(), theta),
        "energy": _metric_at(problem, energy, theta),
        "gradient_norm": _metric_at(problem, GradientNorm(), theta),
    }


def _metric_at(problem: Problem, what: str | Metric, theta: Tensor) -> float:
    return float(next(iter(measure(problem, what, theta[None]).values()))[0])


def _kind(row: dict[str, Any]) -> str:
    """The kind of a critical point, by the certificate's names; else why it is none."""
    if row["index"] is None or not math.isfinite(row["gradient_norm"]):
        return "diverged"
    if not row["converged"]:
        if (row["residual"] or 0) > GRADIENT_FLAT:
            return "gradient-flat"
        return "not critical"
    n_zero = np.zeros(row["n_zero"], dtype=bool)
    signs = np.array([-1] * row["index"] + [1] * row["n_positive"])
    return kind_of(np.append(signs < 0, n_zero), np.append(signs > 0, n_zero))


def _status(row: dict[str, Any]) -> Status:
    if row["end_point"] == "diverged":
        return Status.DIVERGED
    return Status.OK if row["converged"] else Status.STUCK


def _is_known(row: dict[str, Any], problem: Problem) -> bool:
    for known in problem.critical_points:
        is_same = is_known_loss(row["loss"], known.loss)
        if is_same and known.index == row["index"]:
            return True
    return False
