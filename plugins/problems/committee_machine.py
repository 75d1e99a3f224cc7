"""A soft committee machine that learns from a teacher: the plateau before its units specialise."""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import Count, CriticalPoint, Positive, Problem, constant, register


@register("committee_machine")
@dataclass(frozen=True, kw_only=True)
class CommitteeMachine(Problem):
    """Student and teacher with K hidden units each, over all normal inputs: an exact loss.

        f(J) = 1/2 E (sum_i g(J_i . x) - sum_n g(B_n . x))^2,  g(u) = erf(u / sqrt 2), x ~ N(0, I_N)
             = 1/pi [sum_ik a(J_i, J_k) + sum_nm a(B_n, B_m) - 2 sum_in a(J_i, B_n)]
        a(u, v) = asin(u . v / sqrt((1 + u . u) (1 + v . v)))

    The teacher's weights B_n are the first K unit vectors; theta is J (K, N) by rows. All units
    alike, J_i = sum_n B_n / sqrt(K (2K - 1)), is a saddle:

        f = K/pi (pi/6 - K asin(1 / 2K)),    index (K - 1)^2,    (K - 1) (N - K + 1) zero modes

    with all negative eigenvalues equal, -.0657504 for K = 2. Minima, f = 0, are the permutations of
    the teacher. A gradient flow stays at the saddle's loss for about ln(1/radius) / |lambda_min|.
    Rotations of the inputs that the teacher does not look at leave the loss as it is, and do not
    move these points.

    Fields: `n_hidden` K; `n_inputs` N, at least K; `start_at` the saddle, or `zero`; `radius` the
    standard deviation of the start's weights round zero, or its distance from the saddle, in a
    uniform direction. Half of the saddle's loss counts as escaped.

    Cost of a loss: O(K^2 N). Source: Saad, Solla 1995, "On-line learning in soft committee
    machines" (Phys. Rev. E 52); the index is derived here, and tested.

    >>> saddle = CommitteeMachine().saddle
    >>> round(saddle.loss, 8), saddle.index, saddle.n_zero
    (0.01161084, 1, 4)
    """

    n_hidden: Annotated[int, Ge(2)] = 2
    n_inputs: Count = 5
    start_at: Literal["saddle", "zero"] = "saddle"
    radius: Positive = 1e-3

    def __post_init__(self) -> None:
        if self.n_inputs < self.n_hidden:
            raise ValueError(
                f"n_inputs must be at least n_hidden = {self.n_hidden}, got {self.n_inputs}"
            )

    @property
    def dim(self) -> int:
        """K N."""
        return self.n_hidden * self.n_inputs

    @property
    def escape_drop(self) -> float:  # type: ignore[override]  # it depends on the fields
        """Half of the saddle's loss."""
        return self.saddle.loss / 2

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The saddle of units alike, and the teacher itself."""
        K, N = self.n_hidden, self.n_inputs
        alike = self.teacher(torch.zeros(1, dtype=torch.float64)).sum(0).repeat(K)
        loss = K / math.pi * (math.pi / 6 - K * math.asin(1 / (2 * K)))
        scale = 1 / math.sqrt(K * (2 * K - 1))
        n_zero = (K - 1) * (N - K + 1)
        saddle = CriticalPoint(scale * alike, loss, (K - 1) ** 2, n_zero)
        teacher = torch.eye(K, N, dtype=torch.float64).ravel()
        return saddle, CriticalPoint(teacher, 0.0, 0, n_zero=0)

    @functools.cached_property
    def saddle(self) -> CriticalPoint:
        """All units alike."""
        return self.critical_points[0]

    @property
    def lowest(self) -> float:
        """Zero."""
        return 0.0

    def zero_modes(self, theta: Tensor) -> Tensor | None:
        """Rotations of the N - K inputs that the teacher does not look at (n, K N).

        Each turns two of them. Rotations of inputs beyond the first K of these move K vectors no
        further than the others do together.
        """
        K, N = self.n_hidden, self.n_inputs
        J = self.tensors(theta)["J"]
        modes = []
        for a, b in itertools.combinations(range(K, N), 2):
            if a < 2 * K:
                mode = torch.zeros_like(J)
                mode[:, a] = J[:, b]
                mode[:, b] = -J[:, a]
                modes.append(mode.ravel())
        return torch.stack(modes) if modes else None

    def start(self, rng: torch.Generator) -> Tensor:
        """Near the saddle, or small weights."""
        z = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        if self.start_at == "zero":
            return self.radius * z
        return self.saddle.point + self.radius * z / z.norm()

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The student's weights J (K, N)."""
        return {"J": theta.view(self.n_hidden, self.n_inputs)}

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        J, B = theta.view(self.n_hidden, self.n_inputs), self.teacher(theta)
        student, teacher, both = _overlap(J, J), _overlap(B, B), _overlap(J, B)
        return (student + teacher - 2 * both) / math.pi

    @constant
    def teacher(self) -> Tensor:
        """B (K, N)."""
        return torch.eye(self.n_hidden, self.n_inputs, dtype=torch.float64)


def _overlap(U: Tensor, V: Tensor) -> Tensor:
    """The sum () of a(u, v) over the rows of both."""
    sizes = torch.outer(1 + U.square().sum(1), 1 + V.square().sum(1))
    return torch.asin(U @ V.mT / sizes.sqrt()).sum()
