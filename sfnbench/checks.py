"""The public contract: what every problem, optimizer and finder keeps, and what plugin authors run with ``sfnbench check``.

Each check takes a member with its default settings and raises CheckError, or whatever the member itself raises, where the
contract is broken. A check's docstring is the clause of the contract.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from .core import Network, Optimizer, Oracle, Problem
from .curvature import Kind, linearise
from .errors import CheckError
from .finding import Finder
from .lift import Looped, Vmapped

N_LANES = 3
N_POINTS = 64  # critical points looked at; a problem may know thousands


@dataclass(frozen=True)
class Waves(Problem):
    """A smooth function with a curvature of every sign, to try optimizers on."""

    dim = 4

    def start(self, rng: torch.Generator) -> Tensor:
        """A normal point."""
        return torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """A quadratic saddle in a quartic bowl, with a wave across."""
        curvature = torch.linspace(-1, 2, self.dim, dtype=theta.dtype, device=theta.device)
        return (curvature * theta**2).sum() / 2 + (theta**4).sum() / 10 + torch.sin(theta.sum()) / 3


def failures(cls: type[Problem] | type[Optimizer] | type[Finder]) -> dict[str, str]:
    """Every check by name with what it found wrong in the class's defaults; an empty text where the contract is kept."""
    try:
        member = cls()
    except Exception as error:  # the member is somebody else's code and may raise anything, here and below
        return {"has_defaults": f"{cls.__name__}() raises {type(error).__name__}: {error}"}
    found = {}
    for check in [*SHARED, *_own(member)]:
        try:
            check(member)
            found[check.__name__] = ""
        except CheckError as error:
            found[check.__name__] = str(error)
        except Exception as error:
            found[check.__name__] = f"{type(error).__name__}: {error}"
    return found


def _own(member: Any) -> tuple[Any, ...]:
    if isinstance(member, Finder):
        from .finder_checks import FINDER_CHECKS  # which is made from what is here

        return FINDER_CHECKS
    return PROBLEM_CHECKS if isinstance(member, Problem) else OPTIMIZER_CHECKS


def _check(cls: type[Problem] | type[Optimizer] | type[Finder]) -> None:
    broken = {name: message for name, message in failures(cls).items() if message}
    if broken:
        raise CheckError("\n".join(f"{cls.__name__} {name}: {message}" for name, message in broken.items()))


def check_optimizer(cls: type[Optimizer]) -> None:
    """Run every check on an optimizer with its default settings; CheckError lists all that is broken."""
    _check(cls)


def check_problem(cls: type[Problem]) -> None:
    """Run every check on a problem with its default settings; CheckError lists all that is broken."""
    _check(cls)


def check_finder(cls: type[Finder]) -> None:
    """Run every check on a finder with its default settings; CheckError lists all that is broken."""
    _check(cls)


# -- all kinds --------------------------------------------------------------------------------------------------------


def is_frozen_dataclass(member: Problem | Optimizer | Finder) -> None:
    """It is a frozen dataclass, so that nothing it learns in one run reaches the next."""
    parameters = vars(type(member)).get("__dataclass_params__")  # a base's own do not count
    frozen = parameters is not None and parameters.frozen
    require(bool(frozen), "put @dataclass(frozen=True, kw_only=True) between @register and the class")


def is_documented(member: Problem | Optimizer | Finder) -> None:
    """Its docstring says what it is."""
    generated = f"{type(member).__name__}("  # dataclass writes the signature where there is no docstring
    require(not (member.__doc__ or generated).startswith(generated), "give the class a docstring")


def fields_are_plain_values(member: Problem | Optimizer | Finder) -> None:
    """Its fields can be said in YAML: default values survive the way through JSON and the check of their types."""
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(type(member))
    try:
        again = adapter.validate_json(json.dumps(adapter.dump_python(member, mode="json")), strict=True)
    except ValidationError as error:
        raise CheckError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
    require(again == member, f"the defaults came back as {again}")


SHARED = (is_frozen_dataclass, is_documented, fields_are_plain_values)


# -- optimizers -------------------------------------------------------------------------------------------------------


def step_keeps_shape_and_dtype(optimizer: Optimizer) -> None:
    """A step keeps shape and dtype of theta and of every tensor of its state, in float32 and float64."""
    for dtype in (torch.float32, torch.float64):
        theta = _point(Waves(), dtype)
        state = optimizer.init(theta)
        after, new_state = optimizer.step(_oracle(optimizer, theta), theta, state)
        require(after.shape == theta.shape, f"theta became {tuple(after.shape)}, was {tuple(theta.shape)}")
        require(after.dtype == dtype, f"theta became {after.dtype}, was {dtype}")
        require(_form(new_state) == _form(state), f"the state became {_form(new_state)}, was {_form(state)}")


def step_is_pure(optimizer: Optimizer) -> None:
    """A step changes nothing in place and draws nothing itself: the same questions and noise give the same bits."""
    theta = _point(Waves(), torch.float64)
    state = optimizer.init(theta)
    kept = tree_map(torch.clone, (theta, state))
    torch.manual_seed(1)
    first = optimizer.step(_oracle(optimizer, theta), theta, state)
    require(same(kept, (theta, state)), "theta or the state was changed in place")
    torch.manual_seed(2)
    second = optimizer.step(_oracle(optimizer, theta), theta, state)
    require(same(first, second), "two equal steps differ: take randomness from oracle.noise, and set n_noise")


def step_asks_the_oracle(optimizer: Optimizer) -> None:
    """A step learns about the problem through the oracle, which counts."""
    theta = _point(Waves(), torch.float64)
    oracle = _oracle(optimizer, theta)
    optimizer.step(oracle, theta, optimizer.init(theta))
    require(bool(oracle.calls.counts.any()), "nothing was asked of the oracle")


def seeds_run_together(optimizer: Optimizer) -> None:
    """Seeds advanced in one vmapped batch do what each does alone; else the class says ``vmappable = False``."""
    if not optimizer.vmappable:
        return
    problem = Waves()
    starts = torch.stack([problem.start(torch.Generator().manual_seed(seed)) for seed in range(N_LANES)])
    noise = _noise(optimizer, N_LANES)
    together = Vmapped(problem, optimizer, starts)
    together.step([(None,)] * N_LANES, noise)
    for lane in range(N_LANES):
        alone = Looped(problem, optimizer, starts[lane : lane + 1])
        alone.step([(None,)], None if noise is None else noise[lane : lane + 1])
        apart = float((alone.theta[0] - together.theta[lane]).abs().max())
        require(apart <= 1e-9 * (1 + float(alone.theta.abs().max())), f"seed {lane} is {apart:g} away from its batch")
        require((alone.calls[0] == together.calls[lane]).all(), "alone it asks differently often than in a batch")


def stays_at_a_minimum(optimizer: Optimizer) -> None:
    """Without noise, it does not move where the gradient is zero and the Hessian positive."""
    if optimizer.n_noise:
        return
    theta = torch.zeros(2, dtype=torch.float64)
    after, _ = optimizer.step(Oracle(_Bowl(), theta=theta), theta, optimizer.init(theta))
    require(not after.any(), f"it moved from the minimum to {after.tolist()}")


OPTIMIZER_CHECKS = (
    step_keeps_shape_and_dtype,
    step_is_pure,
    step_asks_the_oracle,
    seeds_run_together,
    stays_at_a_minimum,
)


# -- problems ---------------------------------------------------------------------------------------------------------


def starts_are_reproducible(problem: Problem) -> None:
    """`start` gives (dim,) finite float64 values on the CPU, the same ones from the same generator state."""
    first, second = (problem.start(torch.Generator().manual_seed(7)) for _ in range(2))
    require(first.shape == (problem.dim,), f"the start has shape {tuple(first.shape)}, dim is {problem.dim}")
    require(first.dtype == torch.float64 and first.device.type == "cpu", "the start is not float64 on the CPU")
    require(bool(torch.isfinite(first).all()), "the start is not finite")
    require(torch.equal(first, second), "one seed gave two starts: take all randomness from rng")


def loss_is_a_pure_scalar(problem: Problem) -> None:
    """`loss` is a finite scalar of theta's dtype, the same at every call, and changes nothing in place."""
    for dtype in (torch.float32, torch.float64):
        theta = _point(problem, dtype)
        kept = theta.clone()
        first, second = problem.loss(theta, None), problem.loss(theta, None)
        require(first.shape == () and first.dtype == dtype, f"the loss is {tuple(first.shape)} {first.dtype}")
        require(bool(torch.isfinite(first)), "the loss is not finite at a start")
        require(torch.equal(first, second), "the loss differs between two calls: put randomness into draw")
        require(torch.equal(theta, kept), "theta was changed in place")


def derivatives_agree_with_differences(problem: Problem) -> None:
    """Gradient and Hessian agree with finite differences of loss and gradient along random directions."""
    theta = _point(problem, torch.float64)
    gradient = torch.func.grad(lambda t: problem.loss(t, None))
    H = problem.hessian(theta, None)
    require(H.shape == (problem.dim, problem.dim), f"the Hessian has shape {tuple(H.shape)}")
    require(bool(torch.isfinite(H).all()), "the Hessian at a start is not finite")
    require(torch.allclose(H, H.mT, rtol=1e-9, atol=1e-12 * float(H.abs().max())), "the Hessian is not symmetric")
    rng = torch.Generator().manual_seed(3)
    for _ in range(3):
        v = torch.randn(problem.dim, generator=rng, dtype=torch.float64)
        v, h = v / v.norm(), 1e-5
        slope = (problem.loss(theta + h * v, None) - problem.loss(theta - h * v, None)) / (2 * h)
        bend = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
        scale = 1 + float(H.norm()) + float(gradient(theta).norm())
        require(abs(float(slope - gradient(theta) @ v)) < 1e-5 * scale, "the gradient is not the slope of the loss")
        require(float((bend - H @ v).norm()) < 1e-5 * scale, "the Hessian is not the slope of the gradient")


def products_by_hand_are_those_of_autograd(problem: Problem) -> None:
    """What `linearised` gives, where it gives anything, is what differentiating twice gives."""
    theta, rng = _point(problem, torch.float64), torch.Generator().manual_seed(4)
    vectors = torch.randn(2, problem.dim, generator=rng, dtype=torch.float64)
    for kind in get_args(Kind) if isinstance(problem, Network) else ("hessian",):
        found = problem.linearised(theta, None, kind)
        if found is not None:
            known = linearise(problem, theta, None, kind, eager=False)
            pairs = [(found.loss, known.loss), (found.grad, known.grad)]
            pairs += [(found.product(v), known.product(v)) for v in (*vectors, vectors[0])]
            close = all(torch.allclose(a, b, rtol=1e-9, atol=1e-11 * (1 + float(b.abs().max()))) for a, b in pairs)
            require(close, f"linearised() of kind {kind} is not what differentiating gives")


def points_run_together(problem: Problem) -> None:
    """Loss, gradient and Hessian of several points in one `torch.func.vmap` are those of each alone."""
    points = torch.stack([problem.start(torch.Generator().manual_seed(seed)) for seed in range(N_LANES)])
    for f in (
        lambda theta: problem.loss(theta, None),
        torch.func.grad(lambda theta: problem.loss(theta, None)),
        lambda theta: problem.hessian(theta, None),
    ):
        together, alone = torch.func.vmap(f)(points), torch.stack([f(point) for point in points])
        close = torch.allclose(together, alone, rtol=1e-9, atol=1e-11 * (1 + float(alone.abs().max())))
        require(close, "a batch of points gives other values than each point alone")


def draws_are_reproducible(problem: Problem) -> None:
    """`draw` takes all its randomness from the generator, and the loss on a draw is a finite scalar."""
    if problem.population is None:
        return
    size = min(5, problem.population)
    first, second = (problem.draw(torch.Generator().manual_seed(5), size) for _ in range(2))
    require(same(first, second), "one seed gave two minibatches: take all randomness from rng")
    loss = problem.loss(_point(problem, torch.float64), first)
    require(loss.shape == () and bool(torch.isfinite(loss)), "the loss on a minibatch is not a finite scalar")
    require(0 < problem.share(first) <= 1, f"share() of {size} examples is {problem.share(first):g}")
    require(problem.share(None) == 1, f"share() of all examples is {problem.share(None):g}")


def parts_make_up_the_whole(problem: Problem) -> None:
    """The loss on all examples is the weighted sum of the losses on their `parts`."""
    theta = _point(problem, torch.float64)
    whole = problem.loss(theta, None)
    summed = sum(weight * problem.loss(theta, part) for weight, part in problem.parts(None, 3))
    require(bool(torch.isclose(torch.as_tensor(summed), whole, rtol=1e-9)), f"the parts sum to {summed:g}, not {whole:g}")


def outputs_and_criterion_make_the_loss(problem: Problem) -> None:
    """A network's Gauss-Newton matrix is symmetric, and positive semidefinite as its criterion is convex in the outputs."""
    if not isinstance(problem, Network):
        return
    theta = _point(problem, torch.float64)
    z = problem.outputs(theta, None)
    require(z.shape[-1] == problem.population, f"outputs {tuple(z.shape)} do not end in {problem.population} examples")
    linear = Oracle(problem).curvature(theta, "gauss_newton")
    require(bool(torch.isclose(linear.loss, problem.loss(theta, None), rtol=1e-9)), "loss is not fit(outputs)")
    rng = torch.Generator().manual_seed(3)
    v, w = (torch.randn(problem.dim, generator=rng, dtype=torch.float64) for _ in range(2))
    Gv, Gw = linear.hvp(v), linear.hvp(w)
    scale = float(Gv.norm() * w.norm() + Gw.norm() * v.norm())
    require(abs(float(w @ Gv - v @ Gw)) <= 1e-9 * scale, "the Gauss-Newton matrix is not symmetric")
    require(float(v @ Gv) >= -1e-9 * scale, "the Gauss-Newton matrix is not positive: is the criterion convex?")


def critical_points_are_known(problem: Problem) -> None:
    """At every stated critical point the gradient is zero, loss and index are as stated, and not below `lowest`."""
    for point, stated_loss, index in map(_parts, problem.critical_points[:N_POINTS]):
        loss = float(problem.loss(point, None))
        H = problem.hessian(point, None)
        eigenvalues = torch.linalg.eigvalsh(H)
        scale = 1 + float(eigenvalues.abs().max())
        slope = float(torch.func.grad(lambda t: problem.loss(t, None))(point).norm())
        negative = int((eigenvalues < -1e-8 * scale).sum())
        require(slope < 1e-9 * scale, f"the gradient has length {slope:g} at {point.tolist()}")
        require(abs(loss - stated_loss) < 1e-9 * (1 + abs(stated_loss)), f"the loss is {loss:g}, stated {stated_loss:g}")
        bound = problem.lowest
        require(bound is None or loss >= bound - 1e-9 * (1 + abs(bound)), f"the loss {loss:g} is below lowest, {bound}")
        require(negative == index, f"{negative} eigenvalues are negative, stated index {index}")


def escape_is_well_defined(problem: Problem) -> None:
    """A trajectory has not escaped at the saddle nor at a start, and `escaped` is a boolean scalar."""
    points = [_point(problem, torch.float64)]
    if problem.saddle is not None:
        points.append(problem.saddle.point)
    for theta in points:
        left = problem.escaped(theta, problem.loss(theta, None))
        require(left.shape == () and left.dtype == torch.bool, "escaped() is not a boolean scalar")
        require(not bool(left), "it counts as escaped before the first step")


def measures_are_scalars(problem: Problem) -> None:
    """Each of its own measures is a finite scalar at a start."""
    for name in problem.measures:
        value = getattr(problem, name)(_point(problem, torch.float64))
        require(value.shape == () and bool(torch.isfinite(value)), f"{name} is not a finite scalar")


PROBLEM_CHECKS = (
    starts_are_reproducible,
    loss_is_a_pure_scalar,
    derivatives_agree_with_differences,
    products_by_hand_are_those_of_autograd,
    points_run_together,
    draws_are_reproducible,
    parts_make_up_the_whole,
    outputs_and_criterion_make_the_loss,
    critical_points_are_known,
    escape_is_well_defined,
    measures_are_scalars,
)


# -- inside -----------------------------------------------------------------------------------------------------------


class _Bowl(Problem):
    """x^2 + 3 y^2."""

    dim = 2

    def start(self, rng: torch.Generator) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        return theta[0] ** 2 + 3 * theta[1] ** 2


def require(kept: bool, message: str) -> None:
    """CheckError unless the clause is kept."""
    if not kept:
        raise CheckError(message)


def _point(problem: Problem, dtype: torch.dtype) -> Tensor:
    return problem.start(torch.Generator().manual_seed(11)).to(dtype)


def _noise(optimizer: Optimizer, n_lanes: int) -> Tensor | None:
    rng = torch.Generator().manual_seed(13)
    shape = (n_lanes, optimizer.n_noise, Waves.dim)
    return torch.randn(shape, generator=rng, dtype=torch.float64) if optimizer.n_noise else None


def _oracle(optimizer: Optimizer, theta: Tensor) -> Oracle:
    noise = _noise(optimizer, 1)
    return Oracle(Waves(), noise=None if noise is None else noise[0].to(theta.dtype), theta=theta)


def _form(state: Any) -> list[tuple[torch.Size, torch.dtype]]:
    return [(leaf.shape, leaf.dtype) for leaf in tree_flatten(state)[0]]


def same(a: Any, b: Any) -> bool:
    """Whether two trees of tensors hold the same bits."""
    pairs = zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True)
    return all(_equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


def _equal(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and torch.allclose(x, y, rtol=0, atol=0, equal_nan=True)


def _parts(known: Any) -> tuple[Tensor, float, int]:
    return known.point, known.loss, known.index
