"""From an entry of a suite to the members it asks for.

Looked up, parameters checked and completed, grids unrolled.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ..errors import PluginError, SfnbenchError
from ..members import identity, registry
from ..members.registry import Kind, Member
from ..records import Spec
from ..words import did_you_mean
from .ranges import MAX_RANGES, Range, Scale, ranges_of, read_range
from .wording import Wording, describe
from .yaml_nodes import Issue, Mark, Node

MAX_COMBINATIONS = 1000
_OWN_KEYS = ("use", "label")  # of an entry; everything else in it is a parameter
_HINT = " (several values to try are written {grid: [first, second]})"

# What a member's __post_init__ may raise on values it did not foresee; ValueError is pydantic's
# already
_UNFORESEEN = (
    SfnbenchError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
)


@dataclass(frozen=True)
class Tunable(Spec):
    """An optimizer some of whose parameters are still ranges.

    `params` has those as they are written.
    """

    ranges: dict[
        str, Range
    ]  # by parameter, in alphabetical order, which is that of the sampler's dimensions

    @property
    def is_open(self) -> bool:
        """Its ranges wait for values."""
        return True

    def settled(self, values: Mapping[str, Any]) -> Spec:
        """The optimizer with a value for each range."""
        return Spec(self.use, self.label, {**self.params, **values}, self.source)

    @property
    def extremes(self) -> tuple[Spec, ...]:
        """The optimizer at each end and choice of a range, the other ranges at their first."""
        first = {name: each.values[0] for name, each in self.ranges.items()}
        found = [
            {**first, name: value} for name, each in self.ranges.items() for value in each.values
        ]
        return tuple(map(self.settled, found))


class Placed(NamedTuple):
    """A choice and where it was made."""

    chosen: Spec
    at: Mark


@dataclass(frozen=True)
class Target:
    """What an entry's name stands for.

    Its parameters completed, or None with the issues noted.
    """

    is_stock: bool
    complete: Callable[[Node], dict[str, Any] | None]


Span = tuple[Scale, list[Node]]  # a range as it was written: its ends or choices


@dataclass
class Chooser:
    """Makes the choices of one kind that a suite asks for, and notes everything that is wrong with them."""

    kind: Kind
    known: dict[str, Member]
    issues: list[Issue] = field(default_factory=list)

    @classmethod
    def of(cls, kind: Kind) -> Chooser:
        """A chooser among all members of a kind."""
        return cls(kind, registry.members(kind))

    def choose(self, entry: Node) -> list[Placed]:
        """What an entry asks for: one member, or one for each combination of its grids."""
        use = self._use(entry)
        target = self._target(use) if use else None
        if not (use and target):
            return []
        label = self._label(entry) or use
        given = entry.without(*_OWN_KEYS) if entry.is_mapping else Node(entry.at, {})
        grids = self._grids(given)
        ranges = self._ranges(given.without(*grids))
        wrong = [name for name, values in (*grids.items(), *ranges.items()) if not values]
        spoiled = {given.content[name].at for name in wrong}
        if (
            target.is_stock
        ):  # a stock optimizer's complaint about what is wrong would stand elsewhere
            given = given.without(*wrong)
        grids = {name: values for name, values in grids.items() if values}
        spans = {name: span for name, span in ranges.items() if span}
        found = []
        for values in itertools.product(*grids.values()):
            picked = dict(zip(grids, values, strict=True))
            params = _with(Node(use.at, given.content, keys=given.keys), picked)
            suffix = "".join(f" {name}={_written(node)}" for name, node in picked.items())
            made = self._made(target, use.content, label.content + suffix, params, spans)
            if made is not None:
                found.append(Placed(made, label.at))
        # What is spoiled was left where it stood, for a member's other parameters to be checked all
        # the same
        self.issues = [issue for issue in self.issues if issue.at not in spoiled]
        return found

    def default(self, name: str) -> Spec | None:
        """The member of that name with its defaults."""
        found = self.choose(Node(Mark(1, 1), name, text=name))
        return found[0].chosen if found else None

    def expect_distinct(self, placed: Iterable[Placed]) -> None:
        """Note choices that share a label, and those that would compute the same numbers twice."""
        labels: set[str] = set()
        members: dict[str, str] = {}
        for chosen, at in placed:
            member = json.dumps([chosen.use, chosen.params], sort_keys=True)
            if chosen.label in labels:
                self._note(
                    at, f"two {self.kind}s are called {chosen.label!r}: give one of them a label"
                )
            elif member in members:
                self._note(
                    at,
                    f"{chosen.label!r} is {members[member]!r} again: same {self.kind}, same parameters",
                )
            labels.add(chosen.label)
            members.setdefault(member, chosen.label)

    def _note(self, at: Mark, message: str) -> None:
        self.issues.append(Issue(at, message))

    # -- an entry's parts --------------------------------------------------------------------------

    def _use(self, entry: Node) -> Node | None:
        if isinstance(entry.content, str):
            return entry
        if not entry.is_mapping:
            self._note(
                entry.at,
                f"{_a(self.kind)} is a name or a mapping with the key 'use', not {describe(entry)}",
            )
            return None
        use = entry.child("use")
        if use is None:
            named = [key for key in entry.content if key in self.known]
            self._note(
                entry.at,
                "missing key 'use'" + (f": write {{use: {named[0]}, ...}}" if named else ""),
            )
        elif not isinstance(use.content, str):
            self._note(use.at, f"use must be the name of {_a(self.kind)}, not {describe(use)}")
        else:
            return use
        return None

    def _label(self, entry: Node) -> Node | None:
        label = entry.child("label")
        if label is None:
            return None
        if isinstance(label.content, str) and label.content.strip() and label.content.isprintable():
            return label
        hint = " (put it in quotes)" if isinstance(label.content, int | float) else ""
        self._note(label.at, f"label must be text on one line, not {describe(label)}{hint}")
        return None

    def _grids(self, params: Node) -> dict[str, list[Node]]:
        """The values of each gridded parameter; what is wrong with a grid is noted."""
        grids: dict[str, list[Node]] = {}
        for name, node in params.content.items():
            if node.is_mapping and "grid" in node.content:
                grids[name] = self._grid(name, node)
        n_combinations = math.prod(max(len(values), 1) for values in grids.values())
        if n_combinations > MAX_COMBINATIONS:
            self._note(
                params.at,
                f"these grids have {n_combinations} combinations, more than {MAX_COMBINATIONS}",
            )
            return {name: values[:1] for name, values in grids.items()}
        return grids

    def _grid(self, name: str, node: Node) -> list[Node]:
        values = node.content["grid"]
        for key in node.content:
            if key != "grid":
                self._note(node.keys[key], f"unknown key {key!r} beside grid")
        if not values.is_list:
            self._note(values.at, f"grid must be a list, not {describe(values)}")
            return []
        if not values.content:
            self._note(values.at, f"grid is empty: {name} needs at least one value")
        distinct: dict[str, Node] = {}
        for value in values.content:
            if distinct.setdefault(_identity(value), value) is not value:
                self._note(value.at, f"the grid of {name} has {_written(value)} twice")
        return list(distinct.values())

    def _ranges(self, params: Node) -> dict[str, Span | None]:
        """The span of each parameter that is a range, None where that is wrong, which is noted."""
        found = ranges_of(params)
        if self.kind != "optimizer":
            for name in found:
                self._note(
                    params.keys[name], f"{name} is a range: only parameters of optimizers are tuned"
                )
            return dict.fromkeys(found)
        if len(found) > MAX_RANGES:
            self._note(params.at, f"{len(found)} ranges, more than {MAX_RANGES}")
        return {name: read_range(name, node, self.issues.append) for name, node in found.items()}

    def _made(
        self, target: Target, use: str, label: str, params: Node, spans: dict[str, Span]
    ) -> Spec | None:
        """The choice with these parameters, every end and choice of its ranges checked.

        None with the issues noted.
        """
        lows = {name: nodes[0] for name, (_, nodes) in spans.items()}
        plain = target.complete(_with(params, lows))
        if not spans:
            if plain is None:
                return None
            return Spec(use, label, plain, identity.source_hash(self.kind, use, plain))
        ranges = {}
        for name, (scale, nodes) in sorted(spans.items()):
            ends = [target.complete(_with(params, {**lows, name: node})) for node in nodes]
            values = [end[name] for end in ends if end is not None]
            if len(values) == len(nodes):
                ranges[name] = self._range(target, _with(params, lows), name, scale, values)
        if plain is None or len(ranges) < len(spans):
            return None
        middles = {
            name: Node(params.content[name].at, each.value(0.5), text=f"{each.value(0.5)}")
            for name, each in ranges.items()
            if each.scale != "choice"
        }
        if target.complete(_with(params, {**lows, **middles})) is None:
            return None
        written = {**plain, **{name: each.written for name, each in ranges.items()}}
        source = identity.source_hash(self.kind, use, written)
        return Tunable(use, label, written, source, ranges)

    def _range(
        self, target: Target, params: Node, name: str, scale: Scale, values: list[Any]
    ) -> Range:
        """A range of whole numbers where its ends are whole and nothing between them will do."""
        if scale == "choice":
            return Range(scale, tuple(values))
        is_whole = all(type(value) is int for value in values)
        if is_whole:
            n_before = len(self.issues)
            fraction = Node(params.at, values[0] + 0.5)
            is_whole = target.complete(_with(params, {name: fraction})) is None
            del self.issues[n_before:]  # it was a question
        return Range(scale, tuple(values if is_whole else map(float, values)), is_whole)

    # -- members and their parameters --------------------------------------------------------------

    def _target(self, use: Node) -> Target | None:
        name = use.content
        if self.kind == "optimizer" and registry.is_stock(name):
            return Target(True, functools.partial(self._complete_stock, use))
        if name not in self.known:
            hint = (
                ": only optimizers can be named by their module"
                if registry.is_stock(name)
                else did_you_mean(name, self.known)
            )
            self._note(use.at, f"unknown {self.kind} {name!r}{hint}")
            return None
        try:
            member = self.known[name]
            cls = registry.load(member)
            adapter = _adapter(cls, member)
        except PluginError as error:
            self._note(use.at, str(error))
            return None
        return Target(False, functools.partial(self._complete, use, cls, adapter))

    def _complete(
        self, use: Node, cls: type, adapter: TypeAdapter[Any], params: Node
    ) -> dict[str, Any] | None:
        names = [each.name for each in dataclasses.fields(cls) if each.init]
        wording = Wording(
            params, lambda path: () if path else [*names, *_OWN_KEYS], f" of {use.content}", _HINT
        )
        try:
            # By way of JSON, whose strict reading takes a list for a tuple and a whole number for a
            # float, and no more
            made = adapter.validate_json(json.dumps(params.plain()), strict=True)
            values = adapter.dump_python(made, mode="json", warnings=False)
        except ValidationError as error:
            self.issues += wording.issues(error)
            return None
        except (*_UNFORESEEN, PydanticSerializationError) as error:
            reason = (
                str(error)
                if isinstance(error, SfnbenchError)
                else f"{type(error).__name__}: {error}"
            )
            self._note(use.at, f"{use.content} cannot be made: {reason}")
            return None
        return {name: values[name] for name in names}

    def _complete_stock(self, use: Node, params: Node) -> dict[str, Any] | None:
        from ..trajectories.stock import check  # imports torch

        given = params.plain()
        issues = check(use.content, given)
        for name, message in issues:
            value = params.child(name) if name else None
            is_key = name in params.keys and message.startswith("unknown")
            self._note(
                params.keys[name] if name and is_key else value.at if value else use.at, message
            )
        return None if issues else given


def _with(params: Node, values: Mapping[str, Node]) -> Node:
    return Node(params.at, {**params.content, **values}, keys=params.keys)


def _adapter(cls: type, member: Member) -> TypeAdapter[Any]:
    """Pydantic's reader for a member's fields.

    PluginError where the class is not fit to be made from a suite.
    """
    if "__dataclass_fields__" not in vars(cls):  # those of a base do not count
        raise PluginError(f"{member.path}: {cls.__name__} is not a dataclass")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(f"{member.path}: {cls.__name__} does not define {missing}")
    try:
        return TypeAdapter(cls)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = str(error.message).partition("\n")[0]
        raise PluginError(
            f"{member.path}: the fields of {cls.__name__} cannot be read: {reason}"
        ) from error


def _identity(node: Node) -> str:
    """Equal for values that are the same number, however written."""
    is_number = isinstance(node.content, int | float) and not isinstance(node.content, bool)
    return repr(float(node.content)) if is_number else json.dumps(node.plain())


def _written(node: Node) -> str:
    is_word = isinstance(node.content, str) and node.content.isprintable()
    return str(node.content) if is_word else json.dumps(node.plain())


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind == "optimizer" else f"a {kind}"
