"""An optimizer of torch tried on a tiny problem, before a run meets what is wrong with it.

The trial makes the steps that the run will make, on tensors of the same names and kinds, and finds
out what a step of the class needs; no signature says it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.problem import Problem
from ..words import first_line
from .torch_entries import read_entry
from .torch_entry import Entry, Fault
from .torch_stock import Asking, Need, Separate
from .trajectories import Trajectories

N_STEPS = 12  # many methods do something else in every tenth step
MISSING = re.compile(r"(\w+)\.__init__\(\) missing \d+ required [a-z -]*: (.*)")
MOST_PARAMETERS = 2**50
MOST = 6  # numbers along each side of a tensor
NEEDS = (
    Need(gradient=True),
    Need(gradient=False, closure=True),
    Need(gradient=True, closure=True),
    Need(gradient=True, graph=True),
    Need(gradient=False, closure=True, graph=True),
    Need(gradient=True, closure=True, graph=True),
)


@dataclass(frozen=True)
class Tiny(Problem):
    """A convex quartic in a few tensors."""

    kinds: tuple[tuple[str, tuple[int, ...]], ...]  # names and shapes

    @property
    def dim(self) -> int:
        """All numbers of the tensors."""
        return sum(math.prod(shape) for _, shape in self.kinds)

    def start(self, rng: torch.Generator) -> Tensor:
        """A normal point."""
        return torch.randn(self.dim, generator=rng, dtype=torch.float64)

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Views by name."""
        parts = theta.split([math.prod(shape) for _, shape in self.kinds])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self.kinds, parts, strict=True)
        }

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """A bowl, steeper in some directions and farther out."""
        curvature = torch.linspace(
            1, 2, self.dim, dtype=theta.dtype, device=theta.device
        )
        return (curvature * theta**2).sum() / 2 + (theta**4).sum() / 20


def kinds_of(problem: Problem) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of a problem's tensors, cut down to a tiny problem's."""
    # one number, seen as many times: a large problem takes no memory here
    views = problem.tensors(torch.zeros(1, dtype=torch.float64).expand(problem.dim))
    return tuple(
        (name, tuple(min(n, MOST) for n in view.shape))
        for name, view in views.items()
    )


def need_of(
    use: str,
    params: Mapping[str, Any],
    problem: Problem,
    dtype: torch.dtype,
    n_steps: int | None = None,
) -> Need:
    """The needs of the class in a step on this problem; ValueError where it fails."""
    found = tried(use, params, problem, dtype, n_steps)
    if isinstance(found, Fault):
        raise ValueError(found.message)
    return found


def tried(
    use: str,
    params: Mapping[str, Any],
    problem: Problem,
    dtype: torch.dtype,
    n_steps: int | None = None,
) -> Need | Fault:
    """The needs of the class in a step, or its message where it cannot make one."""
    if problem.dim > MOST_PARAMETERS:
        return Fault(
            (), f"{problem.dim:.3g} parameters are more than any memory holds"
        )
    text = json.dumps(params, sort_keys=True)
    return _tried(use, text, kinds_of(problem), dtype, n_steps)


@functools.lru_cache(maxsize=4096)
def _tried(
    use: str,
    params: str,
    kinds: tuple[tuple[str, tuple[int, ...]], ...],
    dtype: torch.dtype,
    n_steps: int | None,
) -> Need | Fault:
    entry = read_entry(use, json.loads(params), n_steps)
    problem = Tiny(kinds)
    if callable(getattr(entry.cls, "backward", None)):
        return Fault(
            (), f"{use}: it goes back through the loss by a backward() of its own"
        )
    said: list[BaseException] = []
    for need in NEEDS:
        try:
            made = _steps(entry, problem, dtype, need)
        except Exception as error:  # an optimizer of others may raise anything
            said.append(error)
            continue
        if (
            need.closure
            and not need.gradient
            and not _waits(entry, problem, dtype, need, made)
        ):
            continue
        if need.closure and entry.others:
            alone = "it asks for losses itself, and leaves no tensors to another optimizer"
            return Fault((), f"{use}: {alone}")
        return need
    return _fault(entry, said, lambda other: _steps_somehow(other, problem, dtype))


def _steps(
    entry: Entry, problem: Problem, dtype: torch.dtype, need: Need
) -> Tensor:
    """Where some steps lead."""
    trajectories = _trajectories(entry, problem, dtype, need)
    with _silence():
        for _ in range(1 if entry.is_elementwise else N_STEPS):
            trajectories.step([(None,)], None)
    return trajectories.theta


def _trajectories(
    entry: Entry, problem: Problem, dtype: torch.dtype, need: Need
) -> Trajectories:
    starts = problem.start(torch.Generator().manual_seed(3)).to(dtype)[None]
    with _silence():
        if need == NEEDS[0]:
            return Separate(problem, starts, entry, (0,))
        return Asking(problem, starts, entry, (0,), need)


def _waits(
    entry: Entry, problem: Problem, dtype: torch.dtype, need: Need, made: Tensor
) -> bool:
    """Whether a method takes no gradient before it asks for one.

    If it does, one that is not a number makes its steps so.
    """
    trajectories = _trajectories(entry, problem, dtype, need)
    assert isinstance(trajectories, Asking)
    trajectories.spoiled = True
    try:
        with _silence():
            for _ in range(N_STEPS):
                trajectories.step([(None,)], None)
    except Exception:  # what breaks on it has looked at it
        return False
    return torch.equal(trajectories.theta, made)


def _steps_somehow(entry: Entry, problem: Problem, dtype: torch.dtype) -> bool:
    for need in NEEDS:
        with contextlib.suppress(Exception):
            _steps(entry, problem, dtype, need)
            return True
    return False


def _fault(
    entry: Entry, said: Sequence[BaseException], works: Callable[[Entry], bool]
) -> Fault:
    """The fault of a method that failed in each way to call it.

    Most methods take the first way. A complaint about a closure there is answered by the second.
    """
    error = said[0]
    if "closure" in str(error) and len(said) > 1:
        error = said[1]
    message = first_line(error)
    path = _complained_of(entry, message) or _culprit(entry, works)
    is_pythons = isinstance(error, LookupError | AttributeError | TypeError)
    if isinstance(error, NotImplementedError):
        message = "it has no step of its own"
    elif missing := MISSING.search(message):
        message = f"{missing[1]} needs {missing[2]}"
    elif is_pythons and len(path) == 1 and path[0] in entry.own:
        message = f"{path[0]} cannot be {entry.own[path[0]]!r} ({message})"
    elif isinstance(error, LookupError | AttributeError):
        message = f"{type(error).__name__}: {message}"
    return Fault(path, f"{entry.use}: {message}{_way_out(entry, message)}")


def _complained_of(entry: Entry, message: str) -> tuple[str, ...]:
    """The group or the schedule that a class complains of, as far as its words show it."""
    for group in entry.groups:
        if f"group {group.selector!r}" in message:
            return entry.place("groups", group.selector)
    if entry.schedule is not None and entry.schedule.cls.__name__ in message:
        return entry.place("schedule")
    return ()


def _culprit(entry: Entry, works: Callable[[Entry], bool]) -> tuple[str, ...]:
    """The parameter without which the class would make its steps."""
    for name in entry.own:
        rest = {key: value for key, value in entry.own.items() if key != name}
        if works(replace(entry, own=rest)):
            return entry.place(name)
    return ()


def _way_out(entry: Entry, message: str) -> str:
    """A hint, where a suite has a key for the argument that a class lacks."""
    if (
        entry.roles.base
        and not entry.base
        and any(each in message for each in ("base", "`params`"))
    ):
        return " (write base: {use: torch.optim.SGD, lr: 0.1})"
    if entry.groups:
        return ""
    if "use_muon" in message:
        return " (write groups: {matrices: {use_muon: true}, vectors: {use_muon: false}})"
    if "2D" in message:
        return (
            " (give others to another: groups: {vectors: {use: torch.optim.AdamW}})"
        )
    return ""


@contextlib.contextmanager
def _silence() -> Any:
    """Without what optimizers print, and what they warn of: a run says it again."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
