"""A suite.

What is to be raced against what, read from YAML with everything that is wrong with it said at once.

>>> load_suite("toy").title
'Toy saddles'
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .. import experiments
from ..errors import PluginError, SuiteError
from ..experiments.critical_points.keys import Cube, OnPath
from ..experiments.keys import MOST_STEPS, ExperimentKeys
from ..experiments.race.keys import Budget, Metric, Prices, Spacing, Tune
from ..experiments.race.keys import Keys as Race
from ..members import registry
from ..members.registry import Kind, Member
from ..records import Spec
from ..words import did_you_mean
from .entries import Chooser
from .files import available, locate, located, read, title
from .ranges import SCALES, ranges_of
from .wording import Path as Keys
from .wording import Wording, describe
from .yaml_nodes import Issue, Mark, Node, parse

__all__ = ["Suite", "available", "load_suite", "title"]

TUNING_SEEDS = (
    10**9
)  # and above: no result is ever made with the seeds that parameters were chosen by


@dataclass(frozen=True)
class Suite:
    """A suite resolved.

    Names looked up, defaults filled in, grids unrolled, a profile laid over it.
    """

    name: str  # the file's stem
    path: Path
    title: str
    experiment: str
    seeds: tuple[int, ...]
    settings: dict[
        str, Any
    ]  # what the experiment wants: budget {steps, ...}, metrics [[name, every], ...]
    problems: tuple[Spec, ...]
    optimizers: tuple[Spec, ...]  # or finders, as `method` says; those with ranges are Tunable
    method: Kind = "optimizer"
    timeout_s: float = 3600.0  # of a whole run
    dtype: str = "float64"
    profile: str | None = None
    tune: Tune | None = None  # where there are ranges; its budget complete


def load_suite(path_or_name: str | Path, profile: str | None = None) -> Suite:
    """The suite of a file, or of a name looked up in ``./suites`` and then among those that travel with sfnbench.

    SuiteError has a line for every mistake of the file, unused profiles included:
    ``file:line:column: message``.
    """
    path = locate(path_or_name)
    root, unreadable = _mapping(path)
    issues: list[Issue] = []
    profiles = _profiles(root, issues)
    members = {kind: registry.members(kind) for kind in registry.KINDS}
    base = root.without("profiles")
    reading = _Reading(path, base, members)
    issues += reading.issues
    readings: dict[str | None, _Reading] = {None: reading}
    for name, body in profiles.items():
        readings[name] = over = _Reading(path, base.override(body), members)
        within = set(body.marks())
        issues += [
            _of_profile(issue, name, within) for issue in set(over.issues) - set(reading.issues)
        ]
    # Where the text itself is wrong, what its value then lacks is no news
    misread = {issue.at for issue in unreadable}
    issues = unreadable + [issue for issue in issues if issue.at not in misread]
    if issues:
        raise SuiteError("\n".join(located(path, issues)))
    if profile not in readings:
        hint = did_you_mean(str(profile), profiles) if profiles else " (it has none)"
        raise SuiteError(f"{path}: unknown profile {profile!r}{hint}")
    return readings[profile].suite(profile)


def _mapping(path: Path) -> tuple[Node, list[Issue]]:
    """The mapping that a suite's file holds, and what is wrong inside.

    SuiteError where it holds none.
    """
    root, issues = parse(read(path))
    if root is not None and root.is_mapping:
        return root, issues
    if root is not None:
        issues.append(
            Issue(root.at, f"a suite is a mapping with keys such as problems, not {describe(root)}")
        )
    raise SuiteError("\n".join(located(path, issues or [Issue(None, "is empty")])))


def _profiles(root: Node, issues: list[Issue]) -> dict[str, Node]:
    node = root.child("profiles")
    if node is None:
        return {}
    if not node.is_mapping:
        issues.append(
            Issue(node.at, f"profiles must be a mapping of names to changes, not {describe(node)}")
        )
        return {}
    for name, body in node.content.items():
        if not body.is_mapping:
            issues.append(
                Issue(body.at, f"profile {name!r} must be a mapping, not {describe(body)}")
            )
        elif "profiles" in body.content:
            issues.append(Issue(body.keys["profiles"], "a profile has no profiles of its own"))
    return {
        name: body.without("profiles") for name, body in node.content.items() if body.is_mapping
    }


def _of_profile(issue: Issue, name: str, within: set[Mark]) -> Issue:
    """The issue, with the profile's name unless its position says which profile it arises in."""
    return (
        issue if issue.at in within else Issue(issue.at, f"{issue.message} (in profile {name!r})")
    )


class _Reading:
    """One tree of keys, a suite's own or one with a profile laid over it, read into what a Suite holds."""

    def __init__(self, path: Path, tree: Node, members: Mapping[Kind, dict[str, Member]]) -> None:
        self._path, self._tree = path, tree
        self._choosers = {kind: Chooser(kind, members[kind]) for kind in registry.KINDS}
        self.issues: list[Issue] = []
        self._schema: type[ExperimentKeys] = Race
        self._keys = self._validate()
        self._problems = self._choose("problem")
        self._methods = self._choose(self._schema.method)
        self._paths = [
            self._choose_one("optimizer", path) for path in _items(self._tree.child("paths"))
        ]
        self._check_seeds()
        self._check_metrics()
        self._check_tune()

    def suite(self, profile: str | None) -> Suite:
        """The suite, if there were no issues."""
        assert self._keys is not None
        keys = self._keys
        settings = keys.settings()
        for path, chosen in zip(settings.get("paths", ()), self._paths, strict=True):
            path["optimizer"] = chosen and asdict(chosen)
        return Suite(
            name=self._path.stem,
            path=self._path,
            title=keys.title,
            experiment=keys.experiment,
            seeds=tuple(range(keys.seeds)) if isinstance(keys.seeds, int) else keys.seeds,
            settings=settings,
            problems=self._problems,
            optimizers=self._methods,
            method=keys.method,
            timeout_s=keys.timeout,
            dtype=keys.dtype,
            profile=profile,
            tune=_with_budget(keys.tune, keys.budget)
            if isinstance(keys, Race) and keys.tune
            else None,
        )

    def _validate(self) -> ExperimentKeys | None:
        """The keys outside of the entries."""
        experiment = self._tree.child("experiment")
        asked = experiment.content if experiment and isinstance(experiment.content, str) else "race"
        if experiment and asked not in experiments.names():
            hint = did_you_mean(asked, experiments.names())
            self.issues.append(Issue(experiment.at, f"unknown experiment {asked!r}{hint}"))
        if asked in experiments.names():
            self._schema = experiments.find(asked).keys.Keys
        schema = self._schema
        wording = Wording(self._tree, lambda path: _known_keys(schema, path))
        try:
            return schema.model_validate_json(json.dumps(self._tree.plain()))
        except ValidationError as error:
            self.issues += wording.issues(error)
            return None

    def _choose(self, kind: Kind) -> tuple[Spec, ...]:
        chooser = self._choosers[kind]
        entries = self._tree.child(f"{kind}s") or self._default(f"{kind}s")
        placed = [each for entry in _items(entries) for each in chooser.choose(entry)]
        chooser.expect_distinct(placed)
        self.issues += chooser.issues
        return tuple(each.chosen for each in placed)

    def _default(self, key: str) -> Node | None:
        """What the schema says where a suite is silent, as if it were written."""
        field = self._schema.model_fields[key]
        if field.is_required():
            return None
        return Node(self._tree.at, [Node(self._tree.at, name, text=name) for name in field.default])

    def _choose_one(self, kind: Kind, entry: Node) -> Spec | None:
        """The one member that an entry's key of that kind asks for."""
        asked = entry.child(kind)
        if asked is None:
            return None
        chooser = Chooser(kind, self._choosers[kind].known)
        placed = chooser.choose(asked)
        self.issues += chooser.issues
        if len(placed) > 1:
            self.issues.append(
                Issue(asked.at, f"one {kind} is wanted here, not the {len(placed)} of a grid")
            )
        return placed[0].chosen if placed else None

    def _check_seeds(self) -> None:
        seen: set[int] = set()
        for node in _items(self._tree.child("seeds")):
            if type(node.content) is int:  # True is none
                if node.content in seen:
                    self.issues.append(Issue(node.at, f"seed {node.content} is given twice"))
                seen.add(node.content)

    def _check_tune(self) -> None:
        """Ranges and `tune` need each other, and seeds for tuning are for nothing else."""
        tune = self._tree.child("tune")
        is_given = tune is not None and tune.content is not None
        entries = [entry for entry in _items(self._tree.child("optimizers")) if entry.is_mapping]
        ranges = [(name, entry.keys[name]) for entry in entries for name in ranges_of(entry)]
        if not is_given:
            message = "is a range: the key 'tune' has to say how to find its value"
            self.issues += [Issue(at, f"{name} {message}") for name, at in ranges]
        elif not ranges:
            scales = ", ".join(f"{{{scale}: [...]}}" for scale in SCALES)
            self.issues.append(
                Issue(
                    self._tree.keys["tune"], f"nothing to tune: no optimizer has a range ({scales})"
                )
            )
        for node in _items(self._tree.child("seeds")) if is_given else ():
            if type(node.content) is int and node.content >= TUNING_SEEDS:
                self.issues.append(
                    Issue(
                        node.at,
                        f"seeds from {TUNING_SEEDS} on are for tuning alone, not {node.text}",
                    )
                )

    def _check_metrics(self) -> None:
        known = self._measures()
        energy = self._tree.child("energy")
        if energy and known is not None and energy.content not in known:
            self.issues.append(
                Issue(
                    energy.at, f"unknown metric {energy.text!r}{did_you_mean(energy.text, known)}"
                )
            )
        seen: set[str] = set()
        for node in _items(self._tree.child("metrics")):
            use = node.child("use") or node
            if not isinstance(use.content, str):
                continue
            if known is not None and use.content not in known:
                self.issues.append(
                    Issue(
                        use.at, f"unknown metric {use.content!r}{did_you_mean(use.content, known)}"
                    )
                )
            if use.content in seen:
                self.issues.append(Issue(use.at, f"metric {use.content!r} is given twice"))
            seen.add(use.content)

    def _measures(self) -> set[str] | None:
        """Everything that can be measured on some problem of the suite.

        None where a problem is not to be had.
        """
        from ..metrics.measuring import METRICS  # imports torch

        names = set(METRICS)
        known = self._choosers["problem"].known
        entries = _items(self._tree.child("problems"))
        for entry in entries:
            use = (entry.child("use") or entry).content
            if not (isinstance(use, str) and use in known):
                return None
            try:
                names.update(registry.load(known[use]).measures)
            except PluginError:
                return None
        return names if entries else None


def _with_budget(tune: Tune, budget: Budget) -> Tune:
    """The same with the budget of a trial complete."""
    given = (
        {name: getattr(tune.budget, name) for name in tune.budget.model_fields_set}
        if tune.budget
        else {}
    )
    if given.get("cost") and not given.keys() & {"steps", "epochs"}:
        given |= {"steps": MOST_STEPS, "epochs": None}  # equal in cost, and not cut short by steps
    return tune.model_copy(update={"budget": budget.model_copy(update=given)})


def _known_keys(schema: type[BaseModel], path: Keys) -> list[str]:
    """The keys of the mapping at a path of a suite."""
    if not path:
        return [*schema.model_fields, "profiles"]
    schemas: dict[Keys, type[BaseModel]] = {
        ("budget",): Budget,
        ("tune",): Tune,
        ("prices",): Prices,
        ("tune", "budget"): Budget,
        ("cube",): Cube,
    }
    within = OnPath if path[0] == "paths" else Spacing if path[-1] == "every" else Metric
    return list(schemas.get(path, within).model_fields)


def _items(node: Node | None) -> list[Node]:
    return node.content if node and node.is_list else []
