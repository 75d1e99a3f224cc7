"""Files to begin with: what ``sfnbench new`` writes. Each passes its checks as it is written."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import PluginError
from ..members import registry

KINDS = ("optimizer", "problem", "finder", "suite")
NAME = re.compile(r"[a-z][a-z0-9_]*")

OPTIMIZER = '''"""{title}."""

from dataclasses import dataclass

from torch import Tensor

from sfnbench import Optimizer, Oracle, Positive, State, register


@register("{name}")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class {cls}(Optimizer):
    """{title}: say in a line what it is.

        theta <- theta - lr grad f(theta)

    Then its cost, how it fails, and the paper it is from.
    """

    lr: Positive = 0.01  # fields are the YAML keys: `- {{use: {name}, lr: 0.1}}`

    def step(self, oracle: Oracle, theta: Tensor, state: State) -> tuple[Tensor, State]:
        """The next point (d,), from what the oracle answers: loss, grad, loss_and_grad, hessian, curvature(theta).hvp."""
        return theta - self.lr * oracle.grad(theta), state
'''

PROBLEM = '''"""{title}."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, register


@register("{name}")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class {cls}(Problem):
    """{title}: say in a line what it is.

        f(x, y) = x^2 / 2 + y^4 / 4 - y^2 / 2

    A saddle at 0 between minima at (0, 1) and (0, -1), where f = -1/4. Then the paper it is from.
    """

    dim = 2

    radius: Positive = 1e-3  # fields are the YAML keys: `- {{use: {name}, radius: 1e-6}}`
    escape_drop: Positive = 0.1  # escaped once the loss is below the saddle's by more than this

    @property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """What is known in closed form; `sfnbench check` tests it."""
        at = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
        return CriticalPoint(at[0], 0.0, 1), CriticalPoint(at[1], -0.25, 0), CriticalPoint(at[2], -0.25, 0)

    @property
    def saddle(self) -> CriticalPoint:
        """The saddle that races start at."""
        return self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle; all randomness comes from rng."""
        direction = torch.randn(2, generator=rng, dtype=torch.float64)
        return self.radius * direction / direction.norm()

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The loss ()."""
        x, y = theta
        return x**2 / 2 + y**4 / 4 - y**2 / 2
'''

FINDER = '''"""{title}."""

from dataclasses import dataclass

import torch

from sfnbench import Count, Equations, Finder, Iterate, register


@register("{name}")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class {cls}(Finder):
    """{title}: say in a line what it is.

        theta <- theta - H^-1 grad f(theta)

    Then its cost, how it fails, and the paper it is from.
    """

    steps: Count = 100  # fields are the YAML keys: `finders: [{{use: {name}, steps: 50}}]`

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step of all lanes, theta (S, d); what the equations answer: grad, hessian, eigh, products."""
        eigenvalues, Q = equations.eigh(at.theta)
        in_basis = (Q.mT @ at.grad[..., None])[..., 0]
        seen = eigenvalues.abs() > 1e-10 * eigenvalues.abs().amax(1, keepdim=True)
        newton = torch.where(seen, -in_basis / torch.where(seen, eigenvalues, 1.0), 0.0)
        theta = at.theta + (Q @ newton[..., None])[..., 0]
        return Iterate(theta, equations.grad(theta))
'''

SUITE = """# {title}: say what it shows.   sfnbench run {name}
title: {title}
seeds: 8
budget: {{steps: 200}}
metrics: [loss, gradient_norm]
problems:
  - {{use: quadratic_saddle, eigenvalues: [10, -2], radius: 1e-3}}
  - monkey_saddle
optimizers:
  - {{use: gradient_descent, lr: {{grid: [0.01, 0.05]}}}}
  - sfn
profiles:
  quick: {{seeds: 2, budget: {{steps: 20}}}}
"""


def write(kind: str, name: str) -> Path:
    """A new file for a member or suite of that name, below the current folder.

    Never over one that is there.
    """
    if not NAME.fullmatch(name):
        raise PluginError(
            f"{name!r} is no name for a {kind}: small letters, digits and _, a letter first"
        )
    title = name.replace("_", " ").capitalize()
    cls = "".join(part.capitalize() for part in name.split("_"))
    path = (
        Path("suites") / f"{name}.yaml"
        if kind == "suite"
        else Path("plugins") / f"{kind}s" / f"{name}.py"
    )
    template = {"optimizer": OPTIMIZER, "problem": PROBLEM, "finder": FINDER, "suite": SUITE}[kind]
    for member_kind in registry.KINDS:
        if kind == member_kind and (known := registry.members(member_kind).get(name)):
            raise PluginError(f"there is a {kind} called {name!r} already: {known.path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template.format(name=name, title=title, cls=cls))
    except FileExistsError as error:
        raise PluginError(f"{path}: there is such a file already") from error
    except OSError as error:
        raise PluginError(f"{path}: cannot be written: {error.strerror}") from error
    return path
