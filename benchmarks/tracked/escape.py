"""What it costs to leave a quadratic saddle, in questions, seconds and memory."""

from . import racing


class Escape(racing.Race):
    """One saddle, ten seeds."""

    suite = "escape"
    params = ("gradient_descent", "msgd", "sfn", "krylov_sfn")
    version = racing.version(suite)

    def setup_cache(self):
        return racing.executed(self.suite)

    def track_escape_cost(self, cache, optimizer):
        rows = cache[optimizer]["rows"]
        return racing.capped(rows, "escape_cost", max(row["cost"] for row in rows))

    setup_cache.timeout = 600
    track_escape_cost.unit = "gradients"
