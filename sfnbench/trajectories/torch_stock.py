"""Trajectories of torch's optimizers, and of those like them, on the tensors of a problem.

Every seed has an optimizer of its own; what seeds share is the call that gives their gradients.
Only where updates take each number by itself do seeds share one object, with their tensors stacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # there, but not in the stubs

from ..core.memory import Parts
from ..core.oracle import Oracle
from ..core.problem import Problem
from .chance import lent_generators, reseed
from .layout import Layout
from .methods import Method, clipped
from .single import Single
from .torch_entry import Entry
from .trajectories import Batches, Trajectories
from .vmapped import stack


class Need(NamedTuple):
    """The needs of a class in a step: a gradient beforehand, a closure, gradients with a graph."""

    gradient: bool
    closure: bool = False
    graph: bool = False


class GivenGradients(Trajectories):
    """Optimizers that take a gradient and make a step: the gradients of all seeds in one call."""

    def __init__(self, problem: Problem, starts: Tensor, entry: Entry) -> None:
        super().__init__(problem, starts)
        self._layout = Layout.of(problem, starts.device)
        self._clip = entry.clip
        self._at = starts  # (S, d) where the gradients are taken
        self._memory = Parts()

    def _losses_and_grads(
        self, batches: Sequence[Batches]
    ) -> tuple[Tensor, Tensor]:
        """The losses (S,) and the gradients (S, d), which may be changed in place."""
        n = len(self.starts)
        oracle = Oracle(self.problem, batches[0], eager=True, memory=self._memory)
        if n == 1:
            loss, grad = oracle.loss_and_grad(self._at[0])
            losses = loss[None]
            grads = grad[None]
        else:
            oracle.calls.add("grad", self.problem.share(batches[0][0]))
            (batch,), (dim,) = stack(batches)
            both = torch.func.vmap(
                torch.func.grad_and_value(self.problem.loss), in_dims=(0, dim)
            )
            grads, losses = both(self._at, batch)
        self.count(oracle.calls)
        return losses, clipped(grads, self._clip)


class Separate(GivenGradients):
    """An optimizer a seed."""

    def __init__(
        self, problem: Problem, starts: Tensor, entry: Entry, seeds: Sequence[int]
    ) -> None:
        super().__init__(problem, starts, entry)
        self._seeds = seeds
        self._n_steps = 0
        names = self._layout.names
        with lent_generators(starts.device):
            self._methods = []
            for seed, start in zip(seeds, starts, strict=True):
                reseed(seed, 0, starts.device)
                parts = self._layout.apart(start)
                self._methods.append(
                    Method(entry, dict(zip(names, parts, strict=True)))
                )

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """The gradients of all, then each one's own step; one that is parked has none."""
        losses, grads = self._losses_and_grads(batches)
        self._n_steps += 1
        broken = np.zeros_like(self.parked)
        of_each = list(
            zip(*(part.unbind() for part in self._layout.apart(grads)), strict=True)
        )
        with lent_generators(self.starts.device):
            for i, method in enumerate(self._methods):
                if not self.parked[i]:
                    reseed(self._seeds[i], self._n_steps, self.starts.device)
                    method.give(of_each[i])
                    try:
                        method.step()
                        method.go_on(losses[i])
                    except LinAlgError:
                        # a routine that gives up makes the point NaN
                        broken[i] = True
        self.park(broken)
        self._at = self._gathered([method.points() for method in self._methods])
        elsewhere = self._methods[0].reports_elsewhere
        self.loss_before = None if elsewhere else losses
        self.theta = self._at
        if elsewhere:
            self.theta = self._gathered(
                [method.result() for method in self._methods]
            )
        if broken.any():
            lost = torch.as_tensor(broken, device=self.starts.device)[:, None]
            self.theta = torch.where(lost, torch.nan, self.theta)

    def memory(self) -> dict[str, Any] | None:
        """Points, the state of each optimizer, and counts: what it draws follows from the step."""
        methods = [method.memory() for method in self._methods]
        if None in methods:
            return None
        memory = {"methods": methods, "n_steps": self._n_steps}
        return {**memory, "theta": self.theta, **self.counts()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from there."""
        self._n_steps = memory["n_steps"]
        for method, each in zip(self._methods, memory["methods"], strict=True):
            method.recall(each)
        self.theta = memory["theta"].to(self.theta)
        self._at = self._gathered([method.points() for method in self._methods])
        self.recount(memory)

    def _gathered(self, tensors: Sequence[Sequence[Tensor]]) -> Tensor:
        """Points (S, d) made of the tensors of each method."""
        return self._layout.joined(
            [torch.stack(each) for each in zip(*tensors, strict=True)], 1
        )


class Stacked(GivenGradients):
    """One optimizer for all seeds, whose updates take each number by itself."""

    def __init__(self, problem: Problem, starts: Tensor, entry: Entry) -> None:
        super().__init__(problem, starts, entry)
        parts = self._layout.apart(starts)
        self._method = Method(
            entry, dict(zip(self._layout.names, parts, strict=True)), n_lead=1
        )
        self._held: Tensor | None = None  # (S, 1) the parked ones

    def step(self, batches: Sequence[Batches], noise: Tensor | None) -> None:
        """The gradients of all, then the one step; one that is parked stays at its start."""
        self.loss_before, grads = self._losses_and_grads(batches)
        if self._held is not None:
            grads = torch.where(self._held, 0.0, grads)
        self._method.give(self._layout.apart(grads))
        self._method.step()
        self._method.go_on(self.loss_before)
        theta = self._layout.joined(self._method.points(), 1)
        held = self._held
        if held is None:
            self.theta = theta
        else:
            self.theta = torch.where(held, self.starts, theta)
        self._at = self.theta

    def memory(self) -> dict[str, Any] | None:
        """Points, the state of the optimizer, and counts."""
        method = self._method.memory()
        if method is None:
            return None
        return {"method": method, "theta": self.theta, **self.counts()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from there."""
        self._method.recall(memory["method"])
        self.theta = memory["theta"].to(self.theta)
        self._at = self.theta
        self.recount(memory)

    def park(self, which: np.ndarray) -> None:
        """Hold some trajectories, a mask (S,), at their starting points from now on."""
        super().park(which)
        if self.parked.any():
            self._held = torch.as_tensor(self.parked, device=self.starts.device)[
                :, None
            ]
            self._at = torch.where(self._held, self.starts, self._at)


class Asking(Single):
    """An optimizer that asks for losses and gradients itself, or differentiates gradients again.

    Every evaluation is counted, and each pass back through a gradient as a Hessian-vector product.
    """

    spoiled = False  # of a trial: gradients that are no numbers lie there before each step

    def __init__(
        self,
        problem: Problem,
        starts: Tensor,
        entry: Entry,
        seeds: Sequence[int],
        need: Need,
    ) -> None:
        super().__init__(problem, starts)
        self._layout = Layout.of(problem, starts.device)
        self._entry = entry
        self._need = need
        self._seed = seeds[0]
        self._n_steps = 0
        parts = self._layout.apart(starts[0])
        with lent_generators(starts.device):
            reseed(self._seed, 0, starts.device)
            self._method = Method(
                entry, dict(zip(self._layout.names, parts, strict=True))
            )

    def advance(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """One step with the closure of this batch."""
        method = self._method
        losses = []

        def closure(backward: bool = True) -> Tensor:
            if backward:
                loss = self._take(oracle)
            else:
                loss = oracle.loss(self._here())
            losses.append(loss)
            return loss

        self._n_steps += 1
        method.forget()
        if self.spoiled:
            method.give(
                [
                    torch.full_like(leaf, torch.nan)
                    for leaf in method.leaves.values()
                ]
            )
        with lent_generators(theta.device):
            reseed(self._seed, self._n_steps, theta.device)
            if self._need.gradient:
                closure()
                if method.reports_elsewhere:
                    oracle.loss_here = None
                else:
                    oracle.loss_here = losses[0]
            method.step(closure if self._need.closure else None)
        method.go_on(losses[0])
        if self._need.graph:
            method.forget()
        return self._layout.joined(method.result())

    def memory(self) -> dict[str, Any] | None:
        """Points, the state of the optimizer, and counts: what it draws follows from the step."""
        method = self._method.memory()
        if method is None:
            return None
        memory = {"method": method, "n_steps": self._n_steps}
        return {**memory, "theta": self._theta, **self.counts()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from there."""
        self._method.recall(memory["method"])
        self._n_steps = memory["n_steps"]
        self._theta = memory["theta"].to(self._theta)
        self.theta = self._theta.unsqueeze(0)
        self.recount(memory)

    def _here(self) -> Tensor:
        return self._layout.joined(self._method.points())

    def _take(self, oracle: Oracle) -> Tensor:
        """The loss () where the tensors are, its gradient being given to them."""
        layout = self._layout
        clip = self._entry.clip
        if not self._need.graph:
            loss, grad = oracle.loss_and_grad(self._here())
            self._method.give(layout.apart(clipped(grad, clip)))
            return loss
        with torch.enable_grad():
            theta = layout.joined(list(self._method.leaves.values()))
            loss, grad = oracle.differentiable_grad(theta)
            # each gradient is a tensor of its own, no view
            grads = [part.clone() for part in layout.apart(grad)]
        if clip is not None:  # as torch's own functions do, behind autograd's back
            for part, short in zip(
                grads, layout.apart(clipped(grad.detach(), clip)), strict=True
            ):
                part.data.copy_(short)
        self._method.give(grads)
        return loss
