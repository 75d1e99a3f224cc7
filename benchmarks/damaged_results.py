"""Folders of results that were damaged at random: every command says a line and shows the rest.

python benchmarks/damaged_results.py [--n 5000] [--first 0] [--seed 0]

Each case damages a copy of a folder with races and tuning, a search, or a timing: bytes of a file
anywhere, a value of any type in any column of any table, a value anywhere in its JSON, series with
other arrays, or files that are missing, empty or another's. Then `show`, `export` and `compare`
read it, every fifth time `report`, and every fifth time `run` goes on there. A fault is a
traceback, an exit code of something else, or a command that takes too much time or memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from guards import GivenUpError, given_up_after, limit_memory, most_memory
from hostile_values import PIECES, places, value

from sfnbench.cli import main as cli
from sfnbench.results.packing import pack

MOST_S = 20.0  # of the processor for one command
MOST_BYTES = 2**29
SUITES = {
    "race": """seeds: 2
budget: {steps: 6}
metrics: [loss, gradient_norm, {use: min_eigenvalue, every: 3}]
problems: [quadratic_saddle, {use: linear_autoencoder, n_inputs: 3, n_hidden: 1}]
optimizers: [{use: sfn, label: SFN}, {use: gradient_descent, lr: {loguniform: [1e-2, 1]}}]
tune: {trials: 2, seeds: 1}
""",
    "search": """experiment: critical_points
random: 4
problems: [{use: linear_autoencoder, n_inputs: 3, n_hidden: 1}]
""",
    "timing": """experiment: throughput
problems: [quadratic_saddle]
optimizers: [gradient_descent]
""",
}
EXIT_CODES = {
    "show": (0, 2),
    "export": (0, 2),
    "compare": (0, 2, 3),
    "report": (0, 2),
    "run": (0, 1, 2),
}


def call(*words: str) -> tuple[int, str]:
    """The command line in this process: its exit code and all that it prints."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = ["sfnbench", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            cli.main()
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    finally:
        sys.argv = argv
    raise AssertionError("the command line has not exited")


def make_sound(folder: Path) -> None:
    """Run the suites into one folder of results each."""
    for name, text in SUITES.items():
        (folder / f"{name}.yaml").write_text(text)
        words = (
            "run",
            f"{name}.yaml",
            "--engine",
            "inline",
            "--out",
            f"sound/{name}",
        )
        code, said = call(*words)
        if code:
            raise SystemExit(said)


# -- ways of damage --------------------------------------------------------------------------------


def bytes_damaged(rng: random.Random, folder: Path) -> str:
    file = rng.choice(
        [each for each in sorted(folder.rglob("*")) if each.is_file()]
    )
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 1, 3, 20))):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 8, 100, 4096))
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            data[at : at + size] = bytes(min(size, len(data) - at))
        elif kind == 2:
            data[at : at + size] = b""
        elif kind == 3:
            data[at:at] = rng.choice(PIECES)
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    return f"bytes of {file.relative_to(folder)}"


def files_damaged(rng: random.Random, folder: Path) -> str:
    """Files that are cut, missing, another's, or that nothing should be called after."""
    files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    file = rng.choice(files)
    kind = rng.randrange(6)
    if kind == 0:
        os.truncate(file, rng.randrange(file.stat().st_size + 1))
    elif kind == 1:
        file.unlink()
    elif kind == 2:
        file.write_bytes(rng.choice(files).read_bytes())
    elif kind == 3:
        file.unlink()
        file.mkdir()
    elif kind == 4:
        for suffix in ("-wal", "-shm", "-journal"):
            if rng.random() < 0.6:
                file.with_name(file.name + suffix).write_bytes(
                    rng.randbytes(40_000)
                )
    else:
        for name in ("checkpoints", "slurm", "tuning", "tuned.yaml"):
            if rng.random() < 0.5 and not (folder / name).exists():
                (folder / name).write_bytes(rng.randbytes(100))
    return f"files, way {kind} of {file.relative_to(folder)}"


def column_damaged(rng: random.Random, folder: Path) -> str:
    """A value of any type in any column of any table."""
    with closing(sqlite3.connect(_database(rng, folder))) as db, db:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        table = rng.choice([name for (name,) in tables])
        columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
        column, new = rng.choice(columns), _cell(rng)
        _without_care(rng, db)
        where = rng.choice(("rowid = 1", "rowid = 2", "1"))
        statement = f'UPDATE "{table}" SET "{column}" = ? WHERE {where}'
        with contextlib.suppress(sqlite3.DatabaseError):
            db.execute(statement, (new,))
    return f"{table}.{column} = {new!r:.80}"


def json_damaged(rng: random.Random, folder: Path) -> str:
    """A value anywhere in the JSON of a row."""
    with closing(sqlite3.connect(_database(rng, folder))) as db, db:
        column = rng.choice(("run", "rows", "rows", "environment"))
        number, text = rng.choice(
            list(db.execute(f"SELECT rowid, {column} FROM runs").fetchall())
        )
        tree = json.loads(text)
        for _ in range(rng.choice((1, 1, 3))):
            if not (found := list(places(tree))):
                break
            where, key = rng.choice(found)
            if rng.random() < 0.2 and isinstance(where, dict):
                del where[key]
            else:
                where[key] = value(rng)
        statement = f"UPDATE runs SET {column} = ? WHERE rowid = ?"
        new = (
            json.dumps(tree)
            .encode("utf-8", "surrogatepass")
            .decode("utf-8", "replace")
        )
        db.execute(statement, (new, number))
    return f"JSON of {column}"


def series_damaged(rng: random.Random, folder: Path) -> str:
    """Series with arrays of other types, sizes and numbers."""
    arrays = (
        np.array(str(value(rng))),
        np.full((2, 7), rng.choice((np.nan, np.inf, -1e308, 1e-320))),
        np.arange(rng.choice((0, 1, 10**6)))[None],
        np.zeros((2, 7), dtype=rng.choice(("i8", "f4", "c16", "?", "M8[s]", "U3"))),
        np.zeros((rng.choice((0, 1, 3)), rng.choice((0, 1, 9)), 2)),
    )
    names = ("loss", "loss.step", "seconds", "calls.grad", "escape", "\u202e", "")
    series = {name: rng.choice(arrays) for name in names if rng.random() < 0.6}
    with closing(sqlite3.connect(_database(rng, folder))) as db, db:
        new = pack(series) if rng.random() < 0.8 else rng.randbytes(1000)
        db.execute("UPDATE series SET npz = ? WHERE rowid = 1", (new,))
    return f"series {sorted(series)}"


WAYS: tuple[Callable[[random.Random, Path], str], ...] = (
    bytes_damaged,
    bytes_damaged,
    files_damaged,
    column_damaged,
    json_damaged,
    json_damaged,
    series_damaged,
)


def _database(rng: random.Random, folder: Path) -> Path:
    return rng.choice(sorted(folder.rglob("results.sqlite")))


def _without_care(rng: random.Random, db: sqlite3.Connection) -> None:
    """Now and then as a disk changes things: nothing in the file takes notice."""
    if rng.random() < 0.3:
        db.execute("PRAGMA foreign_keys = OFF")
        triggers = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        )
        for (name,) in triggers.fetchall():
            db.execute(f'DROP TRIGGER "{name}"')


def _cell(rng: random.Random) -> Any:
    """What SQLite can hold."""
    new = value(rng)
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.choice((0, 3, 5000)))
    if kind == 1 or isinstance(new, list | dict):
        return json.dumps(new)
    if isinstance(new, int) and not -(2**63) <= new < 2**63:
        return float(2**70)
    if isinstance(new, str):
        return new.encode("utf-8", "replace").decode()
    return new


# -- reading them ----------------------------------------------------------------------------------


def commands(name: str, case: int) -> list[list[str]]:
    """What is called on the damaged folder of a suite."""
    both = ["broken", f"sound/{name}"]
    file = "out.csv"
    if case % 2:
        both.reverse()
        file = "out.jsonl"
    found = [["show", "broken"], ["export", "broken", file], ["compare", *both]]
    if case % 5 == 0:
        found.append(["report", "broken", "-o", "page.html"])
    if case % 5 == 1:
        found.append(
            ["run", f"{name}.yaml", "--engine", "inline", "--out", "broken"]
        )
    return found


def fault_of(words: list[str]) -> str:
    """What is wrong with how a command took it; empty where all is well."""
    before, began = most_memory(), time.process_time()
    said = ""
    try:
        with given_up_after(3 * MOST_S):
            code, said = call(*words)
        if code not in EXIT_CODES[words[0]] or "Traceback" in said:
            return f"exit code {code}: {said[-300:]}"
        if code == 2 and len(said.strip().splitlines()) > 6:
            return f"many lines: {said[:300]}"
    except GivenUpError:
        return f"more than {3 * MOST_S} s"
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        at = " < ".join(
            f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames)
        )
        return f"{type(error).__name__}: {str(error)[:200]!r} at {at}"
    seconds, grown = time.process_time() - began, most_memory() - before
    if seconds > MOST_S:
        return f"{seconds:.1f} s"
    if grown > MOST_BYTES:
        return f"{grown / 2**20:.0f} MB"
    return ""


def attack(folder: Path, n: int, first: int, seed: int) -> tuple[int, int]:
    """Damage so many folders; how many commands read them, and how many were at fault."""
    make_sound(folder)
    for case in range(2):  # what is imported late is no folder's fault
        for words in commands("race", case):
            shutil.copytree("sound/race", "broken", dirs_exist_ok=True)
            call(*words)
    ways: Counter[str] = Counter()
    n_commands = n_faults = 0
    for case in range(first, first + n):
        rng = random.Random(f"{seed} {case}")
        name = rng.choice(("race", "race", "race", "search", "timing"))
        shutil.rmtree("broken", ignore_errors=True)
        shutil.copytree(f"sound/{name}", "broken")
        what = rng.choice(WAYS)(rng, folder / "broken")
        ways[what.split(" ")[0]] += 1
        for words in commands(name, case):
            n_commands += 1
            if fault := fault_of(words):
                n_faults += 1
                print(f"{case}: {what}: {words[0]}: {fault}", flush=True)
        if (case + 1) % 500 == 0:
            print(
                f"{case + 1}: {n_commands} commands, {n_faults} faults", flush=True
            )
    return n_commands, n_faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.nice(10)
    limit_memory()
    with tempfile.TemporaryDirectory(prefix="sfnbench-damaged-") as folder:
        os.chdir(folder)
        n_commands, n_faults = attack(
            Path(folder), given.n, given.first, given.seed
        )
        os.chdir("/")
    print(f"{given.n} damaged folders, {n_commands} commands: {n_faults} faults")
    sys.exit(n_faults > 0)


if __name__ == "__main__":
    main()
