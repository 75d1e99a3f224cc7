"""A suite unrolled into runs, each with an id that hashes what decides its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import experiments
from ..errors import SuiteError
from ..members import registry
from ..members.identity import identify, unchanging
from ..members.registry import Kind
from ..records import Run, Spec
from ..words import counted, did_you_mean, listed
from .completion import Ground, instances
from .entries import GROUND, EntryReader
from .files import located
from .reading import Suite

if TYPE_CHECKING:
    from ..core.problem import Problem

Unfit = dict[str, dict[str, str]]  # by method, then by problem, why they do not fit


def plan(
    suite: Suite,
    *,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "cpu",
) -> tuple[Run, ...]:
    """Each problem of the suite with each of its optimizers (or finders), in the suite's order.

    `optimizers` and `problems` pick by label or by `use`. A name that is not in the suite but in
    the registry joins with its defaults, so that a new method runs beside the results that are
    there. `seeds` takes the place of the suite's. SuiteError has a line for everything wrong.

    Where an optimizer has ranges, the run is open: `sfnbench.tuning` says which runs to execute for
    it.
    """
    return full_plan(
        suite, optimizers=optimizers, problems=problems, seeds=seeds, device=device
    ).runs


class Plan(NamedTuple):
    """The runs, and a line for each method that joined and cannot run on all problems."""

    runs: tuple[Run, ...]
    left_out: tuple[str, ...]


def full_plan(
    suite: Suite,
    *,
    optimizers: Iterable[str] | None = None,
    problems: Iterable[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "cpu",
) -> Plan:
    """As `plan`, with what was left out: a method for networks joins on networks alone."""
    issues: list[str] = []
    problems = _without_absent(suite, "problem", problems, issues)
    optimizers = _without_absent(suite, suite.method, optimizers, issues)
    picked_problems = _pick("problem", suite.problems, problems, issues)
    ground = _ground(suite, picked_problems)
    unfit: Unfit = {}
    picked_methods = _pick(
        suite.method, suite.optimizers, optimizers, issues, ground, unfit
    )
    if seeds is None:
        picked_seeds = suite.seeds
    else:
        picked_seeds = _count_or_list(seeds, issues)
    fitting = [spec for spec in picked_methods if spec.label not in unfit]
    issues += _impossible(suite, picked_problems, fitting, len(picked_seeds))
    if issues:
        raise SuiteError.of(issues)
    pairs = itertools.product(picked_problems, picked_methods)
    runs = [
        _run(suite, problem, method, picked_seeds, device)
        for problem, method in pairs
        if problem.label not in unfit.get(method.label, ())
    ]
    with unchanging():
        identified = tuple(identify(run, suite.method) for run in runs)
    return Plan(identified, tuple(_left_out(unfit)))


def missing_data(runs: Iterable[Run]) -> list[str]:
    """A line for each problem whose data are missing, and what to do.

    Reads and downloads nothing.
    """
    problems = {run.problem.label: run.problem for run in runs}
    lines = []
    for label, spec in problems.items():
        reason = instances("problem", spec)[0].missing_data
        if reason:
            lines.append(f"{label}: missing data: {reason}")
    return lines


def to_download(runs: Iterable[Run]) -> dict[str, Problem]:
    """The problems, by label, whose data are still to be fetched; fetches nothing."""
    specs = {run.problem.label: run.problem for run in runs}
    problems = {
        label: instances("problem", spec)[0] for label, spec in specs.items()
    }
    return {
        label: problem
        for label, problem in problems.items()
        if problem.needs_download
    }


def _run(
    suite: Suite, problem: Spec, method: Spec, seeds: tuple[int, ...], device: str
) -> Run:
    return Run(
        suite=suite.name,
        experiment=suite.experiment,
        problem=problem,
        method=method,
        seeds=seeds,
        settings=suite.settings,
        dtype=suite.dtype,
        device=device,
        timeout_s=suite.timeout_s,
    )


def _ground(suite: Suite, problems: tuple[Spec, ...]) -> Ground:
    """The problems that stock optimizers are tried on when they join."""
    dtypes = tuple(suite.settings.get("dtypes", [suite.dtype]))
    tunes_own = suite.tune is not None and suite.tune.ranges == "own"
    return Ground(problems, dtypes, suite.n_steps, tunes_own, suite.indices)


def _without_absent(
    suite: Suite, kind: Kind, names: Iterable[str] | None, issues: list[str]
) -> list[str] | None:
    """The names but for those of absent members, which are issues; None still picks all."""
    picked = None if names is None else list(names)
    absent = [
        each
        for each in suite.absent
        if each.kind == kind and each.is_picked(picked)
    ]
    issues += located(suite.path, [each.issue for each in absent])
    if picked is None:
        return None
    gone = {name for each in absent for name in (each.use, each.label)}
    return [name for name in picked if name not in gone]


def _pick(
    kind: Kind,
    offered: tuple[Spec, ...],
    names: Iterable[str] | None,
    issues: list[str],
    ground: Ground = GROUND,
    unfit: Unfit | None = None,
) -> tuple[Spec, ...]:
    """The offered specs of those names, then members of the registry; all offered if None."""
    if names is None:
        return offered
    wanted = dict.fromkeys(names)
    picked = [
        spec for spec in offered if spec.label in wanted or spec.use in wanted
    ]
    known = {name for spec in offered for name in (spec.label, spec.use)}
    joining = [name for name in wanted if name not in known]
    if joining:
        reader = EntryReader(kind).on(ground)
        for name in joining:
            if name in reader.known or registry.is_stock(name):
                picked += _join(
                    reader, name, ground, issues, {} if unfit is None else unfit
                )
            else:
                hint = did_you_mean(
                    name,
                    {*reader.known, *(spec.label for spec in offered)},
                    f"sfnbench list {kind}s",
                )
                issues.append(f"unknown {kind} {name!r}{hint}")
    return tuple(picked)


def _join(
    reader: EntryReader, name: str, ground: Ground, issues: list[str], unfit: Unfit
) -> list[Spec]:
    """The member of the registry with its defaults; where it runs on none, that is an issue."""
    result = reader.default(name)
    if result.absent:
        issues.append(result.absent.issue.message)
        return []
    reasons: dict[str, str] = {}
    if result.issues:
        for problem in ground.problems:
            alone = reader.on(ground._replace(problems=(problem,))).default(name)
            if alone.issues:
                reasons[problem.label] = alone.issues[0].message
            else:
                result = alone
    specs = [located.spec for located in result.specs]
    for problem in ground.problems:
        built = [(problem, instances("problem", problem)[0])]
        for reason in _misfits(reader.kind, built, specs):
            reasons.setdefault(problem.label, reason)
    if len(reasons) == len(ground.problems):
        issues += [issue.message for issue in result.issues] or reasons.values()
    elif reasons:
        unfit[name] = reasons
    return specs


def _left_out(unfit: Unfit) -> Iterator[str]:
    """A line for each method, with its problems and the reason of the first."""
    for name, reasons in unfit.items():
        problems = f"{counted(len(reasons), 'problem')}, {listed(list(reasons))}"
        yield f"{name} is left out on {problems}: {next(iter(reasons.values()))}"


def _impossible(
    suite: Suite, problems: Iterable[Spec], methods: Sequence[Spec], n_seeds: int
) -> Iterator[str]:
    """A line for everything that a suite's problems and methods cannot do together."""
    keys = experiments.find(suite.experiment).keys.Keys
    if n_seeds != 1 and not keys.is_seeded:
        yield f"{suite.name}: {suite.experiment} takes one seed, not {n_seeds}"
    built = [(spec, instances("problem", spec)[0]) for spec in problems]
    if suite.tune and any(spec.is_open for spec in methods):
        yield from _without_saddle(built, suite.tune.metric)
    yield from _unreachable(built)
    yield from _misfits(suite.method, built, methods)
    yield from _misfits("optimizer", built, suite.inner)


def _without_saddle(
    built: Iterable[tuple[Spec, Problem]], metric: str
) -> Iterator[str]:
    """A line for each problem that cannot be tuned by its escape."""
    for spec, problem in built:
        if metric.startswith("escape") and problem.saddle is None:
            yield f"{spec.label} cannot be tuned by {metric}: it has no saddle to escape from"


def _unreachable(built: Iterable[tuple[Spec, Problem]]) -> Iterator[str]:
    """A line for each problem whose loss cannot fall as far as counts as an escape."""
    for spec, problem in built:
        lowest = problem.lowest
        saddle = problem.saddle
        if lowest is None or saddle is None:
            continue
        if saddle.loss - problem.escape_drop <= lowest:
            losses = f"saddle loss {saddle.loss:.4g}, lowest loss {lowest:.4g}"
            yield f"{spec.label}: escape_drop {problem.escape_drop:g} is unreachable: {losses}"


def _misfits(
    kind: Kind, built: Sequence[tuple[Spec, Problem]], methods: Iterable[Spec]
) -> dict[str, None]:
    """A line for each method that cannot run on a problem, such as a batch beyond its data."""
    lines: dict[str, None] = {}
    for spec in methods:
        for method in instances(kind, spec):
            for on, problem in built:
                reason = method.misfit(problem)
                if reason:
                    lines[f"{spec.label} on {on.label}: {reason}"] = None
    return lines


def _count_or_list(
    seeds: int | Sequence[int], issues: list[str]
) -> tuple[int, ...]:
    if isinstance(seeds, int):
        if seeds < 1:
            issues.append(f"seeds must be at least 1, not {seeds}")
        return tuple(range(seeds))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        expected = "one or more different whole numbers from 0 on"
        issues.append(f"seeds must be {expected}, not {list(seeds)}")
    return tuple(seeds)
