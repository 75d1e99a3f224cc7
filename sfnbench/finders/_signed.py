"""Steps of finders of an asked index: zero modes set apart, and a capped length."""

import torch
from torch import Tensor

from ..core.finder import Equations, Finder, Iterate
from ..core.problem import Problem
from ..core.symmetry import DEPENDENT

# the curvature that zero modes are given, so that no step leads along them
APART = 1e6


class FinderOfIndex(Finder):
    """A finder of points with `index` negative eigenvalues."""

    index: int

    def misfit(self, problem: Problem) -> str | None:
        """No point has more negative eigenvalues than the problem has dimensions."""
        if self.index <= problem.dim:
            return None
        return f"index {self.index} is above the dimension, {problem.dim}"


def eigensystem(equations: Equations, at: Iterate) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues (S, d), ascending, eigenvectors (S, d, d), and the gradients (S, d) in them.

    The problem's zero modes are projected out of Hessian and gradient at every step: away from
    critical points rotations are no null vectors of the Hessian. The eigenvalues of a Hessian that
    is not finite are NaN.
    """
    H = equations.hessian(at.theta)
    g = at.grad
    broken = ~torch.isfinite(H).flatten(1).all(1)
    H = torch.where(broken[:, None, None], 0.0, H)
    modes = [equations.problem.zero_modes(point) for point in at.theta]
    known = [each for each in modes if each is not None]
    if known:
        Z = _spanned(torch.stack(known).mT)  # (S, d, n)
        Z = torch.where(broken[:, None, None], 0.0, Z)
        along = Z @ Z.mT
        P = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device) - along
        H = P @ H @ P + APART * along
        g = (P @ g[..., None])[..., 0]
    L, Q = torch.linalg.eigh(H)
    in_basis = (Q.mT @ g[..., None])[..., 0]
    return torch.where(broken[:, None], torch.nan, L), Q, in_basis


def largest_curvature(L: Tensor) -> Tensor:
    """The largest |eigenvalue| (S,) of those of `eigensystem`, (S, d), without zero modes."""
    is_apart = (L - APART).abs() < 1e-6 * APART
    largest = torch.where(is_apart, 0.0, L.abs()).amax(1)
    return largest.clamp_min(torch.finfo(L.dtype).tiny)


def _spanned(columns: Tensor) -> Tensor:
    """Orthonormal columns (S, d, n) of what columns (S, d, n) span, and zeros for the others."""
    finite = torch.isfinite(columns).flatten(1).all(1)
    columns = torch.where(finite[:, None, None], columns, 0.0)
    U, lengths, _ = torch.linalg.svd(columns, full_matrices=False)
    counts = lengths > DEPENDENT * lengths.amax(1, keepdim=True)
    return U * counts[:, None]


def stepped(
    equations: Equations, at: Iterate, Q: Tensor, p: Tensor, longest: float
) -> Iterate:
    """Where the searches stand after steps p (S, d) in the bases Q, none longer than that."""
    length = p.norm(dim=1, keepdim=True)
    p = p * (longest / length.clamp_min(longest))
    theta = at.theta + (Q @ p[..., None])[..., 0]
    return Iterate(theta, equations.grad(theta), at.memory)
