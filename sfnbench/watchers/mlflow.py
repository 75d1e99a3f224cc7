"""MLflow: an experiment for each suite, a run for each problem, optimizer and seed."""

from __future__ import annotations

import time
from typing import Any

from ..errors import SfnbenchError
from ..words import first_line
from ._tracks import Track, Tracker

MOST_METRICS, MOST_PARAMETERS = 1000, 100  # that MLflow takes at once
LONGEST = 500  # characters of a parameter that every store takes


class Watcher(Tracker):
    """Writes to a tracking URI, by default that of MLFLOW_TRACKING_URI, else MLflow's own."""

    def __init__(self, place: str) -> None:
        from mlflow import MlflowClient, entities, exceptions

        self._entities = entities
        self._experiments: dict[str, str] = {}  # ids by suite
        try:
            self._client = MlflowClient(tracking_uri=place or None)
            # a server that is not there fails here, not after the first run
            self._client.search_experiments(max_results=1)
        except exceptions.MlflowException as error:
            raise SfnbenchError(f"mlflow:{place}: {first_line(error)}") from None

    def write(self, track: Track) -> None:
        """Curves as metrics by step, what came of the run as metrics below ``end/``."""
        run_id = self._client.create_run(
            self._experiment(track.suite), run_name=track.name
        ).info.run_id
        parameters = [
            self._entities.Param(name, str(value)[:LONGEST])
            for name, value in track.parameters.items()
        ]
        for i in range(0, len(parameters), MOST_PARAMETERS):
            self._client.log_batch(
                run_id, params=parameters[i : i + MOST_PARAMETERS]
            )
        metrics = self._metrics(track)
        for i in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[i : i + MOST_METRICS])
        status = "FAILED" if track.has_failed else "FINISHED"
        self._client.set_terminated(run_id, status)

    def _experiment(self, suite: str) -> str:
        if suite not in self._experiments:
            known = self._client.get_experiment_by_name(suite)
            if known:
                self._experiments[suite] = known.experiment_id
            else:
                self._experiments[suite] = self._client.create_experiment(suite)
        return self._experiments[suite]

    def _metrics(self, track: Track) -> list[Any]:
        now = int(time.time() * 1000)
        metric = self._entities.Metric
        found = [
            metric(name, point.value, now, point.step)
            for name, points in track.curves.items()
            for point in points
        ]
        return found + [
            metric(f"end/{name}", value, now, 0)
            for name, value in track.ends.items()
        ]
