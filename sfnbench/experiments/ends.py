"""Ends of trajectories, judged by the loss alone."""

from __future__ import annotations

from ..core.problem import Problem

# A loss is far above where a trajectory began by more than so many times the size of that loss.
FAR_ABOVE = 10.0


def is_far_above(problem: Problem, start: float, final: float) -> bool:
    """Whether a final loss is far above the loss at the start.

    The size of a loss is its height above the lowest one there is, where that is known.
    """
    lowest = problem.lowest
    size = abs(start) if lowest is None else start - lowest
    return final - start > FAR_ABOVE * max(size, problem.escape_drop)
