"""How far a small network on real digits gets in thirty steps, in how many seconds and how much memory."""

from . import racing

SUITE = "training"


class Training:
    """One network, eight seeds."""

    params = ("msgd", "damped_newton", "sfn", "krylov_sfn")
    param_names = ("optimizer",)
    version = racing.version(SUITE)

    def setup_cache(self):
        return racing.executed(SUITE)

    def track_final_loss_gap(self, cache, optimizer):
        """Cross-entropy above its floor, which is zero."""
        rows = cache[optimizer]["rows"]
        return racing.capped(rows, "final_loss", max(row["start_loss"] for row in rows))

    def track_failures(self, cache, optimizer):
        return racing.failures(cache[optimizer]["rows"])

    def track_seconds_a_step(self, cache, optimizer):
        return racing.samples(cache[optimizer]["seconds"])

    def peakmem_race(self, cache, optimizer):
        racing.raced(SUITE, optimizer)

    setup_cache.timeout = 600
    track_final_loss_gap.unit = "nats"
    track_failures.unit = "1 + % of seeds"
    track_seconds_a_step.unit = "seconds"
    for _method in (track_final_loss_gap, track_failures, track_seconds_a_step, peakmem_race):
        _method.version = version
