"""Critical points: searched from many starts, each end measured, and nothing left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.cost import QUESTIONS
from ...core.finder import Finder
from ...core.problem import Problem
from ...errors import SuiteError
from ...linalg.inertia import count_below
from ...linalg.spectrum import lanczos_quadrature
from ...members import registry
from ...metrics import measuring as metrics
from ...records import Result, Run, Status
from ..race.execute import BATCH_BYTES, BATCH_DIM
from .search import Ends, search
from .starts import Restricted, Start, starts

# relative residual of Newton's system from which a gradient counts as lying in the Hessian's kernel
FLAT = 0.9
STRICTER = 1e-8  # where this threshold gives another index than the suite's, the index is not sure

# |eigenvalues| below this, in units of the largest, no longer help Newton's method: for the
# residual
KERNEL = 1e-5
N_PROBES, N_NODES = 4, 64  # of Lanczos quadrature
TINY = 1e-300  # for a Hessian that vanishes
FACTS = (  # read off a spectrum; None for what it does not tell
    *(
        "index",
        "index_strict",
        "index_sure",
        "alpha",
        "n_zero",
        "n_positive",
        "residual",
        "flatness",
    ),
    *("centre", "spread", "min_eigenvalue", "max_eigenvalue", "gap"),
)

Progress = Callable[[float], None]
Rows = list[dict[str, Any]]


class Spectrum(NamedTuple):
    """Eigenvalues, or nodes with their weights, padded with NaN to one length.

    And what is read off them.
    """

    values: np.ndarray
    weights: np.ndarray
    facts: dict[str, Any]


class Measured(NamedTuple):
    """One end: its row, spectrum and point (d,)."""

    row: dict[str, Any]
    spectrum: Spectrum
    point: np.ndarray


def execute(run: Run, progress: Progress) -> Result:
    """Search with one finder from every start.

    A row for each, with its end point and its spectrum as series.

    Where the suite asks for subspaces, the same starts are searched in each of them, and the ends
    measured in the whole.
    """
    problem: Problem = registry.build("problem", run.problem.use, run.problem.params)
    finder: Finder = registry.build("finder", run.method.use, run.method.params)
    rooms = [
        problem,
        *(Restricted(problem, each) for each in problem.subspaces if run.settings["subspaces"]),
    ]
    measured: list[Measured] = []
    for i, room in enumerate(rooms):
        begun = list(starts(run, room))
        if not begun:
            raise SuiteError("no starts: give paths, random or cube")
        measured += _searched(run, room, finder, begun, partial(_part, progress, i, len(rooms)))
    rows = [each.row for each in measured]
    _tell_apart(rows, [each.point for each in measured], problem, run.settings)
    facts = {
        "n_parameters": problem.dim,
        "measures": list(problem.measures),
        "weight_decay": run.problem.params.get("weight_decay"),
    }
    status = Status.OK if any(row["converged"] for row in rows) else Status.STUCK
    arrays = {"points": np.stack([each.point for each in measured])}
    arrays["eigenvalues"] = np.stack([each.spectrum.values for each in measured])
    if run.settings["spectrum"] == "density":
        arrays["weights"] = np.stack([each.spectrum.weights for each in measured])
    return Result(run, status, tuple(rows), arrays, {"problem": facts})


def _part(progress: Progress, i: int, n: int, fraction: float) -> None:
    progress((i + fraction) / n)


def _searched(
    run: Run, room: Problem, finder: Finder, begun: list[Start], progress: Progress
) -> list[Measured]:
    """Every end, the starts searched in batches that memory holds."""
    batched = room.dim <= BATCH_DIM
    width = max(1, min(len(begun), BATCH_BYTES // (6 * 8 * room.dim**2))) if batched else 1
    found = []
    for first in range(0, len(begun), width):
        some = begun[first : first + width]
        points = torch.stack([start.point for start in some]).to(
            run.device, getattr(torch, run.dtype)
        )

        def report(fraction: float, first: int = first, n: int = len(some)) -> None:
            progress((first + fraction * n) / len(begun))

        ends = search(room, finder, points, batched, report)
        for lane, start in enumerate(some):
            found.append(_measured(run, room, start, ends, lane, points[lane]))
    return found


def _measured(
    run: Run, room: Problem, start: Start, ends: Ends, lane: int, begin: Tensor
) -> Measured:
    """One end, in the whole problem."""
    whole = room.problem if isinstance(room, Restricted) else room
    theta, origin = ends.theta[lane], begin
    if isinstance(room, Restricted):
        theta, origin = room.embedded(theta), room.embedded(origin)
    row: dict[str, Any] = {**dict.fromkeys(("path", "path_step", "noise")), **start.facts}
    row["subspace"] = room.subspace.name if isinstance(room, Restricted) else None
    row |= {
        f"start_{name}": value
        for name, value in _outline(whole, origin, run.settings["energy"]).items()
    }
    row |= _outline(whole, theta, run.settings["energy"], index=False)
    spectrum = _spectrum(whole, theta, run.settings)
    row |= spectrum.facts
    converged = row["gradient_norm"] ** 2 < run.settings["cut_off"]
    row["converged"] = bool(converged)
    row["end_point"] = _kind(row, converged)
    row["status"] = "diverged" if row["end_point"] == "diverged" else "ok" if converged else "stuck"
    row["steps"], row["seconds"] = int(ends.steps[lane]), float(ends.seconds[lane])
    row |= {f"n_{kind}": int(ends.calls[lane, k]) for k, kind in enumerate(QUESTIONS)}
    if isinstance(room, Restricted) and converged:
        within = count_below(room.hessian(ends.theta[lane], None).cpu().numpy())
        row["predicted_index"] = within + room.subspace.normal_index(theta)
    for name in whole.measures:
        row[name] = float(metrics.measure(whole, name, theta[None])[name][0])
    return Measured(row, spectrum, theta.cpu().numpy())


def _outline(
    problem: Problem, theta: Tensor, energy: str, index: bool = True
) -> dict[str, float | None]:
    """Loss, energy, gradient norm and, where asked for, alpha by inertia."""
    names = {"loss": "loss", "energy": energy, "gradient_norm": "gradient_norm"}
    outline: dict[str, float | None] = {
        name: float(metrics.measure(problem, metric, theta[None])[metric][0])
        for name, metric in names.items()
    }
    if index:
        H = _hessian(problem, theta)
        outline["alpha"] = count_below(H) / len(H) if np.isfinite(H).all() else None
    return outline


def _hessian(problem: Problem, theta: Tensor) -> np.ndarray:
    """The Hessian in the directions that make the spectrum; NaN where theta is not finite."""
    H, basis = problem.hessian(theta, None), problem.tangent(theta)
    return np.asarray((H if basis is None else basis.mT @ H @ basis).double().cpu().numpy())


def _spectrum(problem: Problem, theta: Tensor, settings: dict[str, Any]) -> Spectrum:
    """The spectrum at theta (d,), whole or as a density, and what is read off it.

    `residual` is |H p + g| / |g| for the best p, the share of the gradient in the Hessian's kernel,
    and `flatness` is |H g| / (|H| |g|): near 1 and 0 at gradient-flat points, where no linear
    method goes on.
    """
    H, basis = _hessian(problem, theta), problem.tangent(theta)
    if not np.isfinite(H).all():
        nothing = np.full(_width(problem, settings), math.nan)
        return Spectrum(nothing, nothing, dict.fromkeys(FACTS))
    g = torch.func.grad(lambda t: problem.loss(t, None))(theta)
    g = (g if basis is None else basis.mT @ g).double().cpu().numpy()
    read = _whole if settings["spectrum"] == "eigenvalues" else _density
    values, weights, facts = read(H, g, settings["zero"])
    values, weights = (
        np.pad(x, (0, _width(problem, settings) - len(x)), constant_values=math.nan)
        for x in (values, weights)
    )
    facts |= {"alpha": facts["index"] / len(H), "centre": float(np.trace(H) / len(H))}
    facts["spread"] = float(np.sqrt(max(0.0, np.square(H).sum() / len(H) - facts["centre"] ** 2)))
    return Spectrum(values, weights, dict.fromkeys(FACTS) | facts)


def _width(problem: Problem, settings: dict[str, Any]) -> int:
    """How many numbers describe a spectrum."""
    return (
        problem.dim
        if settings["spectrum"] == "eigenvalues"
        else N_PROBES * min(N_NODES, problem.dim)
    )


def _whole(H: np.ndarray, g: np.ndarray, zero: float) -> Spectrum:
    """All eigenvalues (n,), and how the gradient lies in their basis."""
    L, Q = np.linalg.eigh(H)
    in_basis, unit, length = Q.T @ g, max(np.abs(L).max(), TINY), np.linalg.norm(g)
    facts: dict[str, Any] = {
        "index": int((-zero * unit > L).sum()),
        "index_strict": int((L < 0).sum()),
    }
    facts["index_sure"] = bool(facts["index"] == (-STRICTER * unit > L).sum())
    facts["n_zero"], facts["n_positive"] = (
        int((np.abs(L) <= zero * unit).sum()),
        int((zero * unit < L).sum()),
    )
    facts |= {
        "min_eigenvalue": float(L[0]),
        "max_eigenvalue": float(L[-1]),
        "gap": float(np.abs(L).min() / unit),
    }
    if length > 0:
        facts["residual"] = float(np.linalg.norm(in_basis[np.abs(L) <= KERNEL * unit]) / length)
        facts["flatness"] = float(np.linalg.norm(L * in_basis) / (unit * length))
    return Spectrum(L, np.full(len(L), 1 / len(L)), facts)


def _density(H: np.ndarray, g: np.ndarray, zero: float) -> Spectrum:
    """Nodes and weights of Lanczos quadrature.

    The index by inertia, for no eigenvalue of a large H is computed.
    """
    whole, rng = torch.from_numpy(H), torch.Generator().manual_seed(0)
    rule = lanczos_quadrature(lambda v: whole @ v, torch.from_numpy(g), N_NODES, N_PROBES, rng)
    nodes, weights = rule.nodes.flatten().numpy(), rule.weights.flatten().numpy() / N_PROBES
    unit, length = max(np.abs(nodes).max(), TINY), np.linalg.norm(g)
    below, above = (count_below(H, side * zero * unit) for side in (-1, 1))
    facts: dict[str, Any] = {
        "index": below,
        "index_strict": count_below(H),
        "n_positive": len(H) - above,
    }
    facts |= {
        "n_zero": above - below,
        "index_sure": bool(below == count_below(H, -STRICTER * unit)),
    }
    facts |= {"min_eigenvalue": float(nodes.min()), "max_eigenvalue": float(nodes.max())}
    if length > 0:
        facts["flatness"] = float(np.linalg.norm(H @ g) / (unit * length))
    return Spectrum(nodes, weights, facts)


def _kind(row: dict[str, Any], converged: bool) -> str:
    """Minimum, maximum, saddle (min-max, of whatever kernel) or degenerate.

    Else why it is none of them.
    """
    if row["index"] is None or not math.isfinite(row["gradient_norm"]):
        return "diverged"
    if not converged:
        return "gradient-flat" if (row["residual"] or 0) > FLAT else "not critical"
    up, down = row["n_positive"] > 0, row["index"] > 0
    if down and up:
        return "saddle"
    if row["n_zero"]:
        return "degenerate"
    return "maximum" if down else "minimum"


def _tell_apart(
    rows: Rows, points: list[np.ndarray], problem: Problem, settings: dict[str, Any]
) -> None:
    """Mark the first row of every critical point as distinct, and whether the known table has its loss and index."""
    seen: list[np.ndarray] = []
    known = np.array([[point.loss, point.index] for point in problem.critical_points]).reshape(
        -1, 2
    )
    for row, point in zip(rows, points, strict=True):
        row["distinct"], row["known"] = False, None
        if not row["converged"]:
            continue
        numbers = problem.invariants(torch.as_tensor(point)).numpy()
        apart = [np.abs(numbers - other).max() / (1 + np.abs(other).max()) for other in seen]
        row["distinct"] = not any(distance <= settings["same"] for distance in apart)
        if row["distinct"]:
            seen.append(numbers)
        if len(known) > 1:
            near = np.abs(known[:, 0] - row["loss"]) <= 1e-6 * (1 + np.abs(known[:, 0]))
            row["known"] = bool((near & (known[:, 1] == row["index"])).any())
