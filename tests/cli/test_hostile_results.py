"""Results that are damaged or made to harm: one line and the rest, in every command."""

import contextlib
import io
import json
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfnbench.cli import main as cli
from sfnbench.records import Result, Run, Spec
from sfnbench.report.sections import gather
from sfnbench.results.store import Store

HOSTILE = "\x1b[2J\x1b]0;title\x07\rrm -rf \u202e x\nfake  row"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
CLI = Path(cli.__file__).parent


def call(*words):
    """The command line in this process: exit code and all that it prints."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = ["sfnbench", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            cli.main()
    except SystemExit as exit_:
        return exit_.code or 0, out.getvalue()
    finally:
        sys.argv = argv
    raise AssertionError("the command line has not exited")


# -- damage ----------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["ok", "\ud800", "\x1b[2J"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """The paths of all values in one another."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with one search and two races that were really run."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tiny.yaml").write_text(
        "seeds: 2\nbudget: {steps: 8}\nproblems: [quadratic_saddle]\n"
        "optimizers: [{use: sfn, label: SFN}, gradient_descent]\n"
    )
    code, said = call(
        "run", folder / "tiny.yaml", "--engine", "inline", "--out", folder / "runs"
    )
    assert code == 0, said
    return folder


@settings(
    max_examples=20,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(data=st.data())
def test_any_value_anywhere_is_one_line_and_the_rest_in_every_command(data, stored):
    column = data.draw(
        st.sampled_from(["run", "rows", "environment", "rows", "status"])
    )
    file = stored / "runs" / "results.sqlite"
    with closing(sqlite3.connect(file)) as db:
        (text,) = db.execute(
            f"SELECT {column} FROM runs WHERE rowid = 1"
        ).fetchone()
    new = data.draw(VALUES)
    if column != "status":
        whole = json.loads(text)
        path = data.draw(st.sampled_from(list(places(whole))))
        new = json.dumps(replaced(whole, path, new))
    broken = stored / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    broken.mkdir()
    shutil.copy(file, broken)
    with closing(sqlite3.connect(broken / "results.sqlite")) as db, db:
        as_text = str(new).encode("utf-8", "replace").decode()
        db.execute(f"UPDATE runs SET {column} = ? WHERE rowid = 1", (as_text,))
    for words in (
        ("show", broken),
        ("show", broken, "--at", "cost=5", "--format", "json"),
        ("export", broken, stored / "out.csv"),
        ("export", broken, stored / "out.jsonl"),
        ("compare", stored / "runs", broken),
        ("compare", broken, stored / "runs", "--bits"),
    ):
        code, said = call(*words)
        assert code in (0, 2, 3), said
        assert CONTROL.search(said) is None
        if words[:2] == ("show", broken) and len(words) == 2:
            assert "gradient_descent" in said
            assert said.count("damaged") <= 1
    sections, _ = gather([broken])
    for section in sections:
        assert section.figures
        json.dumps([section.findings(), len(section.table)])


@pytest.mark.parametrize("column", ["run", "rows", "environment", "status", "log"])
def test_a_run_beside_a_damaged_result_says_so_and_ends_well(column, stored):
    broken = stored / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(stored / "runs", broken)
    with closing(sqlite3.connect(broken / "results.sqlite")) as db, db:
        db.execute(f"UPDATE runs SET {column} = x'ff7b' WHERE rowid = 1")
    words = ("run", stored / "tiny.yaml", "--engine", "inline", "--out", broken)
    code, said = call(*words)
    assert code == 0, said
    assert said.count("damaged") == 1
    code, said = call(*words, "--fresh")
    assert (code, said.count("damaged")) == (0, 0)


# -- text that harms -------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    problem = Spec("p", f"saddle{HOSTILE}", {"note": HOSTILE}, "")
    for label in ("=cmd|'/c calc'!A0", f"@SUM{HOSTILE}"):
        run = Run("toy", "race", problem, Spec("o", label, {}, ""), (0,), {})
        rows = ({"seed": 0, "message": f"-2+3{HOSTILE}", "end_point": "+1-1"},)
        log = f"{HOSTILE}\nRuntimeError: {HOSTILE}"
        with Store(tmp_path / "runs", create=True) as store:
            store.put(Result(run, "error", rows, {}, {}, log))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("show", "--by", "problem"),
        *(
            ("show", "--format", style)
            for style in ("github", "csv", "tsv", "json")
        ),
        ("show", "-p", "x\x1b[2J"),
        ("report", "-o", "report.html"),
    ],
)
def test_no_control_character_of_a_result_reaches_the_terminal(
    words, hostile, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    _, said = call(words[0], hostile, *words[1:])
    assert CONTROL.search(said) is None
    assert not any(line.startswith("fake  row") for line in said.splitlines())


def test_every_command_prints_by_way_of_the_terminal():
    for path in CLI.rglob("*.py"):
        if path.name not in ("terminal.py", "progress.py"):
            assert not re.search(r"typer\.s?echo\(|\bprint\(", path.read_text()), (
                path
            )


def test_no_text_in_a_csv_file_is_a_formula(hostile, tmp_path):
    import csv

    call("export", hostile, tmp_path / "out.csv")
    _, printed = call("show", hostile, "--format", "csv")
    exported = (tmp_path / "out.csv").read_text()
    cells = [
        cell
        for text in (exported, printed)
        for row in csv.reader(io.StringIO(text, newline=""))
        for cell in row
    ]
    assert any(cell.startswith("'=cmd") for cell in cells)
    assert any(cell.startswith("'+1-1") for cell in cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]
