"""YAML with positions: every value knows the line and column it was written at.

The traps of YAML 1.1 are closed: ``1e-3`` is a number; ``on``, ``y``, ``1:30``, ``012`` and
``2014-06-10`` are text; a key given twice is an error. Aliases and merge keys work, up to a bound
on the values that they expand to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

MAX_DEPTH = 40
MAX_VALUES = 20_000  # with aliases expanded: a few lines of them can ask for more than memory holds
MAX_INT = 2**63
HALF = "half of a surrogate pair is not a character"
_HALF = re.compile("[\ud800-\udfff]")

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_PATTERNS = {  # the core schema of YAML 1.2, without its octal and hexadecimal numbers
    _TAG + "null": re.compile(r"~|null|Null|NULL|"),
    _TAG + "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    _TAG + "int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    _TAG + "float": re.compile(
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    _MERGE: re.compile(r"<<"),
}


class Mark(NamedTuple):
    """A position in a file, counted from 1."""

    line: int
    column: int


class Issue(NamedTuple):
    """Something wrong, and where; without a position it is about the file as a whole."""

    at: Mark | None
    message: str


Note = Callable[[Issue], None]  # takes down what is wrong


@dataclass(frozen=True, eq=False)
class Node:
    """A value and where it was written: a scalar, a list of nodes or a mapping to nodes."""

    at: Mark
    content: Any
    text: str = ""  # a scalar as it was written
    # where a mapping's keys were written
    keys: dict[str, Mark] = field(default_factory=dict)
    # a scalar with an issue of its own: what follows from it is no news
    is_misread: bool = False

    @property
    def is_mapping(self) -> bool:
        """Whether its content is a dict of nodes."""
        return isinstance(self.content, dict)

    @property
    def is_list(self) -> bool:
        """Whether its content is a list of nodes."""
        return isinstance(self.content, list)

    def child(self, part: str | int) -> Node | None:
        """The value under a key or at a place of a list; None where there is none."""
        if isinstance(part, str):
            if self.is_mapping:
                return self.content.get(part)
            return None
        if self.is_list and 0 <= part < len(self.content):
            return self.content[part]
        return None

    def follow(self, path: Iterable[str | int]) -> Node:
        """The value at a path of keys and places, or the last one on the way to it."""
        node = self
        for part in path:
            below = node.child(part)
            if below is None:
                break
            node = below
        return node

    @property
    def children(self) -> Iterable[Node]:
        """The values of a mapping or a list."""
        if self.is_mapping:
            return tuple(self.content.values())
        return tuple(self.content) if self.is_list else ()

    @property
    def described(self) -> str:
        """The value as its author will recognise it."""
        if self.is_mapping:
            return "a mapping"
        if self.is_list:
            return "a list"
        if self.content is None:
            return self.text or "nothing"
        if isinstance(self.content, str):
            return repr(self.content[:60])
        return self.text

    def plain(self) -> Any:
        """The value without its positions."""
        if self.is_mapping:
            return {key: node.plain() for key, node in self.content.items()}
        if self.is_list:
            return [node.plain() for node in self.content]
        return self.content

    def nodes(self) -> Iterator[Node]:
        """The node and all nodes within."""
        yield self
        for node in self.children:
            yield from node.nodes()

    def marks(self) -> set[Mark]:
        """Every position within, those of keys too."""
        found = set()
        for node in self.nodes():
            found |= {node.at, *node.keys.values()}
        return found

    def without(self, *keys: str) -> Node:
        """The mapping without some of its keys."""
        kept = {key: node for key, node in self.content.items() if key not in keys}
        return Node(self.at, kept, keys=self.keys)

    def replaced(self, values: Mapping[str, Node]) -> Node:
        """The mapping with other values for some of its keys."""
        return Node(self.at, {**self.content, **values}, keys=self.keys)

    def override(self, patch: Node) -> Node:
        """The value with a patch laid over it.

        Mappings are merged key by key; the patch replaces everything else.
        """
        if not (self.is_mapping and patch.is_mapping):
            return patch
        merged = dict(self.content)
        for key, node in patch.content.items():
            merged[key] = merged[key].override(node) if key in merged else node
        return Node(self.at, merged, keys={**self.keys, **patch.keys})


def items(node: Node | None) -> list[Node]:
    """The values of a list; none where there is no list."""
    return node.content if node and node.is_list else []


def parse(text: str) -> tuple[Node | None, list[Issue]]:
    """The one document of a YAML text, and everything that is wrong with it.

    None where the text has no document, or is no YAML.
    """
    issues: list[Issue] = []
    at: Mark | None
    loader = None
    try:
        raw = _by_libyaml(text)
        if raw is None:
            loader = _Loader(text)
            raw = loader.get_single_node()
        if raw is None:
            return None, issues
        return _Conversion(issues).node(raw, 0), issues
    except yaml.reader.ReaderError as error:
        at = position(text, error.position)
        message = f"character #x{error.character:04x} has no place in YAML"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = _mark(mark) if mark else None
        message = _syntax(error)
    except (ValueError, OverflowError):
        # PyYAML does not catch what chr() raises for an escape such as "\\Uffffffff"
        at = _mark(loader.get_mark()) if loader else None
        message = "not valid YAML: an escape or a version number out of range"
    return None, [*issues, Issue(at, message)]


def position(text: str, offset: int) -> Mark:
    """Line and column of the character at an offset."""
    return Mark(
        text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    )


class _Loader(yaml.SafeLoader):
    """PyYAML up to the node tree, with the resolution of plain scalars replaced."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's stubs have it as an instance's
        None: [
            (tag, re.compile(rf"(?:{pattern.pattern})\Z"))
            for tag, pattern in _PATTERNS.items()
        ]
    }
    _depth = 0

    def compose_node(
        self, parent: yaml.Node | None, index: Any
    ) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _too_deep(self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _by_libyaml(text: str) -> yaml.Node | None:
    """The same tree in a tenth of the time; None where there may be a fault: PyYAML says which."""
    if not (yaml.__with_libyaml__ and text.isascii()):
        return None
    depth = 0
    with suppress(yaml.YAMLError, ValueError, OverflowError):
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth >= MAX_DEPTH:
                return None
        loader = yaml.CSafeLoader(text)
        loader.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
        node: yaml.Node | None = loader.get_single_node()
        return node
    return None


@dataclass
class _Conversion:
    """One walk from PyYAML's tree of nodes to ours, which notes mistakes and counts values."""

    issues: list[Issue]
    n_values: int = 0

    def node(self, raw: yaml.Node, depth: int) -> Node:
        self.n_values += 1
        if self.n_values > MAX_VALUES:
            message = f"more than {MAX_VALUES} values with aliases"
            raise yaml.MarkedYAMLError(None, None, message, raw.start_mark)
        if depth > MAX_DEPTH:
            raise _too_deep(raw.start_mark)
        if isinstance(raw, yaml.MappingNode):
            self._expect_tag(raw, "map")
            return self._mapping(raw, depth)
        if isinstance(raw, yaml.SequenceNode):
            self._expect_tag(raw, "seq")
            entries = [self.node(item, depth + 1) for item in raw.value]
            return Node(_mark(raw.start_mark), entries)
        n = len(self.issues)
        value = self._scalar(raw)
        at, is_misread = _mark(raw.start_mark), len(self.issues) > n
        return Node(at, value, text=raw.value, is_misread=is_misread)

    def _mapping(self, raw: yaml.MappingNode, depth: int) -> Node:
        content: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        merged: list[Node] = []
        for key, value in raw.value:
            at = _mark(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.issues.append(Issue(at, "a key must be text"))
            elif _HALF.search(key.value):
                self.issues.append(Issue(at, HALF))
            elif key.value in keys:
                first = keys[key.value].line
                message = f"duplicate key {key.value!r} (first on line {first})"
                self.issues.append(Issue(at, message))
            elif key.tag == _MERGE:
                keys[key.value] = at
                merged = self._merged(value, depth)
            else:
                keys[key.value] = at
                content[key.value] = self.node(value, depth + 1)
        for other in merged:
            content = {**other.content, **content}
            keys = {**other.keys, **keys}
        return Node(_mark(raw.start_mark), content, keys=keys)

    def _merged(self, raw: yaml.Node, depth: int) -> list[Node]:
        """The mappings that a merge key brings in, the strongest first."""
        given = self.node(raw, depth + 1)
        nodes = given.content if given.is_list else [given]
        for node in nodes:
            if not node.is_mapping:
                message = "<< must be given a mapping or a list of mappings"
                self.issues.append(Issue(node.at, message))
        return [node for node in nodes if node.is_mapping]

    def _scalar(self, raw: yaml.Node) -> Any:
        tag = raw.tag
        text = raw.value
        at = _mark(raw.start_mark)
        if _HALF.search(text):
            self.issues.append(Issue(at, HALF))
        # `<<` is a merge key only where it is a key
        if tag in (_TAG + "str", _MERGE):
            return text
        if tag not in _PATTERNS:
            self.issues.append(Issue(at, f"unknown tag {_short_tag(tag)}"))
            return text
        if not _PATTERNS[tag].fullmatch(text):
            message = f"{text!r} is not of the type {_short_tag(tag)}"
            self.issues.append(Issue(at, message))
            return text
        if tag in (_TAG + "null", _TAG + "bool"):
            if tag == _TAG + "bool":
                return text.lower() == "true"
            return None
        number = _number(tag, text)
        if number is None:
            message = f"a number must be finite and within 64 bits, not {text[:40]}"
            self.issues.append(Issue(at, message))
        return number

    def _expect_tag(self, raw: yaml.Node, name: str) -> None:
        if raw.tag != _TAG + name:
            message = f"unknown tag {_short_tag(raw.tag)}"
            self.issues.append(Issue(_mark(raw.start_mark), message))


def _number(tag: str, text: str) -> int | float | None:
    if tag == _TAG + "int":
        if len(text) <= 20 and abs(int(text)) < MAX_INT:
            return int(text)
        return None
    if text[-1].isalpha():  # .inf and .nan
        return None
    return float(text) if math.isfinite(float(text)) else None


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _short_tag(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _too_deep(mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(
        None, None, f"nested more than {MAX_DEPTH} deep", mark
    )


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = ", ".join(filter(None, (error.context, error.problem)))
    tab = r"'\t'" in problem
    return (
        f"not valid YAML: {'a tab cannot indent, use spaces' if tab else problem}"
    )
