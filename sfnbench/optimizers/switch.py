"""One optimizer until it stalls, then another."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import PlainSerializer, PlainValidator, ValidationError
from torch import Tensor

from ..core.fields import BelowOne, Count
from ..core.optimizer import Optimizer, State
from ..core.oracle import Oracle
from ..core.problem import Problem
from ..errors import PluginError
from ..members import registry
from ..members.registry import register
from ..words import explain
from .krylov_sfn import KrylovSaddleFreeNewton
from .msgd import MomentumSGD


def _optimizer_of(entry: Any) -> Optimizer:
    """The optimizer of an entry {use: NAME, PARAMETER: VALUE, ...}."""
    if isinstance(entry, Optimizer):
        return entry
    if isinstance(entry, str):
        entry = {"use": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
        raise ValueError(
            "must be an optimizer's name, or a mapping with the key 'use'"
        )
    if registry.is_stock(entry["use"]):
        raise ValueError(
            f"must be one of sfnbench's own optimizers, not the stock one {entry['use']!r}"
        )
    params = {key: value for key, value in entry.items() if key != "use"}
    try:
        made = registry.build("optimizer", entry["use"], params)
    except PluginError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise ValueError(f"{entry['use']}: {explain(error, params)}") from error
    assert isinstance(made, Optimizer)
    return made


def _entry_of(optimizer: Optimizer) -> dict[str, Any]:
    """The entry that `_build` makes this optimizer of."""
    name = type(optimizer).name  # type: ignore[attr-defined]  # what @register put there
    return {
        "use": name,
        **registry.adapter(type(optimizer)).dump_python(
            optimizer, mode="json", warnings=False
        ),
    }


OptimizerEntry = Annotated[
    Optimizer, PlainValidator(_optimizer_of), PlainSerializer(_entry_of)
]


class Phase(NamedTuple):
    """The memories of both, and the losses of the first.

    Counters live on the CPU, where reading them waits for nothing.
    """

    first: State
    then: State
    n_steps: Tensor  # () steps made
    switched: (
        Tensor  # () the step after which the second took over; NaN before that
    )
    total: Tensor  # () sum of the losses in the window so far
    before: Tensor  # () mean loss of the window before; NaN in the first


@register("switch")
@dataclass(frozen=True, kw_only=True)
class Switch(Optimizer):
    """One optimizer until it stalls, then another: so the paper starts saddle-free Newton.

    Fields: `first` and `then`, entries of a suite: a name, or {use: NAME, PARAMETER: VALUE, ...}.
    The first has stalled when the mean of its losses over `window` steps, as its own batches show
    them, is not below that of the window before by more than the share `gain`. The second begins
    with a fresh memory.

    The first optimizer sees the same minibatches whatever follows it, so all methods that switch
    from it at a seed do so at the same point. Cost of a step: that of the optimizer at work (and a
    loss, where it asks for none at theta itself). The report has the step of the switch as
    `switch_step`. Reference: Dauphin et al. 2014, section 6.2.
    """

    vmappable = False  # its seeds do not switch at the same step

    first: OptimizerEntry = field(default_factory=MomentumSGD)
    then: OptimizerEntry = field(default_factory=KrylovSaddleFreeNewton)
    gain: BelowOne = 0.01
    window: Count = 200

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            raise ValueError("batch_size belongs to first and then")

    @property
    def n_noise(self) -> int:  # type: ignore[override]  # as many as either wants
        """Normal vectors that either may want."""
        return max(self.first.n_noise, self.then.n_noise)

    @property
    def batch_sizes(self) -> tuple[int | None, ...]:
        """The first's, then the second's."""
        return (*self.first.batch_sizes, *self.then.batch_sizes)

    def misfit(self, problem: Problem) -> str | None:
        """The reasons that keep either from running."""
        return self.first.misfit(problem) or self.then.misfit(problem)

    def init(self, theta: Tensor) -> Phase:
        """The first at its beginning."""
        nothing = torch.zeros(())
        nan = torch.full((), torch.nan)
        return Phase(
            self.first.init(theta),
            self.then.init(theta),
            nothing,
            nan,
            torch.zeros_like(theta[0]),
            nan.to(theta),
        )

    def step(
        self, oracle: Oracle, theta: Tensor, state: Phase
    ) -> tuple[Tensor, Phase]:
        """A step of the optimizer at work, and the test for a stall."""
        n_first = len(self.first.batch_sizes)
        n_steps = state.n_steps + 1
        if not state.switched.isnan():
            own = replace(oracle, batches=oracle.batches[n_first:])
            after, inner = self.then.step(own, theta, state.then)
            oracle.loss_here = own.loss_here
            return after, state._replace(then=inner, n_steps=n_steps)
        own = replace(oracle, batches=oracle.batches[:n_first])
        after, inner = self.first.step(own, theta, state.first)
        if own.loss_here is None:
            loss = own.loss(theta)
        else:
            loss = own.loss_here
        oracle.loss_here = loss
        state = state._replace(
            first=inner, n_steps=n_steps, total=state.total + loss
        )
        if int(n_steps) % self.window:
            return after, state
        mean = state.total / self.window
        stalled = bool(state.before - mean <= self.gain * state.before.abs())
        return after, state._replace(
            total=torch.zeros_like(mean),
            before=mean,
            switched=n_steps if stalled else state.switched,
        )

    def report(self, state: Phase) -> Mapping[str, Tensor]:
        """The step of the switch, NaN before it, and the report of the optimizer at work."""
        at_work = self.first.report(state.first)
        idle = self.then.report(state.then)
        if not state.switched.isnan():
            at_work, idle = idle, at_work
        silent = {
            name: torch.full_like(value, torch.nan) for name, value in idle.items()
        }
        return {**silent, **at_work, "switch_step": state.switched.to(state.total)}
