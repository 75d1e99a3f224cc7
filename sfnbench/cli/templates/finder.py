"""My finder."""

from dataclasses import dataclass

import torch

from sfnbench import Count, Equations, Finder, Iterate, register


@register("my_finder")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class MyFinder(Finder):
    """My finder: say in a line what it is.

        theta <- theta - H^-1 grad f(theta)

    Then its cost, how it fails, and the paper it is from.
    """

    # fields are the YAML keys: `finders: [{use: my_finder, steps: 50}]`
    steps: Count = 100

    def step(self, equations: Equations, at: Iterate) -> Iterate:
        """One step of all trajectories, theta (S, d).

        The equations answer grad, hessian, eigh and products.
        """
        eigenvalues, Q = equations.eigh(at.theta)
        in_basis = (Q.mT @ at.grad[..., None])[..., 0]
        is_resolved = eigenvalues.abs() > 1e-10 * eigenvalues.abs().amax(
            1, keepdim=True
        )
        divisors = torch.where(is_resolved, eigenvalues, 1.0)
        newton = torch.where(is_resolved, -in_basis / divisors, 0.0)
        theta = at.theta + (Q @ newton[..., None])[..., 0]
        return Iterate(theta, equations.grad(theta))
