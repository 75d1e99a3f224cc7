"""The deep linear autoencoder: every critical point is known."""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
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

        L = (1/k) sum_{i not in S} s_i,
        index = #{(i, j): i not in S, j in S, s_i > s_j} + (p - m)(k - m).

    Only S = the p largest is a minimum; all others are strict saddles. Its zero modes are those of
    GL(p), (A, B) -> (G A, B G^-1): at a critical point p^2 - (p - m)^2 of them are independent, and
    no other eigenvalue is zero.

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
        k, p, s = self.n_inputs, self.n_hidden, self.variances
        if s is not None and not (
            len(s) == len(set(s)) == k and all(map(_is_variance, s))
        ):
            expected = f"n_inputs = {k} different positive numbers"
            raise ValueError(f"variances must be {expected}, got {list(s)}")
        places = set(self.saddle_at)
        are_inside = all(0 <= i < k for i in places)
        if not are_inside or len(places) != len(self.saddle_at) or len(places) > p:
            expected = f"at most n_hidden = {p} different places in 0..{k - 1}"
            raise ValueError(
                f"saddle_at must be {expected}, got {list(self.saddle_at)}"
            )

    @property
    def spectrum(self) -> Sequence[float]:
        """The variances s."""
        return (
            range(1, self.n_inputs + 1)
            if self.variances is None
            else self.variances
        )

    @property
    def dim(self) -> int:
        """2 p k."""
        return 2 * self.n_hidden * self.n_inputs

    @property
    def n_zero_modes(self) -> int:
        """The number of generators of GL(p) that move a point of full rank.

        They are p^2 unless there are more hidden units than inputs.
        """
        return self._n_moving(min(self.n_hidden, self.n_inputs))

    def _n_moving(self, m: int) -> int:
        """How many directions GL(p) moves a critical point of m components in."""
        return self.n_hidden**2 - (self.n_hidden - m) ** 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """One point of every class, from the origin to the projections onto p components."""
        most = min(self.n_hidden, self.n_inputs)
        subsets = (
            itertools.combinations(range(self.n_inputs), m) for m in range(most + 1)
        )
        return tuple(
            self.critical_point(subset)
            for subset in itertools.chain.from_iterable(subsets)
        )

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The critical point of `saddle_at`, unless it is the minimum."""
        point = self.critical_point(self.saddle_at)
        return point if point.index else None

    @property
    def lowest(self) -> float:
        """The loss of the projection onto the largest components."""
        places: Sequence[int] = range(self.n_inputs)
        if self.variances is not None:
            places = sorted(places, key=self.variances.__getitem__)
        return self._loss_at(places[-self.n_hidden :])

    def critical_point(self, subset: Iterable[int]) -> CriticalPoint:
        """The projection onto these components, given as places in `variances`."""
        inside = tuple(subset)
        k, p, s, m = self.n_inputs, self.n_hidden, self.spectrum, len(inside)
        # both: A and B^T; numpy's zeros take no memory until they are read
        both = np.zeros((2, p, k))
        both[:, range(m), inside] = 1.0
        better = sum(self._n_larger(j) for j in inside)
        better -= sum(s[i] > s[j] for i in inside for j in inside)
        index = better + (p - m) * (k - m)
        point, loss = torch.from_numpy(both).ravel(), self._loss_at(inside)
        return CriticalPoint(point, loss, index, self._n_moving(m))

    def _n_larger(self, j: int) -> int:
        """How many variances are larger than that of component j."""
        if self.variances is None:
            return self.n_inputs - 1 - j
        return sum(value > self.variances[j] for value in self.variances)

    def _loss_at(self, subset: Iterable[int]) -> float:
        """The loss of the projection onto these components: the mean of the other variances."""
        k, inside = self.n_inputs, set(subset)
        if self.variances is None:
            return float(k * (k + 1) // 2 - sum(i + 1 for i in inside)) / k
        return (
            math.fsum(s for i, s in enumerate(self.variances) if i not in inside)
            / k
        )

    def invariants(self, theta: Tensor) -> Tensor:
        """The diagonal (k,) of B A: at a critical point 1 for its components, 0 for the others."""
        A, Bt = theta.view(2, self.n_hidden, self.n_inputs).unbind()
        return (A * Bt).sum(0)

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the critical point of `saddle_at`, in a uniform direction."""
        return self.critical_point(self.saddle_at).point + on_sphere(
            self.dim, self.radius, rng
        )

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


def _is_variance(value: float) -> bool:
    return 0 < value < math.inf
