"""The tables of a standing: results of a folder among those of an archive."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import NoResultsError
from ..experiments.critical_points.table import flag_share
from ..records import RaceRow, Result, Row, Spec
from ..results.cells import Cell, TableEntry
from ..results.staleness import differences
from ..results.tables import Table
from ..survival.intervals import Estimate
from ..survival.places import SAME_SCORE, Place, difference
from ..words import counted, listed
from .archive import Archived, find_archive, load_archive
from .changes import changes_since
from .contest import ESCAPE_AREA, WAY_DOWN, Contest, RowsByProblem

TUNED_RULE = "tuned"
BRACKETS = "the 95 % interval over problems and seeds"
OWN = " (yours)"
TERMS = (("dtype",), ("format",), ("settings", "budget"), ("settings", "prices"))


@dataclass(frozen=True)
class Standing:
    """An archive, and the results that are put among its own."""

    path: Path
    archived: Sequence[Archived]
    # own results by label and problem
    own: Mapping[str, dict[str, Result]] = field(default_factory=dict)
    # own results that do not compare, each with its reason
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, results: Iterable[Result]) -> Standing:
        """The archive of that name, and the results that were made on its terms."""
        path = find_archive(name)
        archived = load_archive(path)
        terms = {_key(each.result.run.problem): each.result for each in archived}
        own: dict[str, dict[str, Result]] = {}
        left_out: dict[str, list[str]] = {}  # titles by reason
        for result in results:
            reason = _incomparable(result, terms.get(_key(result.run.problem)))
            if reason:
                left_out.setdefault(reason, []).append(result.run.title)
            else:
                problem = terms[_key(result.run.problem)].run.problem.label
                own.setdefault(f"{result.run.method.label}{OWN}", {})[problem] = (
                    result
                )
        lines = [
            f"left out, {listed(titles)}: {why}" for why, titles in left_out.items()
        ]
        return cls(path, archived, own, tuple(lines))

    def table(self, *, by_kind: bool = False) -> Table:
        """A row for each method, the best first, over all problems of each rule, or by kind."""
        lines: list[Mapping[str, TableEntry]] = []
        if by_kind:
            for kind in self._kinds:
                lines += self._lines("", kind)
        else:
            for rule in dict.fromkeys(each.rule for each in self.archived):
                lines += self._lines(rule)
        if not lines:
            raise NoResultsError(f"{self.path}: no problem in common")
        return lines

    def against(self) -> Table:
        """A row for each pair of an own method and an archived one: is it better, by how much."""
        contest = self.contest("")
        if not contest.budgets:
            return []
        labels = list(contest.methods)
        return [
            _pair_line(contest, labels.index(own), i)
            for own in self.own
            for i, label in enumerate(labels)
            if label not in self.own
        ]

    def remarks(self) -> list[str]:
        """A sentence on each own method, on what was left out, and on what changed since."""
        said = [self._verdict(label) for label in self.own]
        said += self.left_out
        said += self._fewer_seeds()
        for each in self._changes[1]:
            said.append(
                f"{self.path.name}: {each} since, which may change no number"
            )
        return said

    def _fewer_seeds(self) -> list[str]:
        """That all methods are compared on the seeds of the own results, where these are fewer."""
        known = {seed for each in self.archived for seed in each.result.run.seeds}
        every = [
            each for by_problem in self.own.values() for each in by_problem.values()
        ]
        own = {seed for each in every for seed in each.run.seeds} & known
        if not own or own == known:
            return []
        return [
            f"all methods are compared on {len(own)} of the archive's {len(known)} seeds"
        ]

    @cached_property
    def _changes(self) -> tuple[dict[str, list[str]], list[str]]:
        return changes_since(each.result for each in self.archived)

    @cached_property
    def _lowest(self) -> dict[str, float]:
        """The lowest archived loss of each problem whose loss is bounded below."""
        found: dict[str, float] = {}
        for each in self.archived:
            if each.result.facts.bounded_below:
                name = each.result.run.problem.label
                losses = [row["final_loss"] for row in each.result.race_rows]
                known = [
                    loss
                    for loss in losses
                    if loss is not None and math.isfinite(loss)
                ]
                found[name] = min([found.get(name, math.inf), *known])
        return found

    @property
    def _kinds(self) -> list[str]:
        """Kinds of saddle, strict ones first; for tuned methods there are too few problems."""
        kinds = {each.kind for each in self.archived if each.kind}
        return sorted(kinds, key=lambda kind: (not kind.startswith("strict"), kind))

    def contest(self, rule: str, kind: str | None = None) -> Contest:
        """Archived methods under a rule and the own ones, on the problems that all of them have.

        Beside tuned methods stand the same ones with their authors' settings.
        """
        picked = [
            each for each in self.archived if kind is None or each.kind == kind
        ]
        of_rule = [each.result for each in picked if each.rule == rule]
        fields = {
            _with_rule(label, rule): own
            for label, own in _by_method(of_rule).items()
        }
        if rule:
            rivals = _by_method(each.result for each in picked if not each.rule)
            fields |= {
                name: own
                for name, own in rivals.items()
                if _with_rule(name, rule) in fields
            }
        fields |= self.own
        problems = [
            name
            for name in dict.fromkeys(
                result.run.problem.label for result in of_rule
            )
            if all(name in own for own in fields.values())
        ]
        return _contest_of(fields, problems, of_rule, self._lowest)

    def _lines(
        self, rule: str, kind: str | None = None
    ) -> list[dict[str, TableEntry]]:
        contest = self.contest(rule, kind)
        if not contest.budgets:
            return []
        over = _heading(rule, kind, contest)
        lines = [
            {
                "over": over,
                **_line(contest, i, label),
                "changed since": self._mark(label),
            }
            for i, label in enumerate(contest.methods)
        ]
        return sorted(lines, key=lambda line: _rank_of(line))

    def _mark(self, label: str) -> str:
        name = label.removesuffix(f", {TUNED_RULE}")
        return listed(self._changes[0].get(name, []), most=1)

    def _verdict(self, label: str) -> str:
        """Its rank over all, and whom it ties with."""
        contest = self.contest("")
        if not contest.budgets:
            return f"{label}: no problem in common with {self.path.name}"
        labels = list(contest.methods)
        place = contest.places[ESCAPE_AREA][labels.index(label)]
        value, low, high = place.rank
        tied = "ties with none"
        if place.ties:
            tied = f"ties with {len(place.ties)}: {listed([labels[i] for i in place.ties])}"
        over = counted(len(contest.budgets), "problem")
        return f"{label}: rank {value:g} [{low:g}, {high:g}] of {len(labels)} over {over}; {tied}"


# -- inside ----------------------------------------------------------------------------------------


def _key(problem: Spec) -> str:
    return json.dumps([problem.use, problem.params], sort_keys=True)


def _incomparable(result: Result, like: Result | None) -> str:
    """Why a result was not made on the archive's terms; empty where it was."""
    if result.run.experiment != "race":
        return f"it is no race but {result.run.experiment}"
    if like is None:
        return "the archive has no such problem with these parameters"
    found = differences(like.run, result.run).items()
    return "; ".join(
        words for path, words in found if path[:1] in TERMS or path[:2] in TERMS
    )


def _by_method(results: Iterable[Result]) -> dict[str, dict[str, Result]]:
    found: dict[str, dict[str, Result]] = {}
    for result in results:
        found.setdefault(result.run.method.label, {})[result.run.problem.label] = (
            result
        )
    return found


def _with_rule(label: str, rule: str) -> str:
    return f"{label}, {rule}" if rule else label


def _contest_of(
    fields: Mapping[str, Mapping[str, Result]],
    problems: Sequence[str],
    terms: Iterable[Result],
    lowest: Mapping[str, float],
) -> Contest:
    """The rows of the seeds that all have, and the bounds that each problem is judged by."""
    first = {result.run.problem.label: result for result in terms}
    budgets = {
        name: float(first[name].run.settings["budget"]["cost"])
        for name in problems
        if first[name].facts.has_saddle
    }
    methods: dict[str, RowsByProblem] = {}
    for label, own in fields.items():
        methods[label] = {
            name: _rows_of_seeds(own[name], _common_seeds(fields, name))
            for name in problems
        }
    return Contest(
        methods,
        budgets,
        {name: lowest[name] for name in problems if name in lowest},
    )


def _common_seeds(
    fields: Mapping[str, Mapping[str, Result]], problem: str
) -> list[int]:
    seeds = [set(own[problem].run.seeds) for own in fields.values()]
    return sorted(set.intersection(*seeds))


def _rows_of_seeds(result: Result, seeds: Sequence[int]) -> list[RaceRow]:
    """One for each seed; what broke without numbers is as dear as what used its whole budget."""
    budget = float(result.run.settings["budget"]["cost"])
    status = str(result.status)
    broken = tuple(Row(seed=seed, status=status) for seed in seeds)
    known = {row["seed"]: row for row in result.race_rows}
    rows = []
    for blank in Result(result.run, result.status, broken).race_rows:
        row = known.get(blank["seed"], blank)
        if row["cost"] is None:
            row = {**row, "cost": budget}
        rows.append(row)
    return rows


def _heading(rule: str, kind: str | None, contest: Contest) -> str:
    """What a table is over, and by which rule its methods have their settings."""
    settings = "authors' settings"
    if rule:
        settings = "tuned with equal budgets, and the same with authors' settings"
    n = max(len(contest.budgets), len(contest.lowest))
    return f"{kind or 'all'}: {counted(n, 'problem')}, {settings}"


def _line(contest: Contest, i: int, label: str) -> dict[str, TableEntry]:
    escapes = contest.escapes(label)
    place = contest.places[ESCAPE_AREA][i]
    line: dict[str, TableEntry] = {
        "rank": _interval(place.rank, "g"),
        "optimizer": label,
        "ties with": len(place.ties),
        "escaped": flag_share(escapes.escaped.tolist()),
        "gradients an escape": Cell(
            escapes.expected_running_time(), form=".3g", never=True
        ),
        ESCAPE_AREA: _interval(place.score, ".2f"),
    }
    if contest.lowest:
        line |= _loss_entries(contest.places[WAY_DOWN][i])
    return line


def _loss_entries(place: Place) -> dict[str, TableEntry]:
    return {
        WAY_DOWN: _interval(place.score, ".2f"),
        f"rank by {WAY_DOWN}": _interval(place.rank, "g"),
    }


def _interval(estimate: Estimate, form: str) -> Cell:
    return Cell(*estimate, form=form, brackets=BRACKETS)


def _pair_line(contest: Contest, own: int, rival: int) -> dict[str, TableEntry]:
    """Own minus rival, of both scores; a rank never stands here without its interval."""
    labels = list(contest.methods)
    line: dict[str, TableEntry] = {
        "optimizer": labels[own],
        "against": labels[rival],
    }
    for name, scores in contest.scores.items():
        found = difference(scores[own], scores[rival])
        line[name] = _interval(found, "+.3f")
        line[f"by {name}"] = _verdict_of(found)
    return line


def _verdict_of(difference: Estimate) -> str:
    if difference.low > SAME_SCORE:
        return "better"
    if difference.high < -SAME_SCORE:
        return "worse"
    return "tie"


def _rank_of(line: Mapping[str, TableEntry]) -> float:
    entry = line["rank"]
    assert isinstance(entry, Cell)
    assert entry.value is not None
    return entry.value
