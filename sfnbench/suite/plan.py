"""What is to be run.

A suite unrolled into runs, each with an id that hashes what decides its numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ..errors import SuiteError
from ..members import registry
from ..members.identity import identify
from ..members.registry import Kind
from ..records import Run, Spec
from ..words import did_you_mean
from .entries import Chooser, Tunable
from .reading import Suite


def plan(
    suite: Suite,
    *,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "cpu",
) -> tuple[Run, ...]:
    """Every problem of the suite with every optimizer (or finder, as its experiment has it), in the suite's order.

    `optimizers` and `problems` pick by label or by `use`. A name that the suite lacks and the
    registry knows joins with its defaults, so that a new method runs beside the results that are
    there. `seeds` takes the place of the suite's.

    Where an optimizer has ranges, the run is open: `sfnbench.tuning` says which runs to execute for
    it.
    """
    issues: list[str] = []
    picked_problems = _pick("problem", suite.problems, problems, issues)
    picked_optimizers = _pick(suite.method, suite.optimizers, optimizers, issues)
    picked_seeds = suite.seeds if seeds is None else _count_or_list(seeds, issues)
    if suite.experiment == "throughput" and len(picked_seeds) != 1:
        issues.append(
            f"{suite.name} measures throughput, which is of one seed, not of {len(picked_seeds)}"
        )
    on_paths = [Spec(**path["optimizer"]) for path in suite.settings.get("paths", ())]
    built = [
        (chosen, registry.build("problem", chosen.use, chosen.params)) for chosen in picked_problems
    ]
    metric = (
        suite.tune.metric
        if suite.tune and any(isinstance(each, Tunable) for each in picked_optimizers)
        else ""
    )
    issues += _inescapable(built, metric)
    issues += _misfits(built, picked_optimizers if suite.method == "optimizer" else on_paths)
    if issues:
        raise SuiteError("\n".join(issues))
    pairs = itertools.product(picked_problems, picked_optimizers)
    return tuple(
        _run(suite, problem, optimizer, picked_seeds, device) for problem, optimizer in pairs
    )


def missing_data(runs: Iterable[Run]) -> list[str]:
    """A line for each problem whose data are missing, and what to do.

    Reads and downloads nothing.
    """
    problems = {run.problem.label: run.problem for run in runs}
    why = {
        label: registry.build("problem", chosen.use, chosen.params).missing_data
        for label, chosen in problems.items()
    }
    return [f"{label}: missing data: {reason}" for label, reason in why.items() if reason]


def _run(suite: Suite, problem: Spec, optimizer: Spec, seeds: tuple[int, ...], device: str) -> Run:
    run = Run(
        suite=suite.name,
        experiment=suite.experiment,
        problem=problem,
        method=optimizer,
        seeds=seeds,
        settings=suite.settings,
        dtype=suite.dtype,
        device=device,
        timeout_s=suite.timeout_s,
    )
    return identify(run, suite.method)


def _pick(
    kind: Kind, offered: tuple[Spec, ...], names: Iterable[str] | None, issues: list[str]
) -> tuple[Spec, ...]:
    """The offered choices of those names, then the registry's members.

    All that are offered where nothing was asked.
    """
    if names is None:
        return offered
    names = list(dict.fromkeys(names))
    joining = []
    for name in names:
        if not any(name in (chosen.label, chosen.use) for chosen in offered):
            joining += _join(kind, name, offered, issues)
    return (*(chosen for chosen in offered if {chosen.label, chosen.use} & set(names)), *joining)


def _join(kind: Kind, name: str, offered: tuple[Spec, ...], issues: list[str]) -> list[Spec]:
    chooser = Chooser.of(kind)
    if name not in chooser.known and not registry.is_stock(name):
        known = {*chooser.known, *(chosen.label for chosen in offered)}
        issues.append(f"unknown {kind} {name!r}{did_you_mean(name, known)}")
        return []
    chosen = chooser.default(name)
    issues += [issue.message for issue in chooser.issues]
    return [chosen] if chosen else []


def _inescapable(built: Iterable[tuple[Spec, Any]], metric: str) -> list[str]:
    """A line for each problem that nobody can escape from, and for each without a saddle if the escape is what is tuned."""
    found = []
    for chosen, problem in built:
        if metric.startswith("escape") and problem.saddle is None:
            found.append(
                f"{chosen.label} cannot be tuned by {metric}: it has no saddle to escape from"
            )
        if problem.lowest is None or problem.saddle is None:
            continue
        if problem.saddle.loss - problem.escape_drop <= problem.lowest:
            fall = f"the saddle's loss is {problem.saddle.loss:.4g} and nothing is below {problem.lowest:.4g}"
            found.append(
                f"{chosen.label}: nobody can fall by escape_drop {problem.escape_drop:g}: {fall}"
            )
    return found


def _misfits(built: Sequence[tuple[Spec, Any]], optimizers: Iterable[Spec]) -> list[str]:
    """A line for each optimizer that cannot run on a problem, and why.

    A batch larger than the data, say.
    """
    from ..core.problem import batch_misfit
    from ..trajectories import stock  # imports torch

    found = []
    extremes = (each.extremes if isinstance(each, Tunable) else (each,) for each in optimizers)
    for chosen in chain.from_iterable(extremes):
        optimizer = (
            None
            if registry.is_stock(chosen.use)
            else registry.build("optimizer", chosen.use, chosen.params)
        )
        for on, problem in built:
            sizes = [stock.batch_size(chosen.params)]
            why = optimizer.misfit(problem) if optimizer else batch_misfit(problem, sizes)
            if why:
                found.append(f"{chosen.label} on {on.label}: {why}")
    return list(dict.fromkeys(found))


def _count_or_list(seeds: int | Sequence[int], issues: list[str]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        if seeds < 1:
            issues.append(f"seeds must be at least 1, not {seeds}")
        return tuple(range(seeds))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        issues.append(
            f"seeds must be distinct whole numbers of at least 0, and one at least, not {list(seeds)}"
        )
    return tuple(seeds)
