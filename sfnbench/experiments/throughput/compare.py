"""Two throughput measurements compared: by rates, and by the cost of a step in gradients."""

from __future__ import annotations

from collections.abc import Iterator

from ...records import Rate, TimingRow, quartiles
from ...results.compare import TOLERANCE_S, Change, Pairs, Verdict

TOLERANCE_STEP = 0.1  # of a step's time in gradients, in which the machine cancels
RATES: tuple[Rate, ...] = ("steps_per_s", "samples_per_s", "hvp_per_s")
STEP: Rate = "step_in_grads"


def changes(pairs: Pairs[TimingRow]) -> Iterator[Change]:
    """Rates, for which high is good, and the step in gradients, for which low is."""
    if pairs.machine:
        return
    for (_, dtype), (before, after) in zip(pairs.seeds, pairs.rows, strict=True):
        for rate in (*RATES, STEP):
            change = _change(pairs, f"{rate} {dtype}", rate, before, after)
            if change is not None:
                yield change


def _change(
    pairs: Pairs[TimingRow],
    what: str,
    rate: Rate,
    before: TimingRow,
    after: TimingRow,
) -> Change | None:
    """They differ where the medians do and the quartiles over blocks lie apart."""
    old = quartiles(before, rate)
    new = quartiles(after, rate)
    if old is None or new is None:
        return None
    (old_middle, old_low, old_high), (new_middle, new_low, new_high) = old, new
    tolerance = TOLERANCE_STEP if rate == STEP else TOLERANCE_S
    rises = new_low > old_high and new_middle > old_middle * (1 + tolerance)
    falls = new_high < old_low and new_middle * (1 + tolerance) < old_middle
    verdict: Verdict = "same"
    why = ""
    if rises or falls:
        verdict = "better" if rises == (rate != STEP) else "worse"
        why = _why_unsure(before, after, rate)
    return Change(
        pairs.slot,
        what,
        old_middle,
        new_middle,
        "undecided" if why else verdict,
        why,
    )


def _why_unsure(before: TimingRow, after: TimingRow, rate: Rate) -> str:
    """Why a difference between two timings may be the machine's; empty where nothing says so."""
    if before["disturbed"] or after["disturbed"]:
        return "others kept the machine busy"
    if rate == STEP:
        return ""
    if before["drifting"] or after["drifting"]:
        return "the machine drifted meanwhile"
    old = before["matmul_flops_per_s"]
    new = after["matmul_flops_per_s"]
    if old and new and max(old, new) > (1 + TOLERANCE_STEP) * min(old, new):
        return f"a matrix product was {'slower' if new < old else 'faster'}, too"
    return ""
