"""A page of the docs followed by copy and paste, block by block, in the current folder."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

Command = Callable[..., tuple[int, str, str]]

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.M | re.S)
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?%?")
QUICK = {"new", "check", "validate", "list"}


class Line(NamedTuple):
    """A command of a page: its words, the file that it writes, and its comment."""

    words: list[str]
    target: str
    comment: str


def look_over(page: Path, sfnbench: Command) -> None:
    """What takes seconds: write the files, check members, read suites, plan runs, read Python."""
    for language, title, body in BLOCK.findall(page.read_text()):
        if title:
            _write(title, body)
        elif language == "python":
            compile(body, page.name, "exec")
        elif language == "sh":
            for line in _lines(body):
                if line.words[0] == "python" or line.words[1] in QUICK | {"run"}:
                    _follow(line, sfnbench, is_planned=True)


def walk(page: Path, sfnbench: Command) -> None:
    """Do all that the page says.

    A block of text shows what the commands or the Python before it have printed: lines with the
    same words, whatever the numbers. Runs of minutes are planned alone, and a card is left out:
    `make claims` and `make card` execute them.
    """
    printed = ""
    for language, title, body in BLOCK.findall(page.read_text()):
        if title:
            _write(title, body)
        elif language == "python":
            _write("pasted.py", body)  # a method needs a source that can be read
            printed = _python("pasted.py")
        elif language == "sh":
            printed = "".join(_follow(line, sfnbench) for line in _lines(body))
        elif language == "text":
            assert _wording(body) - _wording(printed) == set(), page


def _follow(line: Line, sfnbench: Command, *, is_planned: bool = False) -> str:
    program, *words = line.words
    if program == "python":
        return _python(*words)
    assert program == "sfnbench", line
    if words[0] == "card":
        return ""
    if words[0] == "run":
        is_planned |= "minutes" in line.comment
        words += ["--dry-run"] if is_planned else ["--engine", "inline"]
    code, printed, err = sfnbench(*words)
    assert code == 0, (line, err)
    if line.target:
        Path(line.target).write_text(printed)
    return printed


def _lines(body: str) -> Iterator[Line]:
    for line in body.splitlines():
        command, _, comment = line.partition(" # ")
        command, _, target = command.partition(" > ")
        yield Line(shlex.split(command), target.strip(), comment)


def _write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def _python(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wording(text: str) -> set[str]:
    """Lines without numbers, stars and the width of columns."""
    plain = NUMBER.sub("#", re.sub(r"-{2,}| \*", "", text))
    return {" ".join(line.split()) for line in plain.splitlines()}
