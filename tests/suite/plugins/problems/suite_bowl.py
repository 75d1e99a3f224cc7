from dataclasses import dataclass

import torch

from sfnbench import Count, Problem, register


@register("suite_bowl")
@dataclass(frozen=True, kw_only=True)
class SuiteBowl(Problem):
    """For tests."""

    measures = ("depth",)
    dim: Count = 2

    def start(self, rng):
        return torch.ones(self.dim, dtype=torch.float64)

    def loss(self, theta, batch):
        return theta @ theta

    def depth(self, theta):
        return theta.sum()
