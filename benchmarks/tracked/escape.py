"""What it costs to leave a quadratic saddle, in questions, seconds and memory."""

from . import racing

SUITE = "escape"


class Escape:
    """One saddle, ten seeds."""

    params = ("gradient_descent", "msgd", "sfn", "krylov_sfn")
    param_names = ("optimizer",)
    version = racing.version(SUITE)

    def setup_cache(self):
        return racing.executed(SUITE)

    def track_escape_cost(self, cache, optimizer):
        rows = cache[optimizer]["rows"]
        return racing.capped(rows, "escape_cost", max(row["cost"] for row in rows))

    def track_failures(self, cache, optimizer):
        return racing.failures(cache[optimizer]["rows"])

    def track_seconds_a_step(self, cache, optimizer):
        return racing.samples(cache[optimizer]["seconds"])

    def peakmem_race(self, cache, optimizer):
        racing.raced(SUITE, optimizer)

    setup_cache.timeout = 600
    track_escape_cost.unit = "gradients"
    track_failures.unit = "1 + % of seeds"
    track_seconds_a_step.unit = "seconds"
    for _method in (track_escape_cost, track_failures, track_seconds_a_step, peakmem_race):
        _method.version = version
