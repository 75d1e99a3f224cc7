"""Every optimizer of two packages and every method of scipy against itself run by hand."""

import pytest

from benchmarks import stock_methods

# What cannot be run, each for a reason of its own: its words, which docs/stock.md shows.
REASONS = {
    "torch.optim.SparseAdam": "does not support dense gradients",
    "pytorch_optimizer.AdaLOMO": "it has no step of its own",
    "pytorch_optimizer.DeMo": "einops",
    "pytorch_optimizer.DistributedMuon": "Default process group has not been initialized",
    "pytorch_optimizer.GSAM": "'rho_scheduler'",
    "pytorch_optimizer.LOMO": "it has no step of its own",
    "pytorch_optimizer.SafeFP16Optimizer": "a backward() of its own",
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("package", "n", "n_right"),
    [("torch.optim", 15, 14), ("pytorch_optimizer", 139, 133), ("scipy.optimize", 15, 15)],
)
def test_every_class_does_what_it_does_by_hand_or_says_why_not(package, n, n_right):
    lines = list(stock_methods.measured(package))
    print("\n".join(map(stock_methods.written, lines)))
    wrong = {line.name: line.reason for line in lines if not line.is_right}
    assert set(wrong) <= set(REASONS)
    assert all(REASONS[name] in reason for name, reason in wrong.items())
    assert len(lines) >= n
    assert sum(line.is_right for line in lines) >= n_right
