"""Suites: read from YAML, with every mistake said at once.

>>> load_suite("toy").title
'Toy saddles'
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import experiments
from ..errors import AbsentError, PluginError, SuiteError
from ..experiments.keys import ExperimentKeys, MemberEntry, Tune
from ..members import registry
from ..members.identity import unchanging
from ..members.named import look_in
from ..members.registry import Kind, Member
from ..records import Spec
from ..words import KeyPath, counted, did_you_mean
from .checks import TUNING_SEEDS, repeated_seeds, wrong_metrics, wrong_tuning
from .completion import Ground
from .entries import Absent, EntryReader, repeated
from .families import FAMILY, spread
from .files import available, locate, located, read_suite, title
from .schema import PROFILES, known_keys, marked
from .validation import to_issues
from .yaml_nodes import Issue, Mark, Node, items, parse

__all__ = ["TUNING_SEEDS", "Suite", "available", "load_suite", "title"]

DEFAULT = "race"  # the experiment of a suite that names none
UNREAD_STEPS = 500  # of a budget with mistakes, so that schedules bring no others


@dataclass(frozen=True)
class Suite:
    """A suite: names looked up, defaults filled in, grids unrolled, a profile laid over it."""

    name: str  # the file's stem
    path: Path
    title: str
    experiment: str
    seeds: tuple[int, ...]
    # the experiment's own keys, such as budget and metrics of a race
    settings: dict[str, Any]
    problems: tuple[Spec, ...]
    # finders where `method` says so; those with ranges are Tunable
    optimizers: tuple[Spec, ...]
    method: Kind = "optimizer"
    timeout_s: float = 3600.0  # of a whole run
    dtype: str = "float64"
    profile: str | None = None
    n_steps: int | None = None  # of each run, where the budget says
    tune: Tune | None = None  # where there are ranges; its budget complete
    # optimizers that the settings name
    inner: tuple[Spec, ...] = field(default=(), repr=False)
    absent: tuple[Absent, ...] = ()  # entries that cannot run here
    indices: tuple[int, ...] = ()  # that finders of an index are asked for

    def __repr__(self) -> str:
        sizes = (len(self.problems), "problem"), (len(self.optimizers), self.method)
        counts = [
            *(counted(n, what) for n, what in sizes),
            counted(len(self.seeds), "seed"),
        ]
        return f"<Suite {self.name}: {self.experiment} of {', '.join(counts)}>"


def load_suite(path_or_name: str | Path, profile: str | None = None) -> Suite:
    """The suite of a file, or of a name: one of ``./suites``, or one that travels with sfnbench.

    SuiteError has a line for every mistake of the file, in profiles that are not asked for too:
    ``file:line:column: message``. That a package is not installed is no mistake of the file: its
    members are in `absent`, and `plan` refuses them.
    """
    path = locate(path_or_name)
    look_in(path.parent)  # a suite may name a class of a module beside it
    root, misread = _mapping(path)
    issues: list[Issue] = []
    profiles = _profiles(root, issues)
    entries = {kind: EntryReader(kind) for kind in registry.KINDS}
    base = root.without(PROFILES)
    with unchanging():
        reader = SuiteReader(path, base, entries)
    issues += reader.issues
    readers: dict[str | None, SuiteReader] = {None: reader}
    for name, body in profiles.items():
        with unchanging():
            readers[name] = SuiteReader(path, base.override(body), entries)
        new = set(readers[name].issues) - set(reader.issues)
        within = body.marks()
        issues += [_of_profile(issue, name, within) for issue in new]
    # Where the text itself is misread, an issue of its value says nothing new
    places = {issue.at for issue in misread}
    issues = misread + [issue for issue in issues if issue.at not in places]
    if issues:
        issues += [each.issue for each in reader.absent]
        raise SuiteError.of(located(path, issues))
    if profile not in readers:
        hint = " (it has none)"
        if profiles:
            hint = did_you_mean(str(profile), profiles)
        raise SuiteError(f"{path}: unknown profile {profile!r}{hint}")
    return readers[profile].suite(profile)


def _mapping(path: Path) -> tuple[Node, list[Issue]]:
    """The mapping that a suite's file holds, and the issues inside; SuiteError if it holds none."""
    root, issues = parse(read_suite(path))
    if root is not None and root.is_mapping:
        return root, issues
    if root is not None:
        message = (
            f"a suite is a mapping with keys such as problems, not {root.described}"
        )
        issues.append(Issue(root.at, message))
    raise SuiteError.of(located(path, issues or [Issue(None, "is empty")]))


def _profiles(root: Node, issues: list[Issue]) -> dict[str, Node]:
    node = root.child(PROFILES)
    if node is None:
        return {}
    if not node.is_mapping:
        message = (
            f"profiles must be a mapping of names to changes, not {node.described}"
        )
        issues.append(Issue(node.at, message))
        return {}
    found = {}
    for name, body in node.content.items():
        if not body.is_mapping:
            message = f"profile {name!r} must be a mapping, not {body.described}"
            issues.append(Issue(body.at, message))
            continue
        if PROFILES in body.content:
            issues.append(
                Issue(body.keys[PROFILES], "a profile has no profiles of its own")
            )
        found[name] = body.without(PROFILES)
    return found


def _of_profile(issue: Issue, name: str, within: set[Mark]) -> Issue:
    """The issue, with the profile's name unless its position shows which profile it is in."""
    if issue.at in within:
        return issue
    return Issue(issue.at, f"{issue.message} (in profile {name!r})")


class SuiteReader:
    """Reads one tree of keys: a suite's own, or that with a profile laid over it."""

    def __init__(
        self, path: Path, tree: Node, entries: Mapping[Kind, EntryReader]
    ) -> None:
        self._path = path
        self._tree = tree
        self._entries = entries
        self.issues: list[Issue] = []
        self.absent: list[Absent] = []
        self._schema = self._find_schema()
        self._keys = self._validate()
        self._problems = self._read_entries("problem")
        keys: Any = self._keys
        dtypes = getattr(keys, "dtypes", None) or (
            getattr(keys, "dtype", "float64"),
        )
        n_steps = self._keys.n_steps if self._keys else UNREAD_STEPS
        tunes_own = tree.follow(("tune", "ranges")).content == "own"
        indices = _indices(keys)
        ground = Ground(self._problems, tuple(dtypes), n_steps, tunes_own, indices)
        self._entries = {
            **entries,
            "optimizer": entries["optimizer"].on(ground),
            "finder": entries["finder"].on(Ground(indices=indices)),
        }
        self._methods = self._read_entries(self._schema.method)
        places = list(marked(self._schema, tree))
        self._inner: dict[KeyPath, Spec] = {}
        for marker, node, at in places:
            if isinstance(marker, MemberEntry):
                for spec in self._read_one(marker.kind, node):
                    self._inner[at] = spec
        self.issues += repeated_seeds(tree)
        self.issues += wrong_metrics(places, self._known_metrics())
        self.issues += wrong_tuning(tree, self._schema, self._methods)

    def suite(self, profile: str | None) -> Suite:
        """The suite; only where there are no issues."""
        # every experiment has seeds and a dtype, some as constants
        keys: Any = self._keys
        settings = keys.settings()
        for path, spec in self._inner.items():
            *most, last = path
            within = settings
            for part in most:
                within = within[part]
            within[last] = asdict(spec)
        return Suite(
            name=self._path.stem,
            path=self._path,
            title=keys.title,
            experiment=keys.experiment,
            seeds=tuple(range(keys.seeds))
            if isinstance(keys.seeds, int)
            else keys.seeds,
            settings=settings,
            problems=self._problems,
            optimizers=self._methods,
            method=keys.method,
            timeout_s=keys.timeout,
            dtype=keys.dtype,
            profile=profile,
            n_steps=keys.n_steps,
            tune=keys.tuning,
            inner=tuple(self._inner.values()),
            absent=tuple(self.absent),
            indices=_indices(keys),
        )

    def _find_schema(self) -> type[ExperimentKeys]:
        node = self._tree.child("experiment")
        if node and isinstance(node.content, str):
            name = node.content
        else:
            name = DEFAULT
        if name not in experiments.names():
            hint = did_you_mean(name, experiments.names())
            self.issues.append(
                Issue(
                    node.at if node else None, f"unknown experiment {name!r}{hint}"
                )
            )
            name = DEFAULT
        schema: type[ExperimentKeys] = experiments.find(name).keys.Keys
        return schema

    def _validate(self) -> ExperimentKeys | None:
        """All keys; their entries are read apart."""
        try:
            return self._schema.model_validate_json(json.dumps(self._tree.plain()))
        except ValidationError as error:
            schema = self._schema
            self.issues += to_issues(
                error, self._tree, lambda path: known_keys(schema, path)
            )
            return None

    def _read_entries(self, kind: Kind) -> tuple[Spec, ...]:
        located = []
        given = items(self._tree.child(f"{kind}s")) or self._default_entries(kind)
        for entry in [each for one in given for each in self._spread(kind, one)]:
            result = self._entries[kind].read(entry)
            located += result.specs
            self.issues += result.issues
            if result.absent:
                self.absent.append(result.absent)
        self.issues += repeated(kind, located)
        return tuple(each.spec for each in located)

    def _spread(self, kind: Kind, entry: Node) -> list[Node]:
        try:
            return spread(kind, entry, self.issues.append)
        except AbsentError as error:
            issue = Issue(entry.at, str(error))
            self.absent.append(Absent(kind, FAMILY, FAMILY, issue))
            return []

    def _default_entries(self, kind: Kind) -> list[Node]:
        """The names that the experiment has as its default, as if they were written."""
        given = self._schema.model_fields[f"{kind}s"]
        if given.is_required() or self._tree.child(f"{kind}s") is not None:
            return []
        return [Node(self._tree.at, name, text=name) for name in given.default]

    def _read_one(self, kind: Kind, entry: Node) -> Iterator[Spec]:
        """The one member that an entry asks for."""
        result = self._entries[kind].read(entry)
        self.issues += result.issues
        if result.absent:
            self.issues.append(result.absent.issue)
        if len(result.specs) > 1:
            message = (
                f"one {kind} is wanted here, not the {len(result.specs)} of a grid"
            )
            self.issues.append(Issue(entry.at, message))
        for spec, _ in result.specs[:1]:
            if spec.is_open:
                message = "a range cannot be tuned here: give a value"
                self.issues.append(Issue(entry.at, message))
            yield spec

    def _known_metrics(self) -> dict[str, Member | None] | None:
        """Every metric, and as None every measure of some problem of the suite.

        None in all where a problem is not known.
        """
        found: dict[str, Member | None] = {**registry.members("metric")}
        known = self._entries["problem"].known
        problems = items(self._tree.child("problems"))
        for entry in problems:
            use = (entry.child("use") or entry).content
            if not (isinstance(use, str) and use in known):
                return None
            try:
                found |= dict.fromkeys(registry.load(known[use]).measures)
            except PluginError:
                return None
        return found if problems else None


def _indices(keys: Any) -> tuple[int, ...]:
    """What the key `index` asks for; nothing where it is `any`, or is not there."""
    asked = getattr(keys, "index", "any")
    if asked == "any":
        return ()
    return asked if isinstance(asked, tuple) else (asked,)
