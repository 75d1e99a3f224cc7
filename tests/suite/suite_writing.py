"""Suites written for a test, with the members of ``plugins`` to name."""

import itertools
import textwrap
from pathlib import Path

import pytest

from sfnbench.errors import SuiteError
from sfnbench.members import plugins
from sfnbench.suite.reading import Suite, load_suite

PLUGINS = Path(__file__).parent / "plugins"


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with the plugins at hand."""
    monkeypatch.setattr(plugins, "_added", [PLUGINS])
    monkeypatch.chdir(folder)


def load(text: str, profile: str | None = None) -> Suite:
    Path("s.yaml").write_text(textwrap.dedent(text))
    return load_suite("s.yaml", profile)


def race(
    optimizers: str = "[suite_probe]",
    problems: str = "[suite_bowl]",
    more: str = "",
) -> str:
    return f"problems: {problems}\noptimizers: {optimizers}\n{more}"


def expect(marked: str, *messages: str) -> None:
    """The errors of a suite are these, one at each § of its text, in order."""
    marked = textwrap.dedent(marked)
    *before, _ = itertools.accumulate(marked.split("§"))
    places = [
        (text.count("\n") + 1, len(text) - text.rfind("\n")) for text in before
    ]
    with pytest.raises(SuiteError) as caught:
        load(marked.replace("§", ""))
    lines = [
        f"s.yaml:{line}:{column}: {message}"
        for (line, column), message in zip(places, messages, strict=True)
    ]
    assert str(caught.value).split("\n") == lines
