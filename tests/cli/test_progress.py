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
