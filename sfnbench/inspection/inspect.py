"""``sfnbench.inspect``: a network where it stands, by products with its Hessian."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..arrays import Floats
from ..core.oracle import Curvature, Oracle
from ..core.problem import Problem
from ..core.symmetry import ZERO_EIGENVALUE
from ..errors import ModelError
from ..linalg.lanczos import Subspace, lanczos
from ..linalg.newton_krylov import MOST_PRODUCTS, krylov_step
from ..metrics._hessian import is_dense
from ..metrics.certificate import NOT_CERTIFIED, certify
from ..modules.problem import ModuleProblem
from .findings import Inspection, LayerCurvature
from .shares import ProbeEstimate, dense_nodes, krylov_nodes, mean_of
from .spectra import End, sharpened

DENSE = 1000  # parameters up to which all of the Hessian is taken
FARTHEST = 2.0  # times |theta|, or 1 where that is less: the most that the loss is followed
N_PROBES = 4
N_PRODUCTS = 300  # by default, where the Hessian is too large
# shares of the products: a probe's, the gradient's, and two for the ends
N_SHARES = N_PROBES + 3
# roundings of a Hessian-vector product: a zero eigenvalue may come out as large
N_ROUNDINGS = 100
N_ALONG = 20  # losses along the lowest eigenvector, besides the one here
MOST_BASIS_BYTES = 2**31  # of a Krylov basis

Advance = Callable[[int], None]


def inspect(
    model: nn.Module | Callable[[], nn.Module],
    loss_fn: Callable[[Any, Any], Tensor],
    data: Any,
    *,
    checkpoint: str | Path | None = None,
    n_examples: int | None = None,
    n_products: int = N_PRODUCTS,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> Inspection:
    """Whether a module stands at a saddle, and what its curvature is there.

    `model`, `loss_fn` (of outputs and targets) and `data` are as in `sfnbench.ModuleProblem`, and
    so is `checkpoint`. A `loss_fn` whose first parameter is named `model` is one of the module and
    a batch (inputs, targets). Up to 1,000 parameters all of the Hessian is taken, if it is cheap,
    by one product for each, and Newton's method looks for a critical point within a hundredth of
    |theta|. Beyond, `n_products` Hessian-vector products find both ends of the spectrum and
    estimate the rest. Up to 4,096 parameters Newton's method has the Hessian still; beyond, at most
    202 more products solve for its step, and as many for each step that follows. By default small
    networks are computed in float64, and others in float32 or the weights' own dtype, whichever is
    finer, on the model's device. Ctrl-C keeps the findings so far.

    >>> x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> found = inspect(nn.Linear(4, 3), nn.CrossEntropyLoss(), (x, y), progress=False)
    >>> found.lowest > -1e-12  # softmax regression is convex
    True
    """
    problem = ModuleProblem(
        model, loss_fn, data, checkpoint=checkpoint, n_examples=n_examples
    )
    notes = tuple(problem.curvature_notes())
    theta = _standing(problem, model, dtype)
    title = type(problem.weights.model).__name__
    found = inspect_point(
        problem, theta, title, n_products=n_products, progress=progress
    )
    found.notes += notes
    return found


def inspect_point(
    problem: Problem,
    theta: Tensor,
    title: str,
    *,
    n_products: int = N_PRODUCTS,
    progress: bool = False,
) -> Inspection:
    """The same for a point (d,) of any problem."""
    work = _Work(problem, theta, title, n_products)
    with _bar(work.n_products, progress) as advance:
        work.advance = advance
        try:
            for stage in work.stages():
                stage()
            work.found.is_complete = True
        except KeyboardInterrupt:
            pass
    return work.found


class _Work:
    """One inspection while it is made: stages, each fills in what it finds."""

    advance: Advance

    def __init__(
        self, problem: Problem, theta: Tensor, title: str, n_products: int
    ) -> None:
        self.problem, self.theta = problem, theta
        self.is_dense = problem.dim <= DENSE and problem.has_cheap_hessian
        room = MOST_BASIS_BYTES // (theta.numel() * theta.element_size())
        self.k = max(2, min(n_products // N_SHARES, room // 2, problem.dim))
        self.k_ends = min(2 * self.k, problem.dim)
        self.n_products = problem.dim
        self.has_hessian = is_dense(problem)  # for the certificate
        if not self.is_dense:
            self.n_products = (N_PROBES + 1) * self.k + self.k_ends + 2
        if not self.has_hessian:
            self.n_products += MOST_PRODUCTS + 2
        self.spaces: list[Subspace] = []
        self.diagonals: list[Tensor] = []  # of each tensor's curvature, by probe
        self.found = Inspection(
            title,
            problem.dim,
            problem.population,
            str(theta.dtype).removeprefix("torch."),
            self.n_products,
            notes=getattr(problem, "notes", ()),
            theta_norm=float(theta.norm()),
        )

    def stages(self) -> Iterator[Callable[[], None]]:
        """What there is to do, in order."""
        yield self.slope
        if self.is_dense:
            yield self.dense
        else:
            for seed in range(N_PROBES):
                yield functools.partial(self.probe, seed)
            yield self.ends
            yield self.overlap
        yield self.shares
        yield self.line
        yield self.certificate

    def slope(self) -> None:
        """Loss and gradient."""
        self.curvature: Curvature = Oracle(self.problem, eager=True).curvature(
            self.theta
        )
        self.found.loss = float(self.curvature.loss)
        self.found.gradient_norm = float(self.curvature.grad.norm())
        for what in ("loss", "gradient_norm"):
            value = getattr(self.found, what)
            if not math.isfinite(value):
                raise ModelError(
                    f"the {what.replace('_', ' ')} of {self.found.title} is {value} at these "
                    f"weights, so that there is no curvature: look for the example or the layer "
                    f"that makes it so"
                )

    def dense(self) -> None:
        """All of the Hessian, and its eigenvalues."""
        rows = []
        for row in torch.eye(
            self.problem.dim, dtype=self.theta.dtype, device=self.theta.device
        ):
            rows.append(self.product(row))
        H = torch.stack(rows)
        H = (H + H.mT) / 2
        if isinstance(self.problem, ModuleProblem) and H.dtype == torch.float64:
            self.problem.hessians.at(self.theta, lambda: H)  # for the certificate
        values, Q = torch.linalg.eigh(H.double())
        self.nodes = dense_nodes(values.cpu().numpy())
        self.low, self.high = (
            _dense_end(H.double(), values[place], Q[:, place]) for place in (0, -1)
        )
        g = (Q.mT @ self.curvature.grad.double()).square().cpu()
        is_negative = values.cpu() < -self.edge
        if g.sum() > 0:
            share = float(g[is_negative].sum() / g.sum())
            self.found.gradient_overlap = ProbeEstimate(share, 0.0)
        self.diagonals = [H.diagonal()]

    def probe(self, seed: int) -> None:
        """A Krylov subspace from a random vector."""
        # numpy's draws: torch's own would be those that the weights are often made of
        draws = np.random.default_rng(seed).standard_normal(self.problem.dim)
        start = torch.from_numpy(draws).to(self.theta)
        self.is_first = True
        self.spaces.append(lanczos(self.noting, start, self.k))

    def ends(self) -> None:
        """Both ends of the spectrum."""
        self.nodes = krylov_nodes(self.spaces)
        self.low, self.high = sharpened(self.product, self.spaces, self.k_ends)
        self.spaces = []

    def overlap(self) -> None:
        """The gradient's share in negative directions."""
        grad = self.curvature.grad
        if grad.norm() > 0:
            seen = krylov_nodes([lanczos(self.product, grad, self.k)])
            self.found.gradient_overlap, _ = seen.shares(self.edge)

    def shares(self) -> None:
        """Ends, shares and layers, as numbers."""
        found, low, high = self.found, self.low, self.high
        found.lowest, found.highest = low.value, high.value
        # the rounding of the product that the residual is made of
        rounding = self.rounding * self.unit
        found.lowest_residual = low.residual + rounding
        found.highest_residual = high.residual + rounding
        found.nodes, found.weights = self.nodes.values, self.nodes.weights
        found.edge = self.edge
        found.negative_share, found.near_zero_share = self.nodes.shares(self.edge)
        found.negative_weight = self.nodes.negative_weight()
        scale = self.unit * found.theta_norm
        if scale > 0 and found.gradient_norm is not None:
            found.relative_gradient = found.gradient_norm / scale
        found.layers = tuple(self.layers())

    def line(self) -> None:
        """Loss along the lowest eigenvector, as far as second order lets it fall by its size."""
        assert self.found.loss is not None
        bend = abs(self.low.value) or 1.0
        reach = (2 * abs(self.found.loss) / bend) ** 0.5
        reach = min(reach, FARTHEST * max(self.found.theta_norm, 1.0)) or 1.0
        distances = torch.linspace(-reach, reach, N_ALONG + 1, dtype=torch.float64)
        oracle = Oracle(self.problem, eager=True)
        losses = [
            float(
                oracle.loss(
                    self.theta + float(each) * self.low.vector.to(self.theta)
                )
            )
            for each in distances
        ]
        self.found.distances, self.found.losses = (
            distances.numpy(),
            np.array(losses),
        )

    def certificate(self) -> None:
        """Whether Newton's method arrives at a critical point within a hundredth of |theta|."""
        if not self.has_hessian and not self.has_newton_step():
            self.found.end_point = NOT_CERTIFIED
            return
        theta = self.theta.double()
        found = certify(self.problem, theta, torch.zeros_like(theta))
        self.found.end_point = found.end_point
        if found.root_distance is not None:
            self.found.root_distance = found.root_distance / self.found.theta_norm

    def has_newton_step(self) -> bool:
        """Whether products solve for Newton's step."""

        def product(v: Floats) -> Floats:
            found = self.product(torch.as_tensor(v).to(self.theta))
            return found.double().cpu().numpy()

        grad = self.curvature.grad.double().cpu().numpy()
        step, _, self.found.unsolved = krylov_step(grad, product, math.inf)
        if not np.isfinite(step).all():
            return False
        self.found.newton_step = float(np.linalg.norm(step)) / self.found.theta_norm
        return True

    # -- inside ------------------------------------------------------------------------------------

    @property
    def unit(self) -> float:
        """The largest |eigenvalue|."""
        return max(abs(self.low.value), abs(self.high.value))

    @functools.cached_property
    def edge(self) -> float:
        """The size up to which eigenvalues count as zero, or are not told apart from it."""
        smallest = max(ZERO_EIGENVALUE, self.rounding)
        return self.unit * self.nodes.resolved_edge(self.unit, smallest)

    @property
    def rounding(self) -> float:
        """Of a Hessian-vector product, in units of the largest |eigenvalue|."""
        return N_ROUNDINGS * torch.finfo(self.theta.dtype).eps

    def product(self, vector: Tensor) -> Tensor:
        """The Hessian times a vector (d,); the bar moves."""
        found = self.curvature.hvp(vector).detach()
        self.advance(1)
        return found

    def noting(self, vector: Tensor) -> Tensor:
        """The same; the first of a probe estimates the diagonal, d v * H v (d,) for a unit v."""
        found = self.product(vector)
        if self.is_first:
            self.is_first = False
            self.diagonals.append(self.problem.dim * vector * found)
        return found

    def layers(self) -> Iterator[LayerCurvature]:
        """Slope and curvature of each tensor."""
        tensors = self.problem.tensors
        parts = [tensors(each) for each in self.diagonals]
        grads, lows, highs = (
            tensors(each.to(self.theta))
            for each in (self.curvature.grad, self.low.vector, self.high.vector)
        )
        for name, grad in grads.items():
            means = np.array([float(part[name].double().mean()) for part in parts])
            yield LayerCurvature(
                name,
                grad.numel(),
                float(grad.norm()),
                mean_of(means),
                float(lows[name].square().sum()),
                float(highs[name].square().sum()),
            )


def _dense_end(H: Tensor, value: Tensor, vector: Tensor) -> End:
    residual = torch.linalg.vector_norm(H @ vector - value * vector)
    return End(float(value), float(residual), vector)


def _standing(
    problem: ModuleProblem, model: Any, dtype: torch.dtype | None
) -> Tensor:
    """The module's weights (d,) in the dtype of the inspection, on the module's device."""
    if dtype not in (None, torch.float32, torch.float64):
        raise ModelError(
            f"dtype must be torch.float32 or torch.float64, got {dtype}"
        )
    # a module that was given is copied to the CPU
    given = model if isinstance(model, nn.Module) else problem.weights.model
    first = next(given.parameters())
    if dtype is None:
        is_fine = problem.dim <= DENSE or first.dtype == torch.float64
        dtype = problem.finest_dtype if is_fine else torch.float32
    return problem.weights.theta().to(first.device, dtype)


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Advance]:
    """A bar of Hessian-vector products, in a terminal or a notebook; a line elsewhere."""
    if not progress or not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        if progress:
            print(
                f"{total:,} Hessian-vector products at most",
                file=sys.stderr,
                flush=True,
            )
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(
            f"{total:,} Hessian-vector products at most", total=total
        )
        yield lambda n: bar.advance(task, n)
