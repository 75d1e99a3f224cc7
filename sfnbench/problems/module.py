"""A module of torch of one's own, named by the function that makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.fields import Count, NonNegative
from ..members.named import find_named, make_named
from ..members.registry import register
from ..modules.problem import ModuleProblem


@register("module")
@dataclass(frozen=True, kw_only=True)
class NamedModule(ModuleProblem):
    """Any module of torch with any data and criterion, each by its name in your own code.

        L(theta) = mean_b criterion(model(x_b; theta), y_b) + 1/2 weight_decay |theta|^2

    Fields: `model` the function or class that makes the module; `data` the function that returns a
    pair (inputs, targets), a Dataset or a DataLoader; `criterion` a class, or a function of outputs
    and targets, a mean or a sum over examples; all three ``package.module:name``. `checkpoint` the
    file of a state dict to start from, read with ``weights_only=True``; None: each seed starts from
    the module's own initialisation under it. `radius` the distance of each seed's start from the
    checkpoint. `escape_drop`, if positive: escaped once the loss is so far below the checkpoint's.
    `n_examples` how many of the first examples, None for all.

    The module is in eval mode; see `sfnbench.ModuleProblem`. By default it is a small network of
    tanh on the digits, to try.

    >>> NamedModule().dim
    610
    """

    model: str = "sfnbench.problems._own_module:build"
    data: str = "sfnbench.problems._own_module:load"
    criterion: str = "torch.nn.CrossEntropyLoss"
    checkpoint: str | None = None
    radius: NonNegative = 0.0
    escape_drop: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    n_examples: Count | None = None

    def make_model(self) -> nn.Module:
        """The module that `model` names, in its own initialisation."""
        found: nn.Module = make_named(self.model, "model")
        return found

    def make_criterion(self) -> Callable[[Tensor, Any], Tensor]:
        """The criterion that `criterion` names."""
        found: Callable[[Tensor, Any], Tensor] = find_named(
            self.criterion, "criterion"
        )
        return found

    def make_data(self) -> Any:
        """What the function that `data` names returns, or the data themselves."""
        return make_named(self.data, "data")

    @property
    def missing_data(self) -> str:
        """That the checkpoint is not there."""
        if self.checkpoint is None or Path(self.checkpoint).is_file():
            return ""
        return f"{self.checkpoint}: no such file"
