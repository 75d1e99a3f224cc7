"""Weights & Biases: a run for each problem, optimizer and seed, grouped by suite."""

from __future__ import annotations

from ._tracks import Track, Tracker


class Watcher(Tracker):
    """Writes to a project, else that of WANDB_PROJECT; WANDB_MODE=offline does without network."""

    def __init__(self, place: str) -> None:
        import wandb

        self._init = wandb.init
        self._project = place or None

    def write(self, track: Track) -> None:
        """Curves by step, what came of the run as its summary."""
        by_step: dict[int, dict[str, float]] = {}
        for name, points in track.curves.items():
            for point in points:
                by_step.setdefault(point.step, {})[name] = point.value
        run = self._init(
            project=self._project,
            group=track.suite,
            name=track.name,
            config=dict(track.parameters),
        )
        for step in sorted(by_step):
            run.log(by_step[step], step=step)
        run.summary.update(
            {f"end/{name}": each for name, each in track.ends.items()}
        )
        run.finish(exit_code=int(track.has_failed))
