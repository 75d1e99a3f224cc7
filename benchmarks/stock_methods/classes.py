"""The questions to each class of ``torch.optim`` and of ``pytorch_optimizer``."""

import numpy as np
import torch

from sfnbench.trajectories import stock

from .by_hand import DTYPES, ENTRIES, N_STEPS, PROBLEM, by_hand
from .line import Line

SEEDS = (0, 1, 2)
# Two points agree that are so close, in units of the largest parameter, after 20 steps; in single
# precision those that are so many roundings apart.
CLOSE = 1e-7
N_ROUNDINGS = 100


def by_sfnbench(
    name: str, starts: torch.Tensor, seeds, n_steps: int = N_STEPS
) -> tuple[torch.Tensor, np.ndarray]:
    """Thetas (S, d) after the steps, and the counts (S, 4) by kind."""
    trajectories = stock.lift_stock(
        PROBLEM, name, ENTRIES.get(name, {}), starts, seeds
    )
    for _ in range(n_steps):
        trajectories.step([(None,)] * len(starts), None)
    return trajectories.theta, trajectories.calls


def start_of(seed: int) -> torch.Tensor:
    """The start of a seed."""
    return PROBLEM.start(torch.Generator().manual_seed(seed))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """How far two points are from each other, in units of the largest parameter."""
    if not b.isfinite().all():
        return 0.0 if torch.equal(a.isfinite(), b.isfinite()) else np.inf
    return float((a - b).abs().max() / b.abs().max())


def close(dtype: torch.dtype) -> float:
    """How far apart two points in that precision may be that agree."""
    return max(CLOSE, N_ROUNDINGS * torch.finfo(dtype).eps)


def agree(a: torch.Tensor, b: torch.Tensor) -> bool | str:
    """True where two points agree to rounding, else how far they are from each other."""
    far = distance(a, b)
    return far <= close(a.dtype) or f"differs by {far:.1e} of its size"


def rounding_grows_until(name: str, start: torch.Tensor) -> int:
    """How many steps the method makes before it tells rounding from nothing, by hand.

    One that divides by what is nearly zero, or breaks off a line search, makes a large thing of it.
    """
    noise = torch.randn(len(start), generator=torch.Generator().manual_seed(1)).to(
        start
    )
    other = start * (1 + 8 * torch.finfo(start.dtype).eps * noise)
    for n_steps in (N_STEPS, 10, 5, 2):
        pair = [
            by_hand(name, each, SEEDS[0], n_steps)[0] for each in (start, other)
        ]
        if distance(*pair) <= close(start.dtype) / 10:
            return n_steps
    return 1


def line_of(name: str) -> Line:
    """Everything that is asked of one class."""
    line, dtype = Line(name), DTYPES.get(name, "float64")
    starts = torch.stack([start_of(seed) for seed in SEEDS]).to(
        getattr(torch, dtype)
    )
    faults = stock.find_faults(
        name, ENTRIES.get(name, {}), {"mlp": PROBLEM}, [dtype]
    )
    line.constructed = faults[0].message if faults else True
    if faults:
        return line
    alone, calls = by_sfnbench(name, starts[:1], SEEDS[:1])
    line.runs = True
    line.n_steps = rounding_grows_until(name, starts[0])
    expected, _ = by_hand(name, starts[0], SEEDS[0], line.n_steps)
    after, _ = by_sfnbench(name, starts[:1], SEEDS[:1], line.n_steps)
    line.by_hand = agree(after[0], expected)
    _, counts = by_hand(name, starts[0], SEEDS[0], N_STEPS)
    line.counts = (
        calls[0, 1:3].tolist() == counts or f"{calls[0, 1:3].tolist()} for {counts}"
    )
    line.seeds = _independent(name, starts, dtype)
    torch.manual_seed(5)
    np.random.seed(5)
    again, _ = by_sfnbench(name, starts[:1], SEEDS[:1])
    line.repeats = (
        torch.equal(alone.nan_to_num(), again.nan_to_num())
        or "twice is not the same"
    )
    return line


def _independent(name: str, starts: torch.Tensor, dtype: str) -> bool | str:
    """Whether each seed alone does what it does among others, in either order."""
    alone = [
        by_sfnbench(name, starts[i : i + 1], SEEDS[i : i + 1])[0][0]
        for i in range(3)
    ]
    entry = ENTRIES.get(name, {})
    if not stock.shares_batches(PROBLEM, name, entry, getattr(torch, dtype)):
        return True
    together = by_sfnbench(name, starts, SEEDS)[0]
    backwards = by_sfnbench(name, starts.flip(0), SEEDS[::-1])[0].flip(0)
    found = [
        agree(batch[i], alone[i])
        for batch in (together, backwards)
        for i in range(3)
    ]
    return next((each for each in found if each is not True), True)
