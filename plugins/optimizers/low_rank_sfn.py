"""Low-rank saddle-free Newton: the largest eigenvalues by a random sketch, damping for the rest."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sfnbench import Count, Optimizer, Oracle, Positive, State, register


@register("low_rank_sfn")
@dataclass(frozen=True, kw_only=True)
class LowRankSaddleFreeNewton(Optimizer):
    """Saddle-free Newton on the eigenvectors of the largest |eigenvalues|, gradient descent beside.

        Q = orth(H Omega),    Q^T H Q = sum_i l_i u_i u_i^T,    U = Q u
        theta <- theta - lr/damping (g - U diag(|l_i| / (|l_i| + damping)) U^T g)

    Omega (d, rank) is random in every step. At full rank it is saddle-free Newton with that
    damping. Outside of the subspace it is gradient descent at the rate lr / damping, which has to
    be below 2 / |l| for all l left out; a negative eigenvalue below the others in size is left to
    it.

    Fields: `lr`; `damping`; `rank`, or d where there are fewer parameters. The authors' code has
    lr 1e-3 and damping 1e-3: then
    a negative direction of the subspace takes 694 steps to double.

    Cost of a step: a gradient and 2 rank products. Reference: O'Leary-Roseberry, Alger, Ghattas
    2020, "Low rank saddle free Newton" (arXiv 2002.02881).
    """

    tuning_ranges = {"damping": {"loguniform": [1e-2, 10.0]}}

    lr: Positive = 1.0
    damping: Positive = 1e-1
    rank: Count = 20

    @property
    def n_noise(self) -> int:  # type: ignore[override]  # by this setting
        """A normal vector for each column of Omega."""
        return self.rank

    def step(
        self, oracle: Oracle, theta: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """One step."""
        assert oracle.noise is not None
        linear = oracle.curvature(theta)
        g = linear.grad
        Omega = oracle.noise[: len(theta)]
        sketch = torch.stack([linear.hvp(row) for row in Omega], dim=1)
        Q, _ = torch.linalg.qr(sketch)
        images = torch.stack([linear.hvp(column) for column in Q.mT], dim=1)
        T = Q.mT @ images
        L, u = torch.linalg.eigh((T + T.mT) / 2)
        share = L.abs() / (L.abs() + self.damping)
        U = Q @ u
        p = (g - U @ (share * (U.mT @ g))) / self.damping
        return theta - self.lr * p, state
