"""Associative recall by one softmax head: a strict saddle inside an attention layer."""

import functools
import itertools
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import Count, CriticalPoint, Positive, Problem, constant, register


@register("attention_recall")
@dataclass(frozen=True, kw_only=True)
class AttentionRecall(Problem):
    """One softmax head that learns to look a key's label up, over all contexts there are.

    A context gives each of K keys one of C labels; the query is one of the keys, q:

        o = sum_t softmax_t((W_Q)_q . (W_K)_t) onehot(label_t),    f = mean cross-entropy of W o

    over all C^K labelings and all queries. With W_Q = W_K = 0 the head sees how often each label
    occurs, no more. W = w I with the best w is critical then: a strict saddle of index d (K - 1)
    for a head of width d, negative eigenvalues all equal, -.0915725 by default. Such a saddle is
    in every softmax attention: where W_Q = W_K = 0 and all other weights are best, the Hessian has
    the eigenvalues +-sigma_i, d of each, sigma_i being the singular values of df / d(W_Q^T W_K).

    From small weights the loss falls from ln C to the plateau, then to 0: with C = 3 and K = 5 from
    1.098612 to .889377. A gradient flow leaves the saddle in ln(1/radius) / |lambda_min|.

    Fields: `n_keys` K; `n_classes` C; `width` d of the head; `radius`, the start's distance from
    the saddle, in a uniform direction; `escape_drop` the fall of the loss that counts as escaped.

    theta holds W_Q (d, K), W_K (d, K) and W (C, C) by rows. Cost of a loss: O(C^K K^2 + d K^2),
    1 ms by default. The problem and its facts are derived here, and tested.

    >>> saddle = AttentionRecall().saddle
    >>> round(saddle.loss, 6), saddle.index
    (0.889377, 20)
    """

    n_keys: Annotated[int, Ge(2)] = 5
    n_classes: Annotated[int, Ge(2)] = 3
    width: Count = 5
    radius: Positive = 1e-3
    escape_drop: Positive = 0.1

    def __post_init__(self) -> None:
        # the power itself may have millions of digits
        if self.n_keys > 17 or self.n_classes**self.n_keys > 100_000:
            raise ValueError(
                "n_classes^n_keys must be at most 100000, "
                f"got {self.n_classes}^{self.n_keys}"
            )

    @property
    def dim(self) -> int:
        """2 d K + C^2."""
        return 2 * self.width * self.n_keys + self.n_classes**2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The saddle of a head that does not look."""
        from scipy.optimize import brentq

        point = torch.zeros(self.dim, dtype=torch.float64)

        def at(w: float) -> Tensor:
            last = torch.eye(self.n_classes, dtype=torch.float64) * w
            return torch.cat([point[: -last.numel()], last.ravel()])

        def slope(w: float) -> float:
            g = torch.func.grad(lambda t: self.loss(t, None))(at(w))
            return float(self.tensors(g)["W"].diagonal().sum())

        saddle = at(brentq(slope, 0.1, 100, xtol=1e-15, rtol=1e-15))
        index, n_zero = (
            self.width * (self.n_keys - 1),
            2 * self.width + self.n_classes,
        )
        return (
            CriticalPoint(saddle, float(self.loss(saddle, None)), index, n_zero),
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """The only one that is stated."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero, which is not attained."""
        return 0.0

    def zero_modes(self, theta: Tensor) -> Tensor:
        """The same vector added to all keys or to all rows of W, and bases of the head (n, dim).

        A change of basis, W_Q -> G W_Q and W_K -> G^-T W_K, moves entry (i, j) of G in turn. In a
        head wider than the keys, some entries move a point no further than others do together.
        """
        keys = torch.eye(self.width).repeat_interleave(self.n_keys, dim=1)
        rows = torch.eye(self.n_classes).repeat(1, self.n_classes)
        before = torch.zeros(self.width, self.width * self.n_keys)
        shifts = torch.block_diag(torch.cat([before, keys], dim=1), rows).to(theta)
        W_Q, W_K, _ = self.tensors(theta).values()
        bases = []
        for i, j in itertools.product(range(self.width), repeat=2):
            if i < self.n_keys - 1 or j < self.n_keys:
                mode = torch.zeros_like(theta)
                parts = self.tensors(mode)
                parts["W_Q"][i] = W_Q[j]
                parts["W_K"][j] = -W_K[i]
                bases.append(mode)
        return torch.cat([shifts, torch.stack(bases)])

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle in a uniform direction."""
        direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        return self.saddle.point + self.radius * direction / direction.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """W_Q (d, K), W_K (d, K) and W (C, C)."""
        n = self.width * self.n_keys
        queries, keys, last = theta.split([n, n, self.n_classes**2])
        return {
            "W_Q": queries.view(self.width, self.n_keys),
            "W_K": keys.view(self.width, self.n_keys),
            "W": last.view(self.n_classes, self.n_classes),
        }

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        W_Q, W_K, W = self.tensors(theta).values()
        seen = torch.softmax(W_Q.mT @ W_K, dim=1) @ self.labels(theta)  # (n, K, C)
        logits = seen @ W.mT
        right = (logits * self.labels(theta)).sum(-1)
        return (torch.logsumexp(logits, -1) - right).mean()

    @constant
    def labels(self) -> Tensor:
        """The labels of all contexts, one hot (C^K, K, C)."""
        contexts = itertools.product(range(self.n_classes), repeat=self.n_keys)
        places = torch.tensor(list(contexts))
        return torch.eye(self.n_classes, dtype=torch.float64)[places]
