"""What `check` says of a member that breaks: the line, and what to do."""

import pytest

from sfnbench.members import contract, registry
from sfnbench.optimizers.msgd import MomentumSGD

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
    reads = found["stays_on_its_device"]
    assert reads.startswith(f"{path}:{line}: it reads a tensor's value")
    path.write_text(SOURCE.replace("dim = 2", "dim = 2\n    vmappable = False"))
    found = contract.failures(registry.load(registry.find("problem", "branching")))
    assert found["points_run_together"] == ""


OWN_MODULE = """
from dataclasses import dataclass
import torch
from torch import nn
from sfnbench import ModuleProblem, register
@register("module_of_mine")
@dataclass(frozen=True, kw_only=True)
class ModuleOfMine(ModuleProblem):
    \"\"\"Its data fail.\"\"\"
    def make_model(self):
        return nn.Linear(3, 2)
    def make_data(self):
        return torch.randn(4, 3).absent, torch.tensor([0, 1, 1, 0])
    def make_criterion(self):
        return nn.CrossEntropyLoss()
"""


def test_the_line_where_a_module_of_one_s_own_cannot_be_made(plugin):
    path = plugin("problems", "module_of_mine", OWN_MODULE)
    found = contract.failures(
        registry.load(registry.find("problem", "module_of_mine"))
    )
    line = OWN_MODULE.splitlines().index(
        "        return torch.randn(4, 3).absent, torch.tensor([0, 1, 1, 0])"
    )
    assert found["has_defaults"].startswith(
        f"{path}:{line + 1}: ModuleOfMine() raises"
    )


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"rate": {"uniform": [0, 1]}}, "no parameter is called 'rate'"),
        ({"lr": {"uniform": [-1.0, 1.0]}}, "lr cannot be -1.0"),
        ({"momentum": {"choice": [0.5, 1.0]}}, "momentum cannot be 1.0"),
        (
            {"lr": {"log": [1e-3, 1.0]}},
            r"lr must be \{loguniform: \[low, high\]\}, ",
        ),
        ({"lr": {"uniform": [1.0]}}, r"lr must be \{loguniform: \[low, high\]\}, "),
        ({"lr": {"choice": []}}, r"lr must be \{loguniform: \[low, high\]\}, "),
    ],
)
def test_ranges_to_tune_are_of_its_parameters(ranges, message):
    class Wrong(MomentumSGD):
        tuning_ranges = ranges

    with pytest.raises(contract.CheckError, match=message):
        contract.optimizers.ranges_are_of_its_parameters(Wrong())
