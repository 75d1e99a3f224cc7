"""A network as a problem: outputs and criterion apart."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from .problem import Problem


class Network(Problem):
    """A problem whose loss is the mean over examples of a criterion of a network's outputs.

        L(theta) = fit(outputs(theta)) + 1/2 weight_decay |theta|^2

    Gauss-Newton and Fisher matrices need the two apart. A minibatch is indices (size,) of examples,
    drawn uniformly and with replacement; None is all of them.
    """

    weight_decay: float = 0.0
    knows_outputs: ClassVar[bool] = True

    @property
    @abstractmethod
    def population(self) -> int:
        """Number of training examples."""

    @abstractmethod
    def outputs(self, theta: Tensor, batch: Any) -> Tensor:
        """The outputs (..., n) at theta (d,) for the n examples of a batch, examples last."""

    @abstractmethod
    def fit(self, z: Tensor, batch: Any) -> Tensor:
        """The criterion () of outputs z (..., n), its mean over the examples of the batch."""

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The mean loss () over the batch's examples, plus the weight decay's share."""
        fit = self.fit(self.outputs(theta, batch), batch)
        if not self.weight_decay:
            return fit
        return fit + self.weight_decay / 2 * (theta @ theta)

    def draw(self, rng: torch.Generator, size: int) -> Tensor:
        """Places (size,) of a minibatch among the examples."""
        return torch.randint(self.population, (size,), generator=rng)

    def share(self, batch: Tensor | None) -> float:
        """The batch's examples over all of them."""
        if batch is None:
            return 1.0
        return batch.shape[-1] / self.population

    def parts(self, batch: Tensor | None, n: int) -> list[tuple[float, Any]]:
        """Equal parts; the last one is shorter where the numbers do not divide."""
        if batch is None:
            places = torch.arange(self.population)
        else:
            places = batch
        return [(len(part) / len(places), part) for part in places.chunk(n)]
