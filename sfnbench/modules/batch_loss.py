"""A module with a loss of its own: a function of the module and a batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..words import first_line
from . import trial
from .problem import ModuleProblem
from .weights import Weights, check_finite


def takes_model(loss_fn: Any) -> bool:
    """Whether a loss is one of module and batch: its first parameter is named `model`."""
    try:
        names = list(inspect.signature(loss_fn).parameters)
    except (TypeError, ValueError):
        return False
    return names[:1] == ["model"]


class BatchLossProblem(ModuleProblem):
    """A module whose loss () is ``criterion(model, (inputs, targets))``.

    For modules that return several things, and losses that read the weights or an inner layer. The
    loss is taken as it is, of all examples at once. Outputs and criterion are not known apart, so
    there is no Gauss-Newton matrix.

    >>> import torch
    >>> x, y = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
    >>> def loss(model, batch):
    ...     inputs, targets = batch
    ...     return (model(inputs)[:, 0] - targets).square().mean()
    >>> problem = BatchLossProblem(torch.nn.Linear(3, 1), loss, (x, y))
    >>> problem.loss(torch.zeros(4), None)  # (1 + 4 + 9) / 3
    tensor(4.6667)
    """

    @functools.cached_property
    def weights(self) -> Weights:
        """The module's weights; a call of them is one of the loss."""
        model = self._built(0)
        loss: Callable[..., Any] = self.make_criterion()
        return Weights(model, functools.partial(loss, model))

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """What was found by trying: sentences about eval mode and the data."""
        check_finite(self.weights.model)
        try:
            theta = self.weights.theta().to(self._trial_dtype)
            trial.same_twice(lambda: trial.loss_of(self._answers(theta, None)))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"the loss of model and batch fails: {first_line(error)}"
            ) from error
        return (*trial.remarks(self.weights.model), *self.examples.notes)

    def loss(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The loss () of module and batch, plus the weight decay's share."""
        found: Tensor = self._answers(theta, batch).reshape(())
        if not self.weight_decay:
            return found
        return found + self.weight_decay / 2 * (theta @ theta)

    def outputs(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """ModelError: outputs and criterion are not known apart."""
        raise ModelError(
            "a loss of model and batch has no outputs of its own: give a criterion of outputs "
            "and targets"
        )

    def _answers(self, theta: Tensor, batch: Tensor | None) -> Any:
        return self.weights.call(theta, self.chosen(theta, batch))
