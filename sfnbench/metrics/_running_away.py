"""Whether a trajectory goes to infinity, where no critical point is."""

from collections.abc import Callable

import numpy as np

from ..arrays import Floats

# the cosine of Newton's step with the way so far, from which a point runs away
AWAY = 0.7
STRIDE = 0.05  # and the length of the step, in units of the way so far
N_AWAY = 5  # Newton's steps that have to lead on like this


def runs_away(
    start: Floats,
    end: Floats,
    step: Floats,
    slope: Callable[[Floats], float],
    newton_step: Callable[[Floats], Floats],
) -> bool:
    """Whether Newton's steps lead from an end (d,) away from its start, to ever smaller slopes.

    `step` (d,) is the first of them; `slope` is the gradient's length at a point, and `newton_step`
    the step from there, not finite where there is none.
    """
    x = end
    before = slope(x)
    for _ in range(N_AWAY):
        way = x - start
        length = np.linalg.norm(step)
        far = np.linalg.norm(way)
        if not np.isfinite(step).all() or length < STRIDE * far:
            return False
        if step @ way < AWAY * length * far:
            return False
        x = x + step
        here = slope(x)
        if not here < before:
            return False
        before = here
        step = newton_step(x)
    return True
