"""Critical points near a point, and their kinds, where the Hessian is not taken whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..arrays import Flags, Floats
from ..core.oracle import Oracle
from ..core.problem import Problem
from ..core.symmetry import zero_mode_rank
from ..linalg.lanczos import Product, extreme_eigenvalues, lanczos
from ..linalg.newton import NewtonSteps, Roots, contracted
from ..linalg.newton_krylov import KrylovStep, Signs, krylov_step
from ._hessian import N_LANCZOS, RESIDUAL_TOLERANCE, random_vector, zero_size


def roots_by_products(
    problem: Problem,
    like: Tensor,
    ends: Floats,
    reach: Floats,
    units: Floats | None = None,
    wanted: Flags | None = None,
) -> Roots:
    """The points that Newton's method arrives at from ends (S, d), its steps solved by products.

    As `linalg.newton.newton_roots` is with a Hessian. No step is longer than `reach` (S,): solving
    ends at the first iterate that is, but for first steps that are `wanted` (S,) whole. Points are
    asked in the dtype and on the device of `like`.
    """
    if units is None:
        units = np.zeros(len(ends))
    if wanted is None:
        wanted = np.zeros(len(ends), dtype=bool)
    each = [
        _from_one(problem, like, ends[[i]], reach[[i]], units[[i]], bool(wanted[i]))
        for i in range(len(ends))
    ]
    parts: Iterator[Floats] = (
        np.concatenate(part)
        for part in zip(
            *((r.points, r.is_linear, r.first_steps) for r in each), strict=True
        )
    )
    return Roots(*parts)  # type: ignore[arg-type]  # the second are flags


def _from_one(
    problem: Problem,
    like: Tensor,
    end: Floats,
    reach: Floats,
    unit: Floats,
    is_wanted: bool,
) -> Roots:
    """The same from one end (1, d)."""
    # the first step whole, later ones up to `reach`
    longest = itertools.chain(
        [math.inf] * is_wanted, itertools.repeat(float(reach[0]))
    )

    def tensor(numbers: Floats) -> Tensor:
        return torch.as_tensor(numbers).to(like)

    def gradient(points: Floats) -> Floats:
        return _floats(Oracle(problem, eager=True).grad(tensor(points[0])))[None]

    def steps_at(points: Floats) -> NewtonSteps:
        g, found = step_by_products(problem, tensor(points[0]), next(longest))
        sizes = np.array([found.size])
        # the step leaves less than a thousandth, or there is no step
        solved = np.zeros(1)
        return NewtonSteps(g[None], found.step[None], sizes, solved)

    return contracted(gradient, steps_at, end, reach, unit)


def step_by_products(
    problem: Problem, theta: Tensor, longest: float
) -> tuple[Floats, KrylovStep]:
    """The gradient (d,) at theta (d,), and Newton's step from there."""
    here = Oracle(problem, eager=True).curvature(theta)
    gradient = _floats(here.grad)

    def product(v: Floats) -> Floats:
        return _floats(here.hvp(torch.as_tensor(v).to(theta)))

    return gradient, krylov_step(gradient, product, longest, hasty=True)


def signs_by_products(
    problem: Problem, root: Tensor, end: Tensor, start: Tensor, flattened: float
) -> tuple[Flags, Flags] | None:
    """Whether eigenvalues at a critical point (d,) are negative, and positive, as `kind_of` takes.

    None where products do not show it. A curvature that has shrunk to the share `flattened` of
    that at the end counts as zero.
    """
    modes = problem.zero_modes(root)
    counted = _Counted(problem.tangent(root), modes)
    first = counted.inside(random_vector(counted.dim(root), root))
    product = counted.product(problem, root)
    space = lanczos(product, first, min(N_LANCZOS, len(first)))
    if not space.matrix.isfinite().all():
        return None
    signs = Signs(space, len(first), counted.inside)
    flat = np.zeros(len(signs.values), dtype=bool)
    if flattened:
        before = counted.product(problem, end)
        curvatures = [float(y @ before(y)) for y in signs.vectors]
        flat = np.abs(signs.values) <= flattened * np.abs(curvatures)
    at_start = extreme_eigenvalues(
        counted.product(problem, start), first, N_LANCZOS, RESIDUAL_TOLERANCE
    )
    size = max(abs(float(at_start.lowest)), abs(float(at_start.highest)))
    found = signs.found(zero_size(signs.size, size), flat)
    if found is None or not problem.n_zero_modes or modes is not None:
        return found
    # some of the zero ones may be of symmetries, and how often they are zero is not known
    negative, positive = found
    has_both = negative.any() and positive.any()
    if has_both or (negative | positive).all():
        return found
    return None


class _Counted:
    """The directions that count: those of a basis (d, m), without zero modes (n, d)."""

    def __init__(self, basis: Tensor | None, modes: Tensor | None) -> None:
        self.basis = basis
        self.span = None
        if modes is not None:
            columns = modes.mT if basis is None else basis.mT @ modes.mT
            U, _, _ = torch.linalg.svd(columns, full_matrices=False)
            self.span = U[:, : zero_mode_rank(columns.mT)]

    def dim(self, theta: Tensor) -> int:
        """How many they are, m."""
        if self.basis is None:
            return len(theta)
        return self.basis.shape[1]

    def inside(self, v: Tensor) -> Tensor:
        """The part of v (m,) that has no share in zero modes."""
        if self.span is None:
            return v
        return v - self.span @ (self.span.mT @ v)

    def product(self, problem: Problem, theta: Tensor) -> Product:
        """The Hessian at theta (d,) in these directions, (m,) -> (m,)."""
        hvp = Oracle(problem, eager=True).curvature(theta).hvp
        B = self.basis

        def product(v: Tensor) -> Tensor:
            v = self.inside(v)
            return self.inside(hvp(v) if B is None else B.mT @ hvp(B @ v))

        return product


def _floats(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy())
