"""Entries of a suite, read into the members that they ask for.

Names are looked up, parameters checked and completed, grids unrolled.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import AbsentError, PluginError
from ..members import identity, registry
from ..members.registry import Kind, Member
from ..records import Spec
from ..words import did_you_mean, with_article
from .completion import (
    ENTRY_KEYS,
    Completed,
    Completion,
    Ground,
    RegisteredCompletion,
    StockCompletion,
)
from .grids import combinations, read_grids, suffix
from .ranges import MAX_RANGES, Range, Scale, Tunable, ranges_of, read_range
from .yaml_nodes import Issue, Mark, Node

GROUND = Ground()
# a range as it is written: its scale, and its ends or choices
Span = tuple[Scale, list[Node]]


class LocatedSpec(NamedTuple):
    """A member that a suite asks for, and where."""

    spec: Spec
    at: Mark


class Absent(NamedTuple):
    """An entry whose package is not installed: an issue where a run needs it, and only there."""

    kind: Kind
    use: str
    label: str
    issue: Issue

    def is_picked(self, names: Container[str] | None) -> bool:
        """Whether these names pick it; None picks all."""
        return names is None or self.label in names or self.use in names


class EntryResult(NamedTuple):
    """The members that an entry asks for, one for each combination of its grids, and its issues."""

    specs: list[LocatedSpec]
    issues: list[Issue]
    absent: Absent | None = None


class EntryReader:
    """Reads the entries of one kind, each entry and each set of parameters once."""

    def __init__(
        self,
        kind: Kind,
        known: dict[str, Member] | None = None,
        ground: Ground = GROUND,
    ) -> None:
        self.kind = kind
        if known is None:
            self.known = registry.members(kind)
        else:
            self.known = known
        self.ground = ground
        self._results: dict[Node, EntryResult] = {}
        self._completions: dict[str, Completion] = {}  # of members of the registry
        self._stock: dict[str, Completion] = {}
        self._sources: dict[str, str] = {}

    def on(self, ground: Ground) -> EntryReader:
        """A reader of the same entries that tries stock optimizers on this ground."""
        if ground == self.ground:
            return self
        other = EntryReader(self.kind, self.known, ground)
        # both readers share these, whatever their ground
        other._completions, other._sources = self._completions, self._sources
        return other

    def read(self, entry: Node) -> EntryResult:
        """The members that an entry asks for."""
        if entry not in self._results:
            self._results[entry] = _Entry(self, entry).read()
        return self._results[entry]

    def default(self, name: str) -> EntryResult:
        """The member of that name with its defaults."""
        return self.read(Node(Mark(1, 1), name, text=name))

    def completion(self, name: str) -> Completion:
        """The object that completes a member's parameters; PluginError where there is none."""
        if self.kind == "optimizer" and registry.is_stock(name):
            return self._stock.setdefault(name, StockCompletion(self.ground))
        if name not in self._completions:
            found = self.known.get(name)
            if found is None:
                found = registry.of_another_package(self.kind, name)
            if found is not None:
                self._completions[name] = RegisteredCompletion(found)
            elif registry.is_stock(name):
                message = "only optimizers can be named by their module"
                raise PluginError(f"unknown {self.kind} {name!r}: {message}")
            else:
                hint = did_you_mean(name, self.known, f"sfnbench list {self.kind}s")
                raise PluginError(f"unknown {self.kind} {name!r}{hint}")
        return self._completions[name]

    def source(self, use: str, params: dict[str, Any]) -> str:
        """The hash of the source that decides a member's numbers."""
        key = json.dumps([use, params])
        if key not in self._sources:
            self._sources[key] = identity.source_hash(self.kind, use, params)
        return self._sources[key]


def repeated(kind: Kind, located: Iterable[LocatedSpec]) -> Iterator[Issue]:
    """An issue for each label that is used twice, and each member that would run twice."""
    labels: set[str] = set()
    members: dict[str, str] = {}
    for spec, at in located:
        member = json.dumps([spec.use, spec.params], sort_keys=True)
        if spec.label in labels:
            message = (
                f"two {kind}s are called {spec.label!r}: give one of them a label"
            )
            yield Issue(at, message)
        elif member in members:
            first = members[member]
            message = (
                f"{spec.label!r} repeats {first!r}: same {kind}, same parameters"
            )
            yield Issue(at, message)
        labels.add(spec.label)
        members.setdefault(member, spec.label)


class _Entry:
    """One entry while it is read."""

    def __init__(self, reader: EntryReader, node: Node) -> None:
        self._reader = reader
        self._node = node
        self._kind = reader.kind
        self._issues: list[Issue] = []
        # places that have an issue already: what follows from it is no news
        self._wrong: set[Mark] = set()

    def read(self) -> EntryResult:
        use = self._use()
        specs: list[LocatedSpec] = []
        if use is not None:
            try:
                completion = self._reader.completion(use.content)
                specs = list(self._read(use, completion))
            except AbsentError as error:
                label = self._label() or use
                issue = Issue(use.at, str(error))
                absent = Absent(self._kind, use.content, label.content, issue)
                return EntryResult([], self._issues, absent)
            except PluginError as error:
                self._note(use.at, str(error))
        return EntryResult(specs, self._issues)

    def _read(self, use: Node, completion: Completion) -> Iterator[LocatedSpec]:
        label = self._label() or use
        given = Node(use.at, {})
        if self._node.is_mapping:
            given = self._node.without(*ENTRY_KEYS)
        given = self._opened(given, completion)
        grids = read_grids(given, self._issues.append)
        ranges = self._ranges(given.without(*grids))
        wrong = {
            name for name, values in (*grids.items(), *ranges.items()) if not values
        }
        wrong |= {name for name, node in given.content.items() if _is_misread(node)}
        for name in wrong:
            self._wrong |= given.content[name].marks()
        is_partial = bool(wrong) and isinstance(completion, StockCompletion)
        if is_partial:
            # A stock optimizer names the wrong parameter only in words, so a second complaint
            # could not be distinguished from the first
            self._wrong.add(use.at)
            given = given.without(*wrong)
        spans = {name: span for name, span in ranges.items() if span}
        for picked in combinations(
            {name: values for name, values in grids.items() if values}
        ):
            params = Node(use.at, {**given.content, **picked}, keys=given.keys)
            spec = self._spec(
                use, label.content + suffix(picked), completion, params, spans
            )
            if spec is not None and not is_partial:
                yield LocatedSpec(spec, label.at)

    def _opened(self, given: Node, completion: Completion) -> Node:
        """The parameters of an entry, and what the suite says of those that it leaves open."""
        ground = self._reader.ground
        opened = {}
        if ground.tunes_own:
            for name, written in completion.own_ranges.items():
                opened[name] = _node(given.at, written)
        if ground.indices and "index" in completion.names:
            if "index" in given.content:
                message = (
                    "the suite asks for an index already: leave one of them out"
                )
                self._note(given.keys["index"], message)
            [first, *more] = ground.indices
            asked = {"grid": ground.indices} if more else first
            opened["index"] = _node(given.at, asked)
        keys = {**dict.fromkeys(opened, given.at), **given.keys}
        return Node(given.at, {**opened, **given.content}, keys=keys)

    def _note(self, at: Mark, message: str) -> None:
        self._issues.append(Issue(at, message))

    # -- the parts of an entry ---------------------------------------------------------------------

    def _use(self) -> Node | None:
        entry = self._node
        if isinstance(entry.content, str):
            return entry
        if not entry.is_mapping:
            expected = f"{with_article(self._kind)} is a name or a mapping with the key 'use'"
            self._note(entry.at, f"{expected}, not {entry.described}")
            return None
        use = entry.child("use")
        if use is None:
            named = [key for key in entry.content if key in self._reader.known]
            hint = f": write {{use: {named[0]}, ...}}" if named else ""
            self._note(entry.at, f"missing key 'use'{hint}")
            return None
        if not isinstance(use.content, str):
            self._note(
                use.at,
                f"use must be the name of {with_article(self._kind)}, not {use.described}",
            )
            return None
        return use

    def _label(self) -> Node | None:
        label = self._node.child("label")
        if label is None:
            return None
        if (
            isinstance(label.content, str)
            and label.content.strip()
            and label.content.isprintable()
        ):
            return label
        hint = ""
        if isinstance(label.content, int | float):
            hint = " (put it in quotes)"
        self._note(
            label.at, f"label must be text on one line, not {label.described}{hint}"
        )
        return None

    def _ranges(self, params: Node) -> dict[str, Span | None]:
        """The ends or choices of each parameter that is a range, None where they are wrong."""
        found = ranges_of(params)
        if self._kind != "optimizer":
            for name in found:
                message = (
                    f"{name} is a range: only parameters of optimizers are tuned"
                )
                self._note(params.keys[name], message)
            return dict.fromkeys(found)
        if len(found) > MAX_RANGES:
            self._note(params.at, f"{len(found)} ranges, more than {MAX_RANGES}")
        note = self._issues.append
        return {name: read_range(name, node, note) for name, node in found.items()}

    # -- specs -------------------------------------------------------------------------------------

    def _complete(
        self, use: Node, completion: Completion, params: Node
    ) -> Completed | None:
        return completion.complete(use, params, self._note_new)

    def _note_new(self, issue: Issue) -> None:
        if issue.at not in self._wrong:
            self._issues.append(issue)

    def _spec(
        self,
        use: Node,
        label: str,
        completion: Completion,
        params: Node,
        spans: dict[str, Span],
    ) -> Spec | None:
        """The member with these parameters, at each end and choice of its ranges."""
        lows = {name: nodes[0] for name, (_, nodes) in spans.items()}
        plain = self._complete(use, completion, params.replaced(lows))
        if not spans:
            if plain is None:
                return None
            source = self._reader.source(use.content, plain.params)
            return Spec(use.content, label, plain.params, source).carrying(
                plain.instance
            )
        at_lows = params.replaced(lows)
        ranges, instances = self._tried_ranges(use, completion, at_lows, spans)
        if plain is None or len(ranges) < len(spans):
            return None
        middles = params.replaced({**lows, **_middles(params, ranges)})
        if self._complete(use, completion, middles) is None:
            return None
        written = {
            **plain.params,
            **{name: each.written for name, each in ranges.items()},
        }
        source = self._reader.source(use.content, written)
        return Tunable(use.content, label, written, source, ranges).carrying(
            *instances
        )

    def _tried_ranges(
        self, use: Node, completion: Completion, lows: Node, spans: dict[str, Span]
    ) -> tuple[dict[str, Range], list[Any]]:
        """The ranges whose values are all right, and members at each value that is.

        `lows` has every parameter at the low end of its range.
        """
        ranges: dict[str, Range] = {}
        instances = []
        for name, (scale, nodes) in sorted(spans.items()):
            each = [lows.replaced({name: node}) for node in nodes]
            ends = [self._complete(use, completion, end) for end in each]
            found = [end for end in ends if end is not None]
            instances += [end.instance for end in found]
            if any(name not in end.params for end in found):
                own = (
                    "write it in sfnbench's own words, such as clip, groups or base"
                )
                self._note(use.at, f"{name} cannot be a range here: {own}")
            elif len(found) == len(nodes):
                values = [end.params[name] for end in found]
                ranges[name] = _range(use, completion, lows, name, scale, values)
        return ranges, instances


def _node(at: Mark, value: Any) -> Node:
    """A value as if it were written there."""
    if isinstance(value, Mapping):
        inner = {name: _node(at, each) for name, each in value.items()}
        return Node(at, inner, keys=dict.fromkeys(inner, at))
    if isinstance(value, list | tuple):
        return Node(at, [_node(at, each) for each in value])
    return Node(at, value, text=f"{value}")


def _range(
    use: Node,
    completion: Completion,
    params: Node,
    name: str,
    scale: Scale,
    values: list[Any],
) -> Range:
    """A range of whole numbers where its ends are whole and no fraction between them is allowed."""
    if scale == "choice":
        return Range(scale, tuple(values))
    if all(type(value) is int for value in values):
        fraction = params.replaced({name: Node(params.at, values[0] + 0.5)})
        if completion.complete(use, fraction, lambda issue: None) is None:
            return Range(scale, tuple(values), is_whole=True)
    return Range(scale, tuple(map(float, values)))


def _middles(params: Node, ranges: dict[str, Range]) -> dict[str, Node]:
    """The middle of each range between two ends."""
    found = {}
    for name, each in ranges.items():
        if each.scale != "choice":
            value = each.value(0.5)
            found[name] = Node(params.content[name].at, value, text=f"{value}")
    return found


def _is_misread(node: Node) -> bool:
    return any(each.is_misread for each in node.nodes())
