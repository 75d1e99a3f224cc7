"""The deep linear autoencoder: every critical point is known."""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.constant import constant
from ..core.fields import Count, Index, Positive
from ..core.problem import CriticalPoint, Problem
from ..members.registry import register
from ._starts import on_sphere


@register("linear_autoencoder")
@dataclass(frozen=True, kw_only=True)
class LinearAutoencoder(Problem):
    """A linear autoencoder with one hidden layer: saddles of every index, all known in closed form.

        L(A, B) = (1/k) E |B A x - x|^2 = (1/k) sum_j s_j |column j of (B A - I)|^2

    with x in R^k of covariance diag(s), A (p, k) the encoder and B (k, p) the decoder. It is the
    mean over the k components, as in Frye et al., not their sum: the loss at 0 is the mean of s.
    theta holds A, then B^T, both by rows.

    Its critical points are, up to (A, B) -> (G A, B G^-1), the projections onto at most p of the
    principal components: for such a subset S of m components, its unit vectors are the first m rows
    of A and of B^T, all else is zero, and

        L = (1/k) sum_{i not in S} s_i,    index = #{(i, j): i not in S, j in S, s_i > s_j} + (p - m)(k - m).

    Only S = the p largest is a minimum; all others are strict saddles, with further zero
    eigenvalues.

    Fields: `n_inputs` k; `n_hidden` p; `variances` s, positive and different, None for 1, 2, ...,
    k; `saddle_at` the subset S at whose critical point a race starts, as places in `variances`
    counted from 0, () for the origin; `radius` the distance of the start from it; `escape_drop` the
    fall of the loss that counts as escaped, by default less than what exchanging one component for
    the next gains for k below 20.

    Cost of a loss: O(p k^2), whatever the number of examples. `critical_points` has sum_m C(k, m)
    members of 2 p k numbers: 42 as it stands, 2,517 for k = 16, p = 4. References: Baldi, Hornik
    1989, fact 4; Frye et al. 2021, "Critical point-finding methods reveal gradient-flat regions of
    deep network losses".

    >>> problem = LinearAutoencoder()
    >>> len(problem.critical_points), problem.saddle.loss, problem.saddle.index
    (42, 3.5, 18)
    """

    n_inputs: Count = 6
    n_hidden: Count = 3
    variances: tuple[Positive, ...] | None = None
    saddle_at: tuple[Index, ...] = ()
    radius: Positive = 1e-3
    escape_drop: Positive = 0.05

    def __post_init__(self) -> None:
        k, p, s = self.n_inputs, self.n_hidden, self.spectrum
        if len(s) != k or len(set(s)) != k or not all(0 < value < math.inf for value in s):
            raise ValueError(
                f"variances must be n_inputs = {k} different positive numbers, got {list(s)}"
            )
        inside = all(0 <= i < k for i in self.saddle_at)
        if not inside or len(set(self.saddle_at)) != len(self.saddle_at) or len(self.saddle_at) > p:
            raise ValueError(
                f"saddle_at must be at most n_hidden = {p} different places in 0..{k - 1}, got {list(self.saddle_at)}"
            )

    @property
    def spectrum(self) -> tuple[float, ...]:
        """The variances s."""
        return (
            tuple(float(i) for i in range(1, self.n_inputs + 1))
            if self.variances is None
            else self.variances
        )

    @property
    def dim(self) -> int:
        """2 p k."""
        return 2 * self.n_hidden * self.n_inputs

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One point of every class, from the origin to the projections onto p components."""
        most = min(self.n_hidden, self.n_inputs)
        subsets = (itertools.combinations(range(self.n_inputs), m) for m in range(most + 1))
        return tuple(
            self.critical_point(subset) for subset in itertools.chain.from_iterable(subsets)
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The critical point of `saddle_at`, unless it is the minimum."""
        point = self.critical_point(self.saddle_at)
        return point if point.index else None

    @property
    def lowest(self) -> float:
        """The loss of the projection onto the largest components."""
        order = sorted(range(self.n_inputs), key=lambda i: -self.spectrum[i])
        return self.critical_point(order[: self.n_hidden]).loss

    def critical_point(self, subset: Iterable[int]) -> CriticalPoint:
        """The projection onto these components, given as places in `variances`."""
        inside = tuple(subset)
        k, p, s, m = self.n_inputs, self.n_hidden, self.spectrum, len(inside)
        outside = [i for i in range(k) if i not in inside]
        A = torch.zeros(p, k, dtype=torch.float64)
        A[range(m), inside] = 1.0
        better = sum(s[i] > s[j] for i in outside for j in inside)
        loss = math.fsum(s[i] for i in outside) / k
        return CriticalPoint(torch.cat([A, A]).ravel(), loss, better + (p - m) * (k - m))

    def invariants(self, theta: Tensor) -> Tensor:
        """The diagonal (k,) of B A.

        At a critical point 1 for the components of its subset and 0 for the others.
        """
        A, Bt = theta.view(2, self.n_hidden, self.n_inputs).unbind()
        return (A * Bt).sum(0)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the critical point of `saddle_at`, in a uniform direction."""
        return self.critical_point(self.saddle_at).point + on_sphere(self.dim, self.radius, rng)

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The encoder A (p, k) and the decoder B (k, p)."""
        A, Bt = theta.view(2, self.n_hidden, self.n_inputs).unbind()
        return {"encoder.weight": A, "decoder.weight": Bt.mT}

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The mean squared error () of the reconstruction."""
        A, Bt = theta.view(2, self.n_hidden, self.n_inputs).unbind()
        identity: Tensor
        weights: Tensor
        identity, weights = self.targets(theta)
        residual = Bt.mT @ A - identity
        return (residual.square() @ weights).sum()

    @constant
    def targets(self) -> tuple[Tensor, Tensor]:
        """The identity (k, k) and the weights s / k (k,) of the columns."""
        s = torch.tensor(self.spectrum, dtype=torch.float64)
        return torch.eye(self.n_inputs, dtype=torch.float64), s / self.n_inputs
