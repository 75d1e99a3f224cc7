"""What `check` says of a member that breaks: the line, and what to do."""

from sfnbench.members import contract, registry

SOURCE = '''
from dataclasses import dataclass
import torch
from sfnbench import Problem, register
@register("branching")
@dataclass(frozen=True, kw_only=True)
class Branching(Problem):
    """It branches."""
    dim = 2
    def start(self, rng):
        return torch.randn(2, generator=rng, dtype=torch.float64)
    def loss(self, theta, batch):
        if theta[0] > 0:
            return (theta**2).sum()
        return (theta**4).sum()
'''


def test_the_line_that_branches_and_the_way_out(plugin):
    path = plugin("problems", "branching", SOURCE)
    found = contract.failures(registry.load(registry.find("problem", "branching")))
    line = SOURCE.splitlines().index("        if theta[0] > 0:") + 1
    assert found["points_run_together"].startswith(f"{path}:{line}: ")
    assert "vmappable = False" in found["points_run_together"]
    path.write_text(SOURCE.replace("dim = 2", "dim = 2\n    vmappable = False"))
    found = contract.failures(registry.load(registry.find("problem", "branching")))
    assert found["points_run_together"] == ""
