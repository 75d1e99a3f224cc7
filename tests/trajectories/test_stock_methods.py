"""Every optimizer of two packages and every method of scipy against itself run by hand."""

import importlib.util

import pytest
from stock_methods.table import measured, names_in

# What cannot be run, each for a reason of its own: its words, which docs/stock.md shows.
REASONS = {
    "torch.optim.SparseAdam": "does not support dense gradients",
    "pytorch_optimizer.AdaLOMO": "it has no step of its own",
    "pytorch_optimizer.DeMo": "process group has not been initialized",
    "pytorch_optimizer.DistributedMuon": "process group has not been initialized",
    "pytorch_optimizer.GSAM": "GSAM needs 'rho_scheduler'",
    "pytorch_optimizer.LOMO": "it has no step of its own",
    "pytorch_optimizer.SafeFP16Optimizer": "a backward() of its own",
}
if importlib.util.find_spec("einops") is None:
    REASONS["pytorch_optimizer.DeMo"] = "einops"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("package", "n", "n_right"),
    [
        ("torch.optim", 15, 14),
        ("pytorch_optimizer", 139, 133),
        ("scipy.optimize", 15, 15),
    ],
)
def test_every_class_does_what_it_does_by_hand_or_says_why_not(package, n, n_right):
    if not package.startswith(("torch.", "scipy.")):
        pytest.importorskip(package)
    lines = list(measured(names_in(package)))
    print("\n".join(line.written for line in lines))
    wrong = {line.name: line.reason for line in lines if not line.is_right}
    assert set(wrong) <= set(REASONS)
    assert all(REASONS[name] in reason for name, reason in wrong.items())
    assert len(lines) >= n
    assert sum(line.is_right for line in lines) >= n_right


def test_a_line_tells_the_first_reason_why_not():
    (line,) = measured(["torch.optim.SparseAdam"])
    assert not line.is_right
    assert REASONS[line.name] in line.reason
    assert line.written.startswith("| `torch.optim.SparseAdam` | no |")


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "scipy.optimize.BFGS"])
def test_two_lines_of_the_table_are_right(name):
    (line,) = measured([name])
    assert line.is_right
    assert line.reason == ""
