"""Members' answers on a device: a GPU's are held against a CPU's.

Where there is no GPU, torch's device ``meta`` stands in for one: its tensors have shapes and no
values. Mixing it with the CPU fails as mixing a GPU with the CPU does, and so does reading a value.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ...core.curvature import CurvatureKind
from ...core.finder import Equations, Finder, Iterate
from ...core.linearise import linearise
from ...core.metric import Metric
from ...core.optimizer import Optimizer
from ...core.oracle import Oracle
from ...core.problem import Problem
from ...metrics.measuring import by_name
from ...trajectories.as_torch import as_torch_optimizer
from ...trajectories.single import Looped
from ...trajectories.vmapped import Vmapped
from .shared import (
    DEVICE,
    N_CONTRACT_STARTS,
    AnyMember,
    Waves,
    point_of,
    require,
    starts_of,
)

META = torch.device("meta")
N_DEVICE_STEPS = 2
# torch's words for reading a value of a tensor that has none
READS = ("cannot be called on meta tensors", "Cannot copy out of meta tensor")

INDEXING = ("index", "index_put", "index_put_", "_unsafe_index")
COPYING = ("copy_", "_to_copy")  # from one device to another

Answers = dict[str, Tensor]


class OneDevice(TorchDispatchMode):
    """Refuses an operator on tensors of several devices, as a GPU does.

    `meta` by itself lets some pass: indexing, gathering, ``where``.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the operator where its tensors are together; single numbers may be elsewhere."""
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        name = func.overloadpacket.__name__
        if name in INDEXING and tensors[0].device == META:
            tensors = tensors[:1]  # its indices may be on the CPU
        devices = {str(x.device) for x in tensors if x.dim()}
        if len(devices) > 1 and name not in COPYING:
            raise RuntimeError(
                f"{name} mixes tensors on different devices: make them with "
                f"device=theta.device, or keep them with @constant"
            )
        return func(*args, **(kwargs or {}))


def problem_answers(
    problem: Problem, device: torch.device, dtype: torch.dtype
) -> Answers:
    """Losses, derivatives and measures at a start, on all examples and on a minibatch."""
    theta = point_of(problem, dtype).to(device)
    found = _derivatives(problem, theta, None)
    found["hessian"] = problem.hessian(theta, None)
    found["escaped"] = problem.escaped(theta, found["loss"])
    found["invariants"] = problem.invariants(theta)
    for name in problem.measures:
        found[name] = getattr(problem, name)(theta)
    tangent = problem.tangent(theta)
    if tangent is not None:  # its columns may be turned: their span may not
        found["tangent"] = tangent @ tangent.mT
    if problem.population is not None:
        drawn = problem.draw(
            torch.Generator().manual_seed(5), min(5, problem.population)
        )
        batch = tree_map(lambda leaf: leaf.to(device), drawn)
        found |= _with_prefix("minibatch", _derivatives(problem, theta, batch))
    for place, (_, part) in enumerate(problem.parts(None, 2)):
        found[f"part {place}"] = problem.loss(theta, part)
    return found


def optimizer_answers(
    optimizer: Optimizer, device: torch.device, dtype: torch.dtype
) -> Answers:
    """Where steps lead, and what is reported: alone, in a batch, and on a module's parameters."""
    problem = Waves()
    found = {}
    starts = starts_of(problem).to(device, dtype)
    noise = None
    if optimizer.n_noise:
        shape = (N_CONTRACT_STARTS, optimizer.n_noise, problem.dim)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(13))
        noise = drawn.to(starts)
    kinds: list[type[Looped] | type[Vmapped]] = [Looped]
    if optimizer.vmappable:
        kinds.append(Vmapped)
    for kind in kinds:
        n = 1 if kind is Looped else N_CONTRACT_STARTS
        trajectories = kind(problem, optimizer, starts[:n])
        for _ in range(N_DEVICE_STEPS):
            trajectories.step([(None,) * len(optimizer.batch_sizes)] * n, noise)
        found[f"{kind.__name__} theta"] = trajectories.theta
        found |= _with_prefix(kind.__name__, dict(trajectories.reports()))
    return found


def finder_answers(
    finder: Finder, device: torch.device, dtype: torch.dtype
) -> Answers:
    """Where a step of several searches leads, and the gradients there."""
    problem = Waves()
    starts = starts_of(problem).to(device, dtype)
    equations = Equations(problem, N_CONTRACT_STARTS)
    at = Iterate(starts, equations.grad(starts), finder.init(starts))
    at = finder.step(equations, at)
    return {"theta": at.theta, "grad": at.grad}


def metric_answers(
    metric: Metric, device: torch.device, dtype: torch.dtype
) -> Answers:
    """A metric's numbers at a point."""
    problem = Waves()
    theta = starts_of(problem)[0].to(device, dtype)
    return by_name(metric.name, metric.measure(Oracle(problem), theta))


def answers(member: AnyMember, device: torch.device, dtype: torch.dtype) -> Answers:
    """A member's answers on a device, by name."""
    if isinstance(member, Problem):
        return problem_answers(member, device, dtype)
    if isinstance(member, Optimizer):
        return optimizer_answers(member, device, dtype)
    if isinstance(member, Metric):
        return metric_answers(member, device, dtype)
    return finder_answers(member, device, dtype)


def stays_on_its_device(member: AnyMember) -> None:
    """All that it makes is where theta is, so that it runs on a GPU, and it waits for no value.

    A finder, and an optimizer that says ``vmappable = False``, may read values.
    """
    may_read = isinstance(member, Finder) or not getattr(member, "vmappable", True)
    try:
        with OneDevice():
            found = answers(member, META, torch.float32)
    except (RuntimeError, NotImplementedError) as error:
        if not is_read(error):
            raise
        message = f"it reads a tensor's value, which makes a GPU wait: {error}"
        require(may_read, message)
        return
    for name, tensor in found.items():
        message = (
            f"{name} is on {tensor.device}, theta elsewhere: make tensors with "
            f"device=theta.device, or keep them with @constant"
        )
        require(tensor.device == META, message)


def trains_modules_on_their_device(optimizer: Optimizer) -> None:
    """As an optimizer of torch it trains parameters where they are."""
    if all(size is None for size in optimizer.batch_sizes):
        for device in (torch.device(DEVICE.get()), META):
            loss = _loss_of_a_module(optimizer, device)
            there = loss is None or loss.device.type == device.type
            require(
                there, "the loss of a step is on another device than the module"
            )


def _loss_of_a_module(optimizer: Optimizer, device: torch.device) -> Tensor | None:
    """The loss of the wrapper's step; None where the step reads a value and there is none."""
    layer = torch.nn.Linear(3, 2, device=device)
    x = torch.ones(5, 3, device=device)
    wrapped = as_torch_optimizer(optimizer, layer.parameters())
    try:
        return wrapped.step(lambda: layer(x).square().mean())
    except (RuntimeError, NotImplementedError) as error:
        if not is_read(error):
            raise
        return None


def is_read(error: BaseException) -> bool:
    """Whether this was raised where a tensor without values was asked for one."""
    return any(words in str(error) for words in READS)


def _derivatives(problem: Problem, theta: Tensor, batch: Any) -> Answers:
    """Loss, gradient and products with each curvature matrix, by both kinds of autograd."""
    found = {}
    if problem.knows_outputs:
        kinds = get_args(CurvatureKind)
    else:
        kinds = ("hessian",)
    v = torch.linspace(-1, 1, problem.dim, dtype=theta.dtype, device=theta.device)
    for eager in (True, False):
        for kind in kinds:
            linear = linearise(problem, theta, batch, kind, eager=eager)
            found[f"{kind} product, eager {eager}"] = linear.product(v)
        found[f"gradient, eager {eager}"] = linear.grad
    loss, grad = Oracle(problem, (batch,), eager=True).loss_and_grad(theta)
    return {**found, "loss": loss, "gradient": grad}


def _with_prefix(prefix: str, found: Answers) -> Answers:
    return {f"{prefix} {name}": tensor for name, tensor in found.items()}
