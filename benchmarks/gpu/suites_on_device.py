"""Suites on a device: each run as soon as it is done."""

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from place import Line, Place

from sfnbench import Run, execute, load_suite, plan

MADE = ("autoencoder", "|H|")  # of the profile full
FULL_S = 40  # for both; certificates of the ends come on top


def toy(place: Place) -> Iterator[Line]:
    """Each run on the device, and whether its seeds escape at the steps of the CPU's."""
    n_seeds = place.sized(32, 2)
    for run in plan(load_suite("toy"), seeds=n_seeds, device=str(place.device)):
        if not place.on_gpu:
            run = _cut(run, {"steps": 20})
        line, rows = _raced(run)
        beside = execute(replace(run, device="cpu")).rows
        same = [
            here["escape_step"] == there["escape_step"]
            for here, there in zip(rows, beside, strict=True)
        ]
        yield {**line, "escapes as on the CPU": f"{sum(same)} of {len(same)}"}


def digits(place: Place) -> Iterator[Line]:
    """The suite as it is shipped."""
    suite = load_suite("digits", place.sized(None, "quick"))
    for run in plan(suite, device=str(place.device)):
        if not place.on_gpu:
            run = _cut(run, {"steps": 2})
        yield _raced(run)[0]


def full(place: Place) -> Iterator[Line]:
    """Momentum SGD and the Krylov method on the whole problem, cut short."""
    suite = load_suite("autoencoder", place.sized("full", "quick"))
    runs = plan(
        suite, optimizers=["MSGD", "|H|"], seeds=1, device=str(place.device)
    )
    missing = runs[0].problem.instances[0].missing_data
    if missing:
        yield {"note": f"left out: {missing}"}
        return
    for run, share in zip(runs, (0.25, 0.75), strict=True):
        seconds = share * place.sized(FULL_S, 2)
        yield _raced(_cut(run, {"seconds": seconds}))[0]


def _cut(run: Run, budget: dict[str, float]) -> Run:
    """The same run with less of a budget."""
    settings = {**run.settings, "budget": {**run.settings["budget"], **budget}}
    return replace(run, settings=settings)


def _raced(run: Run) -> tuple[Line, tuple]:
    """The line of a run, and its rows."""
    result = execute(run)
    if result.status.failed:
        last = result.log.strip().rpartition("\n")[2]
        raise RuntimeError(f"{run.title}: {result.status}, {last}")
    rows = result.rows

    def middle(name: str) -> float:
        found = [row[name] for row in rows if row.get(name) is not None]
        return float(median(found)) if found else math.nan

    escaped = sum(row.get("escape_step") is not None for row in rows)
    line: Line = {
        "problem": run.problem.label,
        "optimizer": run.method.label,
        "status": str(result.status),
        "steps": middle("steps"),
        "final loss": middle("final_loss"),
        "escaped": f"{escaped} of {len(rows)}",
        "seconds": sum(row.get("seconds") or 0.0 for row in rows),
        "with metrics": result.seconds,
    }
    return line, rows
