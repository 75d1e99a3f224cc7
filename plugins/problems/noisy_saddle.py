"""A quadratic saddle whose minibatches disagree about the gradient."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfnbench import (
    CriticalPoint,
    NonNegative,
    Positive,
    Problem,
    constant,
    register,
)


@register("noisy_saddle")
@dataclass(frozen=True, kw_only=True)
class NoisySaddle(Problem):
    """A mean over 1,024 examples, each a quadratic saddle with a slope of its own.

        f(x) = mean_i [ 1/2 sum_j eigenvalues_j x_j^2 + noise z_i . x ]

    The z_i are normal and sum to zero: on all examples f is the quadratic alone, on a minibatch of
    b the gradient has noise of standard deviation noise / sqrt(b) in each direction, the Hessian
    none.

    Fields: `eigenvalues`, each finite, one of them negative; `noise` the standard deviation of one
    example's slope; `radius` the distance of the start from the saddle at 0, in a uniform
    direction; `escape_drop` the fall of the loss that counts as escaped.

    Exact law, where the noise outweighs the radius: gradient descent with a batch of one is linear,
    so halving the noise delays its escape by ln 2 / ln(1 + lr |lowest eigenvalue|) steps, as
    halving the distance does without noise. Cost of a loss: O(d). Source: derived here, and tested.

    >>> NoisySaddle().saddle.index
    1
    """

    eigenvalues: tuple[float, ...] = (1.0, -0.1)
    noise: NonNegative = 1e-2
    radius: Positive = 1e-6
    escape_drop: Positive = 1.0

    def __post_init__(self) -> None:
        if not self.eigenvalues or not all(map(math.isfinite, self.eigenvalues)):
            raise ValueError(
                f"eigenvalues must be finite, got {list(self.eigenvalues)}"
            )
        if min(self.eigenvalues) >= 0:
            raise ValueError("one of the eigenvalues must be negative")

    bounded_below = False

    @property
    def dim(self) -> int:
        """One parameter an eigenvalue."""
        return len(self.eigenvalues)

    @property
    def population(self) -> int:
        """Number of examples."""
        return 1024

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The origin, of all examples together."""
        index = sum(value < 0 for value in self.eigenvalues)
        origin = torch.zeros(self.dim, dtype=torch.float64)
        return (CriticalPoint(origin, loss=0.0, index=index),)

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The origin."""
        return self.critical_points[0]

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the origin."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        return direction / direction.norm() * self.radius

    def draw(self, rng: torch.Generator, size: int) -> Tensor:
        """Places (size,) of a minibatch among the examples."""
        return torch.randint(self.population, (size,), generator=rng)

    def share(self, batch: Tensor | None) -> float:
        """The batch's examples over all of them."""
        return 1.0 if batch is None else batch.shape[-1] / self.population

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The mean () over the batch, or over all examples."""
        spectrum: Tensor = self.spectrum(theta)
        curved = spectrum @ theta.square() / 2
        if batch is None:
            return curved
        slopes: Tensor = self.slopes(theta)
        return curved + self.noise * slopes[batch].mean(0) @ theta

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """diag(eigenvalues), the same at every theta and on every batch."""
        spectrum: Tensor = self.spectrum(theta)
        return torch.diag(spectrum)

    @constant
    def spectrum(self) -> Tensor:
        """The eigenvalues (d,)."""
        return torch.tensor(self.eigenvalues, dtype=torch.float64)

    @constant
    def slopes(self) -> Tensor:
        """The z (1024, d), which sum to zero."""
        rng = np.random.default_rng(0)  # torch's refuses within vmap
        z = rng.standard_normal((self.population, self.dim))
        return torch.from_numpy(z - z.mean(0))
