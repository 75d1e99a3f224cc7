"""Whether Newton's method, from a point, arrives at a critical point: a proof by doing it.

A small gradient is no proof: on a tail that falls for ever it is as small as one likes, without any
critical point. Newton's steps tell the two apart, whatever the units of loss and parameters:

    p = -H^+ g,    H^+ without the eigenvalues that are zero to rounding

Towards a nondegenerate critical point their lengths fall quadratically (Kantorovich 1948; Deuflhard
2004, "Newton Methods for Nonlinear Problems", theorem 2.3: contraction of the steps proves the
root). Towards one at which f grows like x^n they fall by (n - 2) / (n - 1) each time, and the rest
of the way is summed as a geometric series. On a tail they do not fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Flags, Floats

Function = Callable[[Floats], Floats]

MOST_STEPS = 40
QUADRATIC = 0.5  # a step at most this share of the one before: on the way, quadratically or better
LINEAR = 0.93  # up to x^15; exponential tails have 1, and powers of a tail more
# where steps fall linearly, two ratios in a row may differ by this
STEADY = 0.01
ARRIVED = 1e-8  # a step this short, in units of the way so far, ends the search
TINY = 1e-9  # ... and so does one this short, in units of the point itself: it is rounding
# of the gradient: where a step leaves more of it, it lies in the Hessian's kernel, and Newton's
# method says nothing about the point
GRADIENT_FLAT = 0.9
# eigenvalues below this, in units of the largest, are zero to rounding
ROUNDING = 1e-10


class NewtonSteps(NamedTuple):
    """Newton's steps at n points, NaN where there is none."""

    gradients: Floats  # (n, d)
    steps: Floats  # (n, d)
    sizes: Floats  # (n,), norms of the Hessians, by which rounding is judged
    residuals: (
        Floats  # (n,), |H p + g| / |g|: the share of the gradient in the kernel
    )


@dataclass(frozen=True)
class Roots:
    """The critical points that Newton's method arrived at from S points; NaN where at none."""

    points: Floats  # (S, d)
    is_linear: Flags  # (S,): the steps fell linearly, so the point is degenerate
    first_steps: Floats  # (S, d): Newton's step at each start; NaN: none, inf: too long to follow

    @property
    def found(self) -> Flags:
        """Whether there is a root (S,)."""
        return np.asarray(np.isfinite(self.points).all(1))


def newton_roots(
    gradient: Function,
    hessian: Function,
    starts: Floats,
    reach: Floats | None = None,
    units: Floats | None = None,
) -> Roots:
    """The critical points that Newton's steps from starts (S, d) contract to.

    `gradient` takes points (n, d) to (n, d), `hessian` to (n, d, d); each step takes both, and the
    Hessian's eigenvalues. Where the first step is longer than `reach` (S,), the search ends there.
    Steps that no longer fall are rounding where they are tiny in `units` (S,), lengths of the
    problem such as the way to each start; those of the point itself say nothing near 0.
    Rotating, scaling or shifting the parameters, or scaling the loss, changes nothing.

    >>> H = np.diag([10.0, -2.0])
    >>> saddle = newton_roots(lambda x: x @ H, lambda x: H[None], np.array([[0.3, 0.4]]))
    >>> saddle.points
    array([[0., 0.]])
    >>> gradient, hessian = lambda x: -np.exp(-x), lambda x: np.exp(-x)[..., None]
    >>> tail = newton_roots(gradient, hessian, np.array([[15.0]]))
    >>> tail.found  # it falls for ever
    array([False])
    """

    def steps_at(points: Floats) -> NewtonSteps:
        g, H = gradient(points), hessian(points)
        H = np.broadcast_to(H, (len(points), *H.shape[-2:]))
        usable = np.isfinite(g).all(1) & np.isfinite(H).all((1, 2))
        steps = np.full_like(points, np.nan)
        residuals = np.full(len(points), np.nan)
        steps[usable], residuals[usable] = _dense_steps(H[usable], g[usable])
        return NewtonSteps(g, steps, np.linalg.norm(H, axis=(1, 2)), residuals)

    return contracted(gradient, steps_at, starts, reach, units)


def contracted(
    gradient: Function,
    steps_at: Callable[[Floats], NewtonSteps],
    starts: Floats,
    reach: Floats | None = None,
    units: Floats | None = None,
) -> Roots:
    """The same by Newton's steps that were solved for in any way."""
    if units is None:
        units = np.zeros(len(starts))
    search = _Search(gradient, steps_at, starts.astype(np.float64), units)
    for k in range(MOST_STEPS):
        if not search.going.any():
            break
        search.advance(reach if k == 0 else None)
        if k == 0:
            first_steps = search.last_steps.copy()
    points = np.where(search.is_root[:, None], search.x, np.nan)
    return Roots(points, search.is_linear, first_steps)


class _Search:
    """Where S searches are, how long their last steps were, and how each ended."""

    def __init__(
        self,
        gradient: Function,
        steps_at: Callable[[Floats], NewtonSteps],
        starts: Floats,
        units: Floats,
    ) -> None:
        n, self._units = len(starts), units
        self._gradient, self._steps_at = gradient, steps_at
        self.x = starts.copy()
        self.going = np.ones(n, dtype=bool)
        self.is_root, self.is_linear = (
            np.zeros(n, dtype=bool),
            np.zeros(n, dtype=bool),
        )
        self.last_steps = np.full_like(starts, np.nan)
        self._way, self._length = np.zeros(n), np.full(n, np.nan)
        # ratios of each step's length to that of the one before
        self._ratios = np.full((n, 3), np.nan)

    def advance(self, reach: Floats | None) -> None:
        """A step of all searches that go on, none longer than `reach` (S,)."""
        which = np.flatnonzero(self.going)
        x = self.x[which]
        g, steps, sizes, residuals = self._steps_at(x)
        usable = np.isfinite(g).all(1) & np.isfinite(steps).all(1)
        self.last_steps[which] = steps
        if reach is not None:
            usable &= np.linalg.norm(steps, axis=1) <= reach[which]
        self.give_up(which[~usable])
        if not usable.any():
            return
        which, x, g = which[usable], x[usable], g[usable]
        steps, sizes = steps[usable], sizes[usable]
        is_solved = residuals[usable] <= GRADIENT_FLAT
        tiny = np.linalg.norm(steps, axis=1) <= TINY * np.linalg.norm(x, axis=1)
        tiny &= steps.any(1) & is_solved
        self.take(which, steps, tiny | _is_rounding(g, sizes, x), is_solved)
        after = _is_rounding(self._gradient(self.x[which]), sizes, self.x[which])
        self.arrive(which, tiny | after)

    def give_up(self, which: NDArray[np.intp]) -> None:
        """No critical point is found from these."""
        self.going[which] = False

    def take(
        self,
        which: NDArray[np.intp],
        step: Floats,
        at_rounding: Flags,
        is_solved: Flags,
    ) -> None:
        """Take a step (n, d) in these searches, or give up where steps no longer fall."""
        length = np.linalg.norm(step, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = length / self._length[which]
        # a gradient in the Hessian's kernel has no step: no linear method goes on from there
        lost = ((ratio > LINEAR) | (length == 0)) & ~at_rounding
        self._ratios[which] = np.column_stack([self._ratios[which, 1:], ratio])
        self._length[which], self._way[which] = length, self._way[which] + length
        self.x[which[~lost]] += step[~lost]
        self.give_up(which[lost])
        # the terms of a gradient cancel at 0 no better than elsewhere
        is_noise = lost & (length > 0) & (length <= TINY * self._units[which])
        is_noise &= is_solved
        self.is_root[which[is_noise]] = True
        self._finish_linear(which[~lost], step[~lost])

    def arrive(self, which: NDArray[np.intp], at_rounding: Flags) -> None:
        """End the searches that have arrived, at rounding or with a last step that is short."""
        short = self._length[which] <= ARRIVED * self._way[which]
        short &= self._ratios[which, -1] <= QUADRATIC
        there = which[(short | at_rounding) & self.going[which]]
        self.is_root[there], self.going[there] = True, False

    def _finish_linear(self, which: NDArray[np.intp], step: Floats) -> None:
        """Sum the rest of the way where the last three steps have fallen by the same share."""
        ratios = self._ratios[which]
        steady = (np.abs(np.diff(ratios)) < STEADY).all(1) & (
            ratios[:, -1] > STEADY
        )
        there, last = which[steady], ratios[steady, -1:]
        self.x[there] += step[steady] * last / (1 - last)
        self.is_root[there], self.is_linear[there], self.going[there] = (
            True,
            True,
            False,
        )


def _dense_steps(H: Floats, g: Floats) -> tuple[Floats, Floats]:
    """Newton's steps (n, d), and the shares (n,) of the gradients that they leave.

    Directions of eigenvalues that are zero to rounding are left out.
    """
    L, Q = np.linalg.eigh((H + H.swapaxes(1, 2)) / 2)
    is_seen = np.abs(L) > ROUNDING * np.abs(L).max(1, keepdims=True)
    in_basis = np.einsum("nij,ni->nj", Q, g)
    along = np.where(is_seen, -in_basis / np.where(is_seen, L, 1.0), 0.0)
    left = np.linalg.norm(np.where(is_seen, 0.0, in_basis), axis=1)
    length = np.linalg.norm(g, axis=1)
    shares = np.divide(left, length, out=np.zeros(len(g)), where=length > 0)
    return np.asarray(np.einsum("nij,nj->ni", Q, along)), shares


def _is_rounding(g: Floats, sizes: Floats, x: Floats) -> Flags:
    """Whether gradients (n, d) are no longer than their own rounding."""
    unit = np.finfo(np.float64).eps * np.linalg.norm(x, axis=1) * sizes
    return np.asarray(np.linalg.norm(g, axis=1) <= 4 * unit)
