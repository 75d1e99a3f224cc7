"""The kind of point that a trajectory ended at, and the proof of it.

A small gradient alone proves nothing: it may be that of a tail, of a point beside a saddle that
gradient descent is about to leave, or of a loss in small units. An end point gets the name of a
critical point where Newton's method arrives at one from it (`linalg.newton`), within a hundredth of
the way from the start. A saddle holds an end point that is within twice the distance that the race
started at, if it is the saddle that the race started at, or that has a saddle's name. All of this
is the same in any units of loss and parameters.

Where the Hessian is not taken whole, products solve for Newton's steps and look for signs
(`linalg.newton_krylov`). The rules and the words are the same; what products cannot show is not
certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import Flags, Floats
from ..core.derivatives import loss_and_grad
from ..core.problem import Problem
from ..core.symmetry import counted_directions
from ..linalg.newton import Roots, newton_roots
from ..trajectories.vmapped import map_points
from ._bottoms import bottoms
from ._by_products import roots_by_products, signs_by_products, step_by_products
from ._hessian import is_dense, zero_size
from ._running_away import runs_away
from .gradient_norm import GradientNorm
from .measuring import measure, oracle, points_together

# the four kinds of critical points
MINIMUM, MAXIMUM, SADDLE, DEGENERATE = (
    "minimum",
    "maximum",
    "min-max saddle",
    "degenerate",
)
NOT_CERTIFIED, RAN_AWAY, DIVERGED = "not certified", "ran away", "diverged"

NEAR_SADDLE = 2.0  # distances of the start from the saddle
NEAR_ROOT = 0.01  # of the way from the start to the critical point
SAME_POINT = 1e-3  # two points are one within this share of the start's distance
FLATTENED = 0.2  # where Newton's steps fell linearly, a curvature that shrank so much vanishes


class Certificate(NamedTuple):
    """The kind of point that a trajectory ended at; None for a number that cannot be given."""

    gradient_norm: float
    min_eigenvalue: float | None
    min_eigenvalue_residual: float | None
    index_fraction: float | None
    # the distance from the critical point that Newton's method arrives at
    root_distance: float | None
    end_point: str  # one of the names above
    is_held: bool  # near a critical point that is no minimum


def certify(
    problem: Problem, theta: Tensor, start: Tensor | None = None
) -> Certificate:
    """The certificate of an end point (d,) that was reached from a start (d,).

    Without a start, only a critical point itself, to six digits, is near.
    """
    return certify_all(
        problem, theta[None], None if start is None else start[None]
    )[0]


def certify_all(
    problem: Problem, ends: Tensor, starts: Tensor | None = None
) -> list[Certificate]:
    """The certificates of end points (S, d) that were reached from starts (S, d)."""
    norms = measure(problem, GradientNorm(), ends)["gradient_norm"]
    known = torch.isfinite(norms).cpu().numpy()
    finite = ends[torch.as_tensor(known, device=ends.device)]
    kinds = np.full(len(ends), DIVERGED, dtype=object)
    distances = np.full(len(ends), math.nan)
    held = np.zeros(len(ends), dtype=bool)
    sizes = np.zeros(0)
    if known.any():
        begun = ends if starts is None else starts
        search = _Ends(problem, ends[known], begun[known], is_alone=starts is None)
        kinds[known] = search.kinds
        distances[known] = search.distances
        held[known] = search.is_held
        sizes = search.start_sizes
    found = iter(bottoms(problem, finite, sizes))
    certificates = []
    for i, norm in enumerate(norms.tolist()):
        lowest, residual, alpha = next(found) if known[i] else (None, None, None)
        if math.isnan(distances[i]):
            distance = None
        else:
            distance = float(distances[i])
        is_held = bool(held[i])
        certificates.append(
            Certificate(norm, lowest, residual, alpha, distance, kinds[i], is_held)
        )
    return certificates


class _Ends:
    """End points (S, d), finite, with the critical points near them."""

    def __init__(
        self, problem: Problem, ends: Tensor, starts: Tensor, is_alone: bool
    ) -> None:
        self.problem = problem
        self.like = ends.double()
        self.ends = _floats_of(ends)
        self.starts = _floats_of(starts)
        n = len(self.ends)
        self.kinds = np.full(n, NOT_CERTIFIED, dtype=object)
        self.distances = np.full(n, math.nan)
        self.is_held = np.zeros(n, dtype=bool)
        self.start_sizes = np.zeros(n)  # largest |eigenvalue| there; 0: not asked
        self.is_dense = is_dense(problem)
        self.way = np.linalg.norm(self.ends - self.starts, axis=1)
        self.is_alone = is_alone
        self.radius = self._radius()
        roots = self._roots()
        arrived, beside_saddle = self._near(roots)
        near = arrived | beside_saddle
        if near.any():
            kinds = self._kinds_at(roots, near)
            self.is_held[near] = self._holds(kinds, beside_saddle[near])
            self.kinds[near] = np.where(arrived[near], kinds, NOT_CERTIFIED)
        for i in np.flatnonzero(~near).tolist():
            if self._runs_away(i, roots.first_steps[i]):
                self.kinds[i] = RAN_AWAY

    def gradients(self, points: Floats) -> Floats:
        """The gradients (n, d) of the whole loss."""
        # a module with an autograd.Function of its own has no gradient inside torch.func, which
        # also takes seconds to load
        is_alone = not self.is_dense and points_together(self.problem) == 1
        is_eager = is_alone or not self.problem.vmappable

        def gradient(theta: Tensor) -> Tensor:
            return loss_and_grad(
                lambda t: self.problem.loss(t, None), theta, eager=is_eager
            )[1]

        return self._mapped(gradient, points)

    def hessians(self, points: Floats) -> Floats:
        """The Hessians (n, d, d)."""
        return self._mapped(lambda t: self.problem.hessian(t, None), points)

    def _mapped(self, f: Callable[[Tensor], Tensor], points: Floats) -> Floats:
        found = map_points(
            f, torch.as_tensor(points).to(self.like), points_together(self.problem)
        )
        return _floats_of(found)

    def _roots(self) -> Roots:
        """Newton's root from each end, if the first step towards it is short enough."""
        units = self.way
        reach = 2 * self.radius
        if self.problem.saddle is not None:
            units = np.maximum(units, self._from_saddle(self.starts))
        if self.is_dense:
            return newton_roots(
                self.gradients, self.hessians, self.ends, reach, units
            )
        wanted = np.array([self._has_fallen(i) for i in range(len(self.ends))])
        return roots_by_products(
            self.problem, self.like, self.ends, reach, units, wanted
        )

    def _radius(self) -> Floats:
        """How far from each end (S,) a critical point may at most be."""
        if self.is_alone:
            return 1e-6 * np.linalg.norm(self.ends, axis=1)
        # the way from the start to the point itself is at most a little longer than to the end
        radius = NEAR_ROOT / (1 - NEAR_ROOT) * self.way
        if self.problem.saddle is not None:
            radius = np.maximum(
                radius, NEAR_SADDLE * self._from_saddle(self.starts)
            )
        return radius

    def _from_saddle(self, points: Floats) -> Floats:
        assert self.problem.saddle is not None
        return np.linalg.norm(
            points - _floats_of(self.problem.saddle.point), axis=1
        )

    def _near(self, roots: Roots) -> tuple[Flags, Flags]:
        """Whether each end (S,) has arrived at the critical point found from it.

        And whether it is near that point, which is the saddle that the race started at.
        """
        with np.errstate(invalid="ignore"):
            self.distances = np.linalg.norm(roots.points - self.ends, axis=1)
            to_root = np.linalg.norm(roots.points - self.starts, axis=1)
            arrived = self.distances <= NEAR_ROOT * to_root
            if self.is_alone:
                arrived = self.distances <= self.radius
            beside_saddle = np.zeros(len(self.ends), dtype=bool)
            if self.problem.saddle is not None:
                away = self._from_saddle(self.starts)
                unit = np.where(away > 0, away, 1e-6)
                is_saddle = self._from_saddle(roots.points) <= SAME_POINT * unit
                reach = np.where(away > 0, NEAR_SADDLE * away, np.inf)
                beside_saddle = is_saddle & (self.distances <= reach)
        return arrived & roots.found, np.asarray(beside_saddle & roots.found)

    def _holds(self, kinds: NDArray[np.str_], beside_saddle: Flags) -> Flags:
        """Whether points of these kinds (n,) hold what is near them.

        A saddle and a maximum do. Beside the saddle of its start, so does a degenerate point, which
        elsewhere may be a valley of minima, and a point of no certain kind that the problem says is
        a saddle.
        """
        holds = np.isin(kinds, (SADDLE, MAXIMUM))
        saddle = self.problem.saddle
        if saddle is not None:
            known = [DEGENERATE]
            if saddle.index > 0 or self.problem.saddle_order > 2:
                known.append(NOT_CERTIFIED)
            holds |= beside_saddle & np.isin(kinds, known)
        return holds

    def _kinds_at(self, roots: Roots, near: Flags) -> NDArray[np.str_]:
        """The kinds of the critical points that are near."""
        if not self.is_dense:
            found = [
                self._kind_by_products(i, roots)
                for i in np.flatnonzero(near).tolist()
            ]
            return np.array(found, dtype=object)
        points = roots.points[near]
        H = self.hessians(points)
        H_end = self.hessians(self.ends[near])
        self.start_sizes[near] = _sizes(self.hessians(self.starts[near]))
        kinds = []
        each = zip(
            points,
            H,
            H_end,
            roots.is_linear[near],
            self.start_sizes[near],
            strict=True,
        )
        for point, at_root, at_end, is_linear, size in each:
            if not np.isfinite(at_root).all():
                kinds.append(NOT_CERTIFIED)
                continue
            L, Q = self._counted(point, at_root)
            is_zero = np.abs(L) <= zero_size(np.abs(L).max(), size)
            if is_linear:
                is_zero |= np.abs(L) <= FLATTENED * np.abs(
                    np.einsum("ji,jk,ki->i", Q, at_end, Q)
                )
            kinds.append(kind_of((L < 0) & ~is_zero, (L > 0) & ~is_zero))
        return np.array(kinds, dtype=object)

    def _kind_by_products(self, i: int, roots: Roots) -> str:
        places = (roots.points[i], self.ends[i], self.starts[i])
        root, end, start = (torch.as_tensor(each).to(self.like) for each in places)
        flattened = FLATTENED if roots.is_linear[i] else 0.0
        signs = signs_by_products(self.problem, root, end, start, flattened)
        return NOT_CERTIFIED if signs is None else kind_of(*signs)

    def _counted(self, point: Floats, H: Floats) -> tuple[Floats, Floats]:
        """Eigenvalues (m,) and eigenvectors (d, m) of H, in directions that count at a point."""
        at = torch.as_tensor(point).to(self.like)
        matrix = torch.as_tensor(H).to(self.like)
        basis = counted_directions(self.problem, at, matrix)
        if basis is None:
            L, Q = np.linalg.eigh(H)
            return L, Q
        B = _floats_of(basis)
        L, Q = np.linalg.eigh(B.T @ H @ B)
        return L, B @ Q

    def _runs_away(self, i: int, step: Floats) -> bool:
        way = (self.starts[i], self.ends[i])
        return self._has_fallen(i) and runs_away(
            *way, step, self._slope, self._newton_step
        )

    def _has_fallen(self, i: int) -> bool:
        """Whether end i is elsewhere than its start, with a lower loss or a smaller slope."""
        end, start = self.ends[i], self.starts[i]
        if self.way[i] == 0:
            return False
        is_lower = self._loss(end) < self._loss(start)
        return is_lower or self._slope(end) < self._slope(start)

    def _newton_step(self, x: Floats) -> Floats:
        """Newton's step (d,) from a point (d,), however long."""
        if not self.is_dense:
            at = torch.as_tensor(x).to(self.like)
            return step_by_products(self.problem, at, math.inf)[1].step
        nowhere = np.zeros(1)
        return newton_roots(
            self.gradients, self.hessians, x[None], nowhere
        ).first_steps[0]

    def _loss(self, x: Floats) -> float:
        return float(self.problem.loss(torch.as_tensor(x).to(self.like), None))

    def _slope(self, x: Floats) -> float:
        return float(np.linalg.norm(self.gradients(x[None])))


def tail(problem: Problem, theta: Tensor, start: Tensor) -> str:
    """Why a point (d,) with a tiny gradient, reached from a start (d,), is no critical point.

    `RAN_AWAY`, `NOT_CERTIFIED`, or nothing where Newton's method arrives at one from there.
    """
    search = _Ends(problem, theta[None], start[None], is_alone=False)
    reach = np.maximum(1e-3 * np.linalg.norm(search.ends, axis=1), 1e-12)
    if search.is_dense:
        roots = newton_roots(search.gradients, search.hessians, search.ends, reach)
    else:
        roots = roots_by_products(problem, search.like, search.ends, reach)
    if roots.found[0]:
        return ""
    if search.kinds[0] == RAN_AWAY:
        return RAN_AWAY
    return NOT_CERTIFIED


def kind_of(negative: Flags, positive: Flags) -> str:
    """The kind of a critical point whose eigenvalues (d,) are negative, positive, or else zero.

    >>> kind_of(np.array([True, False]), np.array([False, False]))
    'degenerate'
    """
    if negative.any() and positive.any():
        return SADDLE
    if not (negative | positive).all():
        return DEGENERATE
    return MAXIMUM if negative.any() else MINIMUM


def not_finite(problem: Problem, theta: Tensor, asked: Collection[str]) -> str:
    """The first that is not finite at theta (d,): loss, gradient, second derivative in `asked`."""
    loss, grad = oracle(problem).loss_and_grad(theta)
    answers = {"the loss": loss, "the gradient": grad}
    if "hvp" in asked:
        hvp = oracle(problem).curvature(theta).hvp(torch.ones_like(theta))
        answers["the Hessian-vector product"] = hvp
    if "hessian" in asked:
        answers["the Hessian"] = oracle(problem).hessian(theta)
    return next(
        (name for name, answer in answers.items() if not answer.isfinite().all()),
        "",
    )


def _sizes(H: Floats) -> Floats:
    """The largest |eigenvalue| of each of the Hessians (n, d, d); 0 where one is not finite."""
    sizes = np.zeros(len(H))
    is_finite = np.isfinite(H).all(axis=(1, 2))
    sizes[is_finite] = np.abs(np.linalg.eigvalsh(H[is_finite])).max(1)
    return sizes


def _floats_of(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy())
