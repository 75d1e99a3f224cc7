"""Where suites lie, by name or by path, and the text of their files."""

from __future__ import annotations

import codecs
from pathlib import Path

import yaml

from ..errors import SuiteError
from ..members import registry
from ..members.discovery import entries
from ..members.imports import module_file
from ..words import did_you_mean
from .yaml_nodes import MAX_DEPTH, Issue, parse, position

MAX_BYTES = 200_000  # a suite is a screen; anything of this size is another file, given by mistake
SUFFIXES = (".yaml", ".yml")


def available() -> dict[str, Path]:
    """Every suite that can be run by its name.

    Those of ``./suites``, then those that travel with sfnbench, then those that lie beside a
    package which an entry point ``sfnbench.suites`` names.
    """
    found: dict[str, Path] = {}
    installed = [module_file(entry.value) for entry in entries("suites")]
    folders = [Path("suites"), registry.shipped("suites")]
    for folder in (*folders, *(init.parent for init in installed if init)):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def title(path: Path) -> str:
    """The title that a suite gives itself, or what keeps its file from being read.

    Nothing else of it is looked at.
    """
    try:
        read = read_suite(path)
        quick = text_at(read, "title")
        if quick is not None:
            return quick
        root, issues = parse(read)
    except SuiteError as error:
        return f"broken: {error}"
    if root is None and issues:
        return f"broken: {located(path, issues)[0]}"
    given = root.child("title") if root else None
    return given.text if given else ""


def text_at(text: str, key: str) -> str | None:
    """The text of a key at the top of a YAML mapping, by libyaml: ten times as fast as `parse`.

    None where libyaml is not there, or does not find it so simply.
    """
    if not yaml.__with_libyaml__:
        return None
    found: list[str] = []
    depth, name = 0, None  # `name` is the key whose value comes next
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if not _is_simple(event, depth, name):
                return None
            if isinstance(event, yaml.CollectionStartEvent):
                depth = depth + 1
                name = None
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif depth == 1 and isinstance(event, yaml.ScalarEvent):
                if name == key:
                    found.append(event.value)
                name = event.value if name is None else None
    except (yaml.YAMLError, ValueError, OverflowError):
        return None
    return found[0] if len(found) == 1 else None


def _is_simple(event: yaml.Event, depth: int, name: str | None) -> bool:
    """Whether an event keeps to a mapping from text, without aliases at the top."""
    if depth > MAX_DEPTH:
        return False
    if depth == 0:
        return not isinstance(event, yaml.SequenceStartEvent | yaml.ScalarEvent)
    is_node = isinstance(event, yaml.CollectionStartEvent | yaml.AliasEvent)
    if depth > 1 or not is_node:
        return True
    return name is not None and not isinstance(event, yaml.AliasEvent)


def locate(path_or_name: str | Path) -> Path:
    """The file of a suite given as a path or as a name; SuiteError where there is none."""
    path = Path(path_or_name)
    known = available()
    is_path = (
        isinstance(path_or_name, Path)
        or path.suffix in SUFFIXES
        or len(path.parts) > 1
    )
    if not is_path and str(path_or_name) in known:
        return known[str(path_or_name)]
    if path.exists() and (is_path or path.is_file()):
        return path
    if is_path:
        raise SuiteError(f"{path}: no such file{did_you_mean(path.stem, known)}")
    raise SuiteError(
        f"unknown suite {str(path_or_name)!r}{did_you_mean(str(path_or_name), known)}"
    )


def read_suite(path: Path) -> str:
    """The text of a suite's file; SuiteError where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SuiteError(f"{path}: larger than {MAX_BYTES} bytes, no suite")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        at = position(before, len(before))
        raise SuiteError(f"{path}:{at.line}:{at.column}: not UTF-8") from None


def located(path: Path, issues: list[Issue]) -> list[str]:
    """The issues as lines ``file:line:column: message``, in the order of the file, each once."""
    lines = []
    for at, message in sorted(
        set(issues), key=lambda issue: (issue.at or (0, 0), issue.message)
    ):
        lines.append(
            f"{path}:{at.line}:{at.column}: {message}"
            if at
            else f"{path}: {message}"
        )
    return lines
