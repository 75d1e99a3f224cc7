"""Lennard-Jones clusters: critical points of every index, up to motions of the whole cluster."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from sfnbench import CriticalPoint, Positive, Problem, constant, register

Places = list[tuple[float, float, float]]

# The lowest energy of 3, 4, ... 13 atoms, from the Cambridge Cluster Database.
LOWEST = (
    *(-3.0, -6.0, -9.103852, -12.712062, -16.505384, -19.821489, -24.113360),
    *(-28.422532, -32.765970, -37.967600, -44.326801),
)
# Energies of all known points by number of atoms and index; those of an index that is not here are
# not all known. Found by many searches: none has turned up another one.
ENERGIES: dict[int, dict[int, tuple[float, ...]]] = {
    3: {0: (-3.0,), 2: (-2.031124,)},
    4: {
        0: (-6.0,),
        1: (-5.073421,),
        2: (-4.480620, -4.076813),
        3: (-3.221918,),
        4: (-3.065136,),
    },
    5: {
        0: (-9.103852,),
        1: (-8.480620, -8.197888),
        2: (-7.853505, -7.530267, -7.178024, -7.125245, -6.211736),
    },
    6: {0: (-12.712062, -12.302928), 1: (-12.079031, -11.630307, -11.334033)},
    7: {
        0: (-16.505384, -15.935043, -15.593211, -15.533060),
        1: (
            *(
                -15.444734,
                -15.319864,
                -15.283421,
                -15.097846,
                -15.033384,
                -15.026438,
            ),
            *(
                -14.816400,
                -14.811130,
                -14.596946,
                -14.568061,
                -14.548573,
                -12.548938,
            ),
        ),
    },
}
BOND = 2 ** (1 / 6)
APART = 0.85  # the least distance of atoms in a random start
# Saddles of index 1 to five digits
OF_SIX: Places = [
    (-0.77044, 0.51389, 0),
    (0, 0.08567, -0.66946),
    (-0.56494, -0.59957, 0),
    (0.56494, -0.59957, 0),
    (0.77044, 0.51389, 0),
    (0, 0.08567, 0.66946),
]
OF_SEVEN: Places = [
    (0.30447, -0.73068, -0.19423),
    (-0.35714, 0, -0.69176),
    (0.30447, 0.73068, -0.19423),
    (1.09908, 0, 0.0719),
    (-0.73681, 0.5619, 0.19287),
    (-0.73681, -0.5619, 0.19287),
    (0.12273, 0, 0.62256),
]


@register("lennard_jones")
@dataclass(frozen=True, kw_only=True)
class LennardJones(Problem):
    """A cluster of N atoms that attract and repel each other in pairs.

        f(x) = 4 sum_{i<j} (r_ij^-12 - r_ij^-6),    x (N, 3) by rows

    Translations and rotations of the cluster are its six zero modes, five for atoms in a line.
    Stated critical points are the lowest minimum of 3 to 7 and of 13 atoms, the lowest saddle of
    index 1 (for 3 atoms of index 2), and the straight chain, of index 2 (N - 2). `energies` has
    all known ones. Atoms that fly apart have no gradient either, but are no critical point.

    Fields: `n_atoms` N; `start_at` the `saddle`, which is known for 3 to 7 atoms, or `random`:
    atoms uniform in a cube, none nearer to another than .85; `radius` the distance of the start
    from the saddle, in a uniform direction; `escape_drop` the fall of the loss that counts as
    escaped. Points are compared by their distances.

    Cost of a loss: O(N^2). Sources: the lowest energies from the Cambridge Cluster Database (Wales,
    Doye 1997); Doye, Wales 2002, "Saddle points and dynamics of Lennard-Jones clusters, solids,
    and supercooled liquids".

    >>> problem = LennardJones(n_atoms=4)
    >>> [(round(point.loss, 6), point.index) for point in problem.critical_points]
    [(-5.073421, 1), (-6.0, 0), (-3.065136, 4)]
    """

    n_atoms: Annotated[int, Ge(3)] = 7
    start_at: Literal["saddle", "random"] = "saddle"
    radius: Positive = 1e-3
    escape_drop: Positive = 1e-2

    def __post_init__(self) -> None:
        if self.start_at == "saddle" and self.n_atoms not in ENERGIES:
            raise ValueError(
                f"start_at: saddle needs 3 to 7 atoms, got {self.n_atoms}: give start_at: random"
            )

    @property
    def dim(self) -> int:
        """3 N."""
        return 3 * self.n_atoms

    @property
    def energies(self) -> dict[int, tuple[float, ...]]:
        """All known losses by index, to six digits."""
        return ENERGIES.get(self.n_atoms, {})

    @functools.cached_property
    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The lowest saddle, the lowest minimum, and the chain, as far as they are known."""
        N, known = self.n_atoms, []
        if N in SADDLES:
            known.append(self._polished(SADDLES[N], 1))
        if N in MINIMA:
            known.append(self._polished(MINIMA[N], 0))
        chain = [(1.12 * i, 0.0, 0.0) for i in range(N)]
        return *known, self._polished(chain, 2 * (N - 2), n_zero=5)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The lowest saddle, which for three atoms is the chain; None for random starts."""
        if self.start_at == "random":
            return None
        return self.critical_points[-1 if self.n_atoms == 3 else 0]

    @property
    def lowest(self) -> float | None:
        """The lowest known energy, a little rounded down."""
        known = self.n_atoms - 3 < len(LOWEST)
        return LOWEST[self.n_atoms - 3] - 1e-6 if known else None

    def _polished(
        self, places: Places, index: int, n_zero: int = 6
    ) -> CriticalPoint:
        """The critical point that Newton's method finds next to some places."""
        x = torch.tensor(places, dtype=torch.float64).ravel()
        for _ in range(12):
            g = torch.func.grad(lambda t: self.loss(t, None))(x)
            inverse = torch.linalg.pinv(
                self.hessian(x, None), hermitian=True, rtol=1e-6
            )
            x = x - inverse @ g
        return CriticalPoint(x, float(self.loss(x, None)), index, n_zero)

    def zero_modes(self, theta: Tensor) -> Tensor:
        """Three translations and three rotations round the centre (6, d)."""
        x = theta.view(self.n_atoms, 3)
        axes = torch.eye(3, dtype=theta.dtype, device=theta.device)
        shifts = axes[:, None].expand(3, self.n_atoms, 3)
        turns = torch.linalg.cross(axes[:, None], (x - x.mean(0))[None])
        return torch.cat([shifts, turns]).reshape(6, -1)

    def invariants(self, theta: Tensor) -> Tensor:
        """The distances of all pairs, sorted."""
        return self._squares(theta).sqrt().sort().values

    def start(self, rng: torch.Generator) -> Tensor:
        """A point at `radius` from the saddle, or atoms at random."""
        if self.saddle is not None:
            direction = torch.randn(self.dim, generator=rng, dtype=torch.float64)
            return self.saddle.point + self.radius * direction / direction.norm()
        side = 2.1 * (self.n_atoms / 7) ** (1 / 3)
        atoms: list[Tensor] = []
        n_tried = 0
        while len(atoms) < self.n_atoms:
            atom = side * torch.rand(3, generator=rng, dtype=torch.float64)
            if all((atom - other).norm() > APART for other in atoms):
                atoms.append(atom)
            n_tried += 1
            if n_tried % 1000 == 0:  # the first ones leave no room
                atoms = []
        return torch.cat(atoms)

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """f, ()."""
        attraction = self._squares(theta) ** -3
        return 4 * (attraction.square() - attraction).sum()

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """The Hessian (d, d), pair by pair."""
        D = self.pairs(theta)
        apart = D @ theta.view(self.n_atoms, 3)
        u = apart.square().sum(1)
        slope = 4 * (3 * u**-4 - 6 * u**-7)
        bend = 4 * (42 * u**-8 - 12 * u**-5)
        eye = torch.eye(3, dtype=theta.dtype, device=theta.device)
        blocks = 4 * bend[:, None, None] * apart[:, :, None] * apart[:, None]
        blocks = blocks + 2 * slope[:, None, None] * eye
        H = torch.einsum("pa,pb,pij->aibj", D, D, blocks)
        return H.reshape(self.dim, self.dim)

    def _squares(self, theta: Tensor) -> Tensor:
        """The squared distances of all pairs (n,)."""
        apart = self.pairs(theta) @ theta.view(self.n_atoms, 3)
        return apart.square().sum(1)

    @constant
    def pairs(self) -> Tensor:
        """The matrix (n, N) that takes places to differences of pairs."""
        first, second = torch.triu_indices(self.n_atoms, self.n_atoms, 1)
        eye = torch.eye(self.n_atoms, dtype=torch.float64)
        return eye[first] - eye[second]


def _ring(n: int, radius: float, height: float, turn: float = 0.0) -> Places:
    """Atoms on a circle, `turn` of the way to the next one."""
    angles = [2 * math.pi * (i + turn) / n for i in range(n)]
    return [(radius * math.cos(a), radius * math.sin(a), height) for a in angles]


def _poles(height: float) -> Places:
    return [(0.0, 0.0, height), (0.0, 0.0, -height)]


SADDLES = {
    4: [*_poles(0.96), (0.56, 0.0, 0.0), (-0.56, 0.0, 0.0)],  # a rhombus
    5: [*_ring(4, BOND / math.sqrt(2), 0.0), (0.0, 0.0, BOND / math.sqrt(2))],
    6: OF_SIX,
    7: OF_SEVEN,
}
MINIMA = {
    3: _ring(3, BOND / math.sqrt(3), 0.0),
    4: [*_ring(3, BOND / math.sqrt(3), 0.0), (0.0, 0.0, BOND * math.sqrt(2 / 3))],
    5: [*_ring(3, BOND / math.sqrt(3), 0.0), *_poles(BOND * math.sqrt(2 / 3))],
    6: [*_ring(4, BOND / math.sqrt(2), 0.0), *_poles(BOND / math.sqrt(2))],
    7: [*_ring(5, 0.95, 0.0), *_poles(0.57)],
    13: [
        (0.0, 0.0, 0.0),
        *_poles(1.08),
        *_ring(5, 0.966, 0.483),
        *_ring(5, 0.966, -0.483, 0.5),
    ],
}
