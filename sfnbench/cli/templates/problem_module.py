"""My problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sfnbench import Count, ModuleProblem, NonNegative, datasets, register


@register("my_problem")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class MyProblem(ModuleProblem):
    """My problem: say in a line what it learns."""

    width: Count = 8  # fields are the YAML keys: `- {use: my_problem, width: 16}`
    checkpoint: str | None = None  # a state dict to start from; None: fresh weights
    radius: NonNegative = 0.0  # of each seed's start from there
    escape_drop: NonNegative = 0.0  # escaped once the loss is so far below its own

    def make_model(self) -> nn.Module:
        """The module, in its own initialisation."""
        return nn.Sequential(
            nn.Linear(64, self.width), nn.Tanh(), nn.Linear(self.width, 10)
        )

    def make_data(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets; a Dataset or a DataLoader will do as well."""
        digits = datasets.load("digits", n_examples=200)
        return torch.from_numpy(digits.x).flatten(1), torch.from_numpy(
            digits.y
        ).long()

    def make_criterion(self) -> Callable[[Tensor, Any], Tensor]:
        """The mean over examples, of outputs and targets."""
        return nn.CrossEntropyLoss()
