"""How far a small network on real digits gets in thirty steps, in how many seconds and how
much memory."""

from . import racing


class Training(racing.Race):
    """One network, eight seeds."""

    suite = "training"
    params = ("msgd", "damped_newton", "sfn", "krylov_sfn")
    version = racing.version(suite)

    def setup_cache(self):
        return racing.executed(self.suite)

    def track_final_loss_gap(self, cache, optimizer):
        """Cross-entropy above its floor, which is zero."""
        rows = cache[optimizer]["rows"]
        return racing.capped(
            rows, "final_loss", max(row["start_loss"] for row in rows)
        )

    setup_cache.timeout = 600
    track_final_loss_gap.unit = "nats"
