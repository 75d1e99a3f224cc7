"""Docstrings as Markdown: they are written as plain text, in which `*` and `<` mean themselves."""

import re
from typing import Any

from griffe import Extension, Object

INDENTED = "    "
MARKS = re.compile(r"([*_\[\]\\])")  # those of Markdown that a formula may hold


def as_markdown(docstring: str) -> str:
    """Paragraphs with Markdown's marks escaped; indented text and doctests as blocks of code."""
    parts = re.split(r"\n{2,}", docstring.strip("\n"))
    return "\n\n".join(_paragraph(part) for part in _joined(parts))


class PlainDocstrings(Extension):
    """Makes every docstring that griffe has read Markdown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def _joined(parts: list[str]) -> list[str]:
    """Indented parts that follow each other as one: an equation of several lines."""
    joined: list[str] = []
    for part in parts:
        if part.startswith(INDENTED) and joined and joined[-1].startswith(INDENTED):
            joined[-1] += "\n\n" + part
        else:
            joined.append(part)
    return joined


def _paragraph(text: str) -> str:
    if text.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    if text.startswith(INDENTED):
        lines = [line.removeprefix(INDENTED) for line in text.splitlines()]
        return "```text\n" + "\n".join(lines) + "\n```"
    pieces = re.split(r"(``.+?``|`[^`]+`)", text)
    pieces[::2] = [
        MARKS.sub(r"\\\1", piece).replace("<", "&lt;") for piece in pieces[::2]
    ]
    return "".join(pieces)
