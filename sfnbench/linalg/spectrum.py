"""The spectral density of a large symmetric matrix, by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .lanczos import Product, lanczos


class Quadrature(NamedTuple):
    """Nodes and weights, one rule a probe.

    (1/d) tr f(H) is about the mean over probes of sum_i weights_i f(nodes_i).
    """

    nodes: Tensor  # (n_probes, k), ascending: Ritz values
    weights: Tensor  # (n_probes, k), each row sums to 1

    def density(self, grid: Tensor, width: float) -> Tensor:
        """The density (n,) on a grid (n,), each node a Gaussian of standard deviation `width`."""
        apart = (grid[:, None, None] - self.nodes) / width
        bumps = torch.exp(-(apart**2) / 2) / (width * math.sqrt(2 * math.pi))
        return (bumps * self.weights).sum(-1).mean(-1)

    def mean(self, f_of_nodes: Tensor) -> Tensor:
        """(1/d) tr f(H) () from the values of f at the nodes (n_probes, k)."""
        return (f_of_nodes * self.weights).sum(-1).mean()


def lanczos_quadrature(
    product: Product, like: Tensor, k: int, n_probes: int, rng: torch.Generator
) -> Quadrature:
    """The spectral measure of H (d, d), by k products for each of `n_probes` random vectors.

    A rule of k nodes integrates polynomials of degree 2 k - 1 exactly against its own probe's
    measure; the error is the probes' spread, which falls as 1 / sqrt(n_probes d). Cost: n_probes
    k products, memory k d. It draws, so it does not run under `torch.func.vmap`. References: Golub,
    Meurant 2010, chapter 7; Lin, Saad, Yang 2016, "Approximating spectral densities of large
    matrices"; Ghorbani, Krishnan, Xiao 2019, "An investigation into neural net optimization via
    Hessian eigenvalue density".
    """
    nodes, weights = [], []
    for _ in range(n_probes):
        probe = torch.randn(like.shape, generator=rng, dtype=torch.float64).to(like)
        space = lanczos(product, probe, min(k, len(like)))
        values, Q = torch.linalg.eigh(space.matrix.double())
        nodes.append(values)
        weights.append(Q[0].square())  # the probe is the first basis vector
    return Quadrature(torch.stack(nodes), torch.stack(weights))
