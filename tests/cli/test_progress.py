"""What a session says on the console while it goes on."""

import io

from rich.console import Console

from sfnbench.cli.progress import Terminal
from sfnbench.records import Result, Status
from sfnbench.suite.plan import plan
from sfnbench.suite.reading import load_suite


def test_a_second_session_counts_from_zero():
    first, second, *_ = plan(load_suite("smoke"))
    written = io.StringIO()
    terminal = Terminal(Console(file=written, width=200))
    for run in (first, second):
        terminal.begin([run], 0, ())
        terminal.finished(Result(run, Status.OK, seconds=1.0))
        terminal.end()
    lines = written.getvalue().splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        f"[1/1] {run.title}: ok, 1.0 s" for run in (first, second)
    ]


def test_each_number_comes_once():
    """Also where another run has made all its steps, and its result is not there yet."""
    first, second, *_ = plan(load_suite("smoke"))
    written = io.StringIO()
    terminal = Terminal(Console(file=written, width=200))
    terminal.begin([first, second], 0, ())
    terminal.progress(second, 1.0)
    for run in (first, second):
        terminal.finished(Result(run, Status.OK, seconds=1.0))
    lines = written.getvalue().splitlines()
    assert [line[:5] for line in lines if line.startswith("[")] == [
        "[1/2]",
        "[2/2]",
    ]
