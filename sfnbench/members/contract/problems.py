"""The clauses of the contract that problems keep."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from ...core.curvature import CurvatureKind
from ...core.generators import fault_of_zero_modes
from ...core.linearise import linearise
from ...core.network import Network
from ...core.oracle import Oracle
from ...core.problem import Problem
from ...core.symmetry import zero_mode_rank
from .shared import DEVICE, point_of, require, same, starts_of

N_POINTS = 64  # critical points looked at; a problem may know thousands


def starts_are_reproducible(problem: Problem) -> None:
    """`start` gives (dim,) finite float64 values on the CPU, decided by the generator."""
    first, second = (
        problem.start(torch.Generator().manual_seed(7)) for _ in range(2)
    )
    require(
        first.shape == (problem.dim,),
        f"the start has shape {tuple(first.shape)}, dim is {problem.dim}",
    )
    require(
        first.dtype == torch.float64 and first.device.type == "cpu",
        "the start is not float64 on the CPU",
    )
    require(bool(torch.isfinite(first).all()), "the start is not finite")
    require(
        torch.equal(first, second),
        "one seed gave two starts: take all randomness from rng",
    )


def loss_is_a_pure_scalar(problem: Problem) -> None:
    """`loss` is a finite scalar of theta's dtype, the same at each call; it changes no tensor."""
    for dtype in (torch.float32, torch.float64):
        theta = point_of(problem, dtype)
        kept = theta.clone()
        first = problem.loss(theta, None)
        second = problem.loss(theta, None)
        require(
            first.shape == () and first.dtype == dtype,
            f"the loss is {tuple(first.shape)} {first.dtype}",
        )
        require(bool(torch.isfinite(first)), "the loss is not finite at a start")
        require(
            torch.equal(first, second),
            "the loss differs between two calls: put randomness into draw",
        )
        require(torch.equal(theta, kept), "theta was changed in place")


def derivatives_agree_with_differences(problem: Problem) -> None:
    """Gradient and Hessian agree with finite differences along random directions."""
    theta = point_of(problem, torch.float64)
    gradient = torch.func.grad(lambda t: problem.loss(t, None))
    H = problem.hessian(theta, None)
    require(
        H.shape == (problem.dim, problem.dim),
        f"the Hessian has shape {tuple(H.shape)}",
    )
    require(bool(torch.isfinite(H).all()), "the Hessian at a start is not finite")
    require(
        torch.allclose(H, H.mT, rtol=1e-9, atol=1e-12 * float(H.abs().max())),
        "the Hessian is not symmetric",
    )
    rng = torch.Generator().manual_seed(3)
    for _ in range(3):
        v = torch.randn(problem.dim, generator=rng, dtype=torch.float64).to(theta)
        v = v / v.norm()
        h = 1e-5
        slope = (
            problem.loss(theta + h * v, None) - problem.loss(theta - h * v, None)
        ) / (2 * h)
        bend = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
        scale = 1 + float(H.norm()) + float(gradient(theta).norm())
        require(
            abs(float(slope - gradient(theta) @ v)) < 1e-5 * scale,
            "the gradient is not the slope of the loss",
        )
        require(
            float((bend - H @ v).norm()) < 1e-5 * scale,
            "the Hessian is not the slope of the gradient",
        )


def products_by_hand_are_those_of_autograd(problem: Problem) -> None:
    """`linearised`, where it gives anything, agrees with differentiating twice."""
    theta = point_of(problem, torch.float64)
    rng = torch.Generator().manual_seed(4)
    vectors = torch.randn(2, problem.dim, generator=rng, dtype=torch.float64).to(
        theta
    )
    for kind in get_args(CurvatureKind) if problem.knows_outputs else ("hessian",):
        found = problem.linearised(theta, None, kind)
        if found is not None:
            known = linearise(problem, theta, None, kind, eager=False)
            pairs = [(found.loss, known.loss), (found.grad, known.grad)]
            pairs += [
                (found.product(v), known.product(v)) for v in (*vectors, vectors[0])
            ]
            close = all(
                torch.allclose(
                    a, b, rtol=1e-9, atol=1e-11 * (1 + float(b.abs().max()))
                )
                for a, b in pairs
            )
            require(
                close,
                f"linearised() of kind {kind} is not what differentiating gives",
            )


def points_run_together(problem: Problem) -> None:
    """Loss, gradient and Hessian of points in one `torch.func.vmap` are those of each alone."""
    if not problem.vmappable:
        return
    points = starts_of(problem)
    for f in (
        lambda theta: problem.loss(theta, None),
        torch.func.grad(lambda theta: problem.loss(theta, None)),
        lambda theta: problem.hessian(theta, None),
    ):
        together = torch.func.vmap(f)(points)
        alone = torch.stack([f(point) for point in points])
        close = torch.allclose(
            together, alone, rtol=1e-9, atol=1e-11 * (1 + float(alone.abs().max()))
        )
        require(close, "a batch of points gives other values than each point alone")


def draws_are_reproducible(problem: Problem) -> None:
    """`draw` takes its randomness from the generator, and the loss on a draw is a finite scalar."""
    if problem.population is None:
        return
    size = min(5, problem.population)
    first, second = (
        problem.draw(torch.Generator().manual_seed(5), size) for _ in range(2)
    )
    require(
        same(first, second),
        "one seed gave two minibatches: take all randomness from rng",
    )
    loss = problem.loss(point_of(problem, torch.float64), first)
    require(
        loss.shape == () and bool(torch.isfinite(loss)),
        "the loss on a minibatch is not a finite scalar",
    )
    require(
        0 < problem.share(first) <= 1,
        f"share() of {size} examples is {problem.share(first):g}",
    )
    require(
        problem.share(None) == 1,
        f"share() of all examples is {problem.share(None):g}",
    )


def tensors_make_up_theta(problem: Problem) -> None:
    """`tensors` gives views of theta that do not overlap and leave nothing out."""
    theta = torch.zeros(problem.dim, dtype=torch.float64)
    for view in problem.tensors(theta).values():
        view.add_(1)
    n_missed = int((theta == 0).sum())
    n_shared = int((theta > 1).sum())
    require(
        n_missed == 0,
        f"{n_missed} of {problem.dim} parameters are in no view of theta",
    )
    require(
        n_shared == 0,
        f"{n_shared} of {problem.dim} parameters are in more than one tensor",
    )


def parts_make_up_the_whole(problem: Problem) -> None:
    """The loss on all examples is the weighted sum of the losses on their `parts`."""
    theta = point_of(problem, torch.float64)
    whole = problem.loss(theta, None)
    summed = sum(
        weight * problem.loss(theta, part)
        for weight, part in problem.parts(None, 3)
    )
    require(
        bool(torch.isclose(torch.as_tensor(summed), whole, rtol=1e-9)),
        f"the parts sum to {summed:g}, not {whole:g}",
    )


def outputs_and_criterion_make_the_loss(problem: Problem) -> None:
    """A network's Gauss-Newton matrix is symmetric, and semidefinite for a convex criterion."""
    if not problem.knows_outputs:
        return
    assert isinstance(problem, Network)
    theta = point_of(problem, torch.float64)
    z = problem.outputs(theta, None)
    require(
        z.shape[-1] == problem.population,
        f"outputs {tuple(z.shape)} do not end in {problem.population} examples",
    )
    linear = Oracle(problem).curvature(theta, "gauss_newton")
    require(
        bool(torch.isclose(linear.loss, problem.loss(theta, None), rtol=1e-9)),
        "loss is not fit(outputs)",
    )
    rng = torch.Generator().manual_seed(3)
    v, w = torch.randn(2, problem.dim, generator=rng, dtype=torch.float64).to(theta)
    Gv = linear.hvp(v)
    Gw = linear.hvp(w)
    scale = float(Gv.norm() * w.norm() + Gw.norm() * v.norm())
    require(
        abs(float(w @ Gv - v @ Gw)) <= 1e-9 * scale,
        "the Gauss-Newton matrix is not symmetric",
    )
    require(
        float(v @ Gv) >= -1e-9 * scale,
        "the Gauss-Newton matrix is not positive: is the criterion convex?",
    )


def critical_points_are_known(problem: Problem) -> None:
    """Each stated critical point has no gradient, and loss, index and kernel as stated.

    No loss is below `lowest`.
    """
    for known in problem.critical_points[:N_POINTS]:
        point, stated_loss, index = _known_parts(known)
        loss = float(problem.loss(point, None))
        H = problem.hessian(point, None)
        eigenvalues = torch.linalg.eigvalsh(H)
        scale = 1 + float(eigenvalues.abs().max())
        slope = float(
            torch.func.grad(lambda t: problem.loss(t, None))(point).norm()
        )
        negative = int((eigenvalues < -1e-8 * scale).sum())
        require(
            slope < 1e-9 * scale,
            f"the gradient has length {slope:g} at {point.tolist()}",
        )
        require(
            abs(loss - stated_loss) < 1e-9 * (1 + abs(stated_loss)),
            f"the loss is {loss:g}, stated {stated_loss:g}",
        )
        bound = problem.lowest
        require(
            bound is None or loss >= bound - 1e-9 * (1 + abs(bound)),
            f"the loss {loss:g} is below lowest, {bound}",
        )
        require(
            negative == index,
            f"{negative} eigenvalues are negative, stated index {index}",
        )
        n_zero = int((eigenvalues.abs() <= 1e-8 * scale).sum())
        require(
            known.n_zero in (None, n_zero),
            f"{n_zero} eigenvalues are zero, stated n_zero {known.n_zero}",
        )


def saddle_is_of_its_order(problem: Problem) -> None:
    """A saddle of order 2 has a negative eigenvalue, and one of a higher order has none."""
    if problem.saddle is None:
        return
    order = problem.saddle_order
    index = problem.saddle.index
    require(order >= 2, f"saddle_order is {order}, not 2 or more")
    require(
        (order == 2) == (index > 0),
        f"saddle_order is {order}, but the index of the saddle is {index}",
    )


def zero_modes_are_symmetries(problem: Problem) -> None:
    """The loss is constant along each stated zero mode, and the modes are independent.

    Some known critical point has so many zero eigenvalues.
    """
    n = problem.n_zero_modes
    require(0 <= n <= problem.dim, f"n_zero_modes is {n}, dim is {problem.dim}")
    for theta in starts_of(problem):
        modes = problem.zero_modes(theta)
        if modes is None:
            break
        fault = fault_of_zero_modes(problem, theta)
        require(not fault, fault)
        rank = zero_mode_rank(modes)
        require(
            rank == len(modes), f"{rank} of {len(modes)} zero modes are independent"
        )
    _require_kernel(problem)


def _require_kernel(problem: Problem) -> None:
    """Some known critical point, if there are any, has so many zero eigenvalues."""
    kernels = []
    n_stated = problem.n_zero_modes
    for point, _, _ in map(_known_parts, problem.critical_points[:N_POINTS]):
        L = torch.linalg.eigvalsh(problem.hessian(point, None))
        kernels.append(int((L.abs() <= 1e-8 * (1 + L.abs().max())).sum()))
        modes = problem.zero_modes(point)
        if modes is not None:
            n_stated = max(n_stated, zero_mode_rank(modes))
    n_zero = max(kernels, default=n_stated)
    noun = "eigenvalue is" if n_zero == 1 else "eigenvalues are"
    require(
        n_zero >= n_stated,
        f"{n_stated} zero modes are stated, but {n_zero} {noun} zero"
        " at any known critical point",
    )


def escape_is_well_defined(problem: Problem) -> None:
    """`escaped` is a boolean scalar, and false at the saddle and at a start."""
    points = [point_of(problem, torch.float64)]
    if problem.saddle is not None:
        points.append(problem.saddle.point.to(DEVICE.get()))
    for theta in points:
        left = problem.escaped(theta, problem.loss(theta, None))
        require(
            left.shape == () and left.dtype == torch.bool,
            "escaped() is not a boolean scalar",
        )
        require(not bool(left), "it counts as escaped before the first step")


def measures_are_scalars(problem: Problem) -> None:
    """Each of its own measures is a finite scalar at a start."""
    for name in problem.measures:
        value = getattr(problem, name)(point_of(problem, torch.float64))
        require(
            value.shape == () and bool(torch.isfinite(value)),
            f"{name} is not a finite scalar",
        )


PROBLEM_CHECKS = (
    starts_are_reproducible,
    loss_is_a_pure_scalar,
    derivatives_agree_with_differences,
    products_by_hand_are_those_of_autograd,
    points_run_together,
    draws_are_reproducible,
    tensors_make_up_theta,
    parts_make_up_the_whole,
    outputs_and_criterion_make_the_loss,
    critical_points_are_known,
    saddle_is_of_its_order,
    zero_modes_are_symmetries,
    escape_is_well_defined,
    measures_are_scalars,
)


def _known_parts(known: Any) -> tuple[Tensor, float, int]:
    return known.point.to(DEVICE.get()), known.loss, known.index
