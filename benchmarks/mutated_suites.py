"""Suites that were changed at random: each is read, or refused in words, soon and in little memory.

python benchmarks/mutated_suites.py [--n 20000] [--first 0] [--seed 0] [--folder kept]
python benchmarks/mutated_suites.py --large

Each case changes a suite that ships, or one of a problem: bytes of its text, or values, keys and
entries of its tree; some are bombs of aliases. `--large` gives each number of each problem and
optimizer values up to 2^63, one after another. A suite is validated in this process. A fault is an
error that is none of sfnbench's own, 2 s of the processor more than the unchanged suite takes, or
more memory than a suite of that length may take. Faults are printed and kept; a case is made again
by its number.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from guards import GivenUpError, given_up_after, limit_memory, most_memory
from hostile_values import PIECES, WORDS, number, places, value

from sfnbench.errors import SfnbenchError
from sfnbench.members import registry
from sfnbench.members.registry import Kind
from sfnbench.session.plans import Planned
from sfnbench.session.session import tuning_runs
from sfnbench.suite.reading import available, load_suite

MOST_S = 2.0  # of the processor for one suite
HANG_S = 30  # of the processor, after which it is given up
MOST_BYTES = 2**28  # by which the largest memory so far may grow for one suite
SIZES = (10**4, 10**6, 10**8, 10**12, 2**63 - 1)
LARGE = """seeds: 2
budget: {steps: 10}
metrics: [loss, gradient_norm]
problems: [%s]
optimizers: [gradient_descent, sfn, {use: torch.optim.Adam, lr: 0.01}]
"""


@dataclass(frozen=True)
class Reading:
    """What came of reading one suite."""

    outcome: str  # "suite", "refused", or what is wrong
    seconds: float
    grown: int  # bytes


def suites() -> list[str]:
    """What is changed: the suites that ship, and one of each problem."""
    texts = [path.read_text("utf-8") for path in sorted(set(available().values()))]
    return texts + [LARGE % name for name in sorted(registry.members("problem"))]


def mutated(rng: random.Random, texts: list[str]) -> tuple[bytes, str]:
    """A suite with some changes, and without; long ones are seldom."""
    (text,) = rng.choices(texts, [1 / (100 + len(each)) for each in texts])
    return rng.choice(WAYS)(rng, text, texts), text


def large(*kinds: Kind, sizes: Sequence[int] = SIZES) -> Iterator[bytes]:
    """Suites in which one number of a problem or of an optimizer is large."""
    for kind in kinds:
        for use in sorted(registry.members(kind)):
            fields = registry.load(registry.members(kind)[use]).__dataclass_fields__
            for name, field in fields.items():
                for size in sizes:
                    tree = yaml.safe_load(LARGE % "quadratic_saddle")
                    given = [size] if "tuple" in str(field.type) else size
                    tree[f"{kind}s"].append({"use": use, name: given})
                    yield json.dumps(tree).encode()


# -- ways of changing a suite ----------------------------------------------------------------------


def bytes_changed(rng: random.Random, text: str, texts: list[str]) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 1, 1, 4, 40)))
        kind = rng.randrange(4)
        if kind == 0:
            data[at:end] = rng.choice(PIECES)
        elif kind == 1:
            data[at:end] = b""
        elif kind == 2:
            data[at:at] = data[at:end] * rng.choice((1, 2, 50))
        elif at < len(data):
            data[at] = rng.randrange(256)
        if not data:
            break
    return bytes(data)


def lines_changed(rng: random.Random, text: str, texts: list[str]) -> bytes:
    lines = text.splitlines()
    other = rng.choice(texts).splitlines()
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(lines) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            lines.insert(at, rng.choice(other))
        elif kind == 1:
            lines[at:] = other[rng.randrange(len(other)) :]
        elif kind == 2:
            lines[at : at + 1] = [each * 2 for each in lines[at : at + 1]]
        elif kind == 3:
            lines[at : at + 1] = [f"  {each}" for each in lines[at : at + 1]]
        else:
            del lines[at : at + rng.choice((1, 3))]
    return "\n".join(lines).encode()


def tree_changed(rng: random.Random, text: str, texts: list[str]) -> bytes:
    tree = yaml.safe_load(text)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        where, key = rng.choice(list(places(tree)))
        other = yaml.safe_load(rng.choice(texts))
        kind = rng.randrange(6)
        if kind <= 2:
            where[key] = value(rng)
        elif kind == 3:
            there, name = rng.choice(list(places(other)))
            where[key] = copy.deepcopy(there[name])
        elif kind == 4 and isinstance(where, dict):
            where[rng.choice(WORDS)] = where.pop(key)
        elif isinstance(where, list):
            where += copy.deepcopy(where) * rng.choice((1, 3, 30))
        else:
            del where[key]
    return dumped(rng, tree)


def numbers_changed(rng: random.Random, text: str, texts: list[str]) -> bytes:
    """Fields of members take other numbers, huge and tiny ones above all."""
    tree = yaml.safe_load(text)
    for kind in ("problem", "optimizer"):
        entries = tree.get(f"{kind}s") or []
        chosen = rng.randrange(max(1, len(entries)))
        for i, entry in enumerate(entries):
            if i == chosen or rng.random() < 0.05:
                changed = {"use": entry} if isinstance(entry, str) else dict(entry)
                fields = _fields(kind, str(changed.get("use")))
                for name in rng.sample(
                    fields, min(len(fields), rng.choice((1, 1, 2)))
                ):
                    changed[name] = rng.choice((value, number, number, number))(rng)
                entries[i] = changed
    if rng.random() < 0.3:
        where, key = rng.choice(list(places(tree)))
        if type(where[key]) in (int, float):
            where[key] = number(rng)
    return dumped(rng, tree)


def bombs(rng: random.Random, text: str, texts: list[str]) -> bytes:
    """Aliases of aliases, merges of merges, deep and long nesting, many equal entries."""
    depth, width = rng.choice((3, 9, 30, 200)), rng.choice((2, 9, 50))
    inner = rng.choice(("x", "mlp", "{use: sfn, lr: 1}", "1e9", "[1, 2]"))
    lines = [f"a0: &a0 [{', '.join([inner] * width)}]"]
    for i in range(1, depth):
        item = rng.choice((f"*a{i - 1}", f"{{k: *a{i - 1}}}"))
        lines.append(f"a{i}: &a{i} [{', '.join([item] * width)}]")
    many = rng.choice((10, 300, 3000))
    last = rng.choice(
        (
            f"problems: *a{depth - 1}",
            f"<<: *a{depth - 1}",
            "problems: " + "[" * 50 * depth + "]" * 50 * depth,
            "problems: " + "{a: " * 50 * depth + "}" * 50 * depth,
            f"problems: [{', '.join(['monkey_saddle'] * many)}]",
            f"problems: [{', '.join(['{use: mlp, hidden: [3]}'] * many)}]",
            f"optimizers: [{{use: sfn, lr: {{grid: [{', '.join(map(str, range(many)))}]}}}}]",
            f"seeds: [{', '.join(map(str, range(many)))}]",
            "".join(f"{'k' * i}: 1\n" for i in range(1, many // 10)),
        )
    )
    if rng.random() < 0.5:
        return f"{text}\n{last}\n".encode()
    return "\n".join([*lines, last]).encode()


WAYS: tuple[Callable[[random.Random, str, list[str]], bytes], ...] = (
    bytes_changed,
    lines_changed,
    tree_changed,
    tree_changed,
    numbers_changed,
    numbers_changed,
    bombs,
)


def dumped(rng: random.Random, tree: Any) -> bytes:
    """The tree as text, in YAML or in JSON, its subset."""
    if rng.random() < 0.3:
        return json.dumps(tree).encode("utf-8", "replace")
    flow = rng.choice((True, False, None))
    text: str = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    return text.encode("utf-8", "replace")


def _fields(kind: Any, use: str) -> list[str]:
    """The parameters of a member."""
    member = registry.members(kind).get(use)
    if member is None:
        return ["lr", "weight_decay", "betas"]
    return [*registry.load(member).__dataclass_fields__] or ["lr"]


# -- reading them ----------------------------------------------------------------------------------


def read(path: Path, most_s: float = MOST_S) -> Reading:
    """Validate a suite; what came of it, and what it took."""
    before, began = most_memory(), time.process_time()
    try:
        with given_up_after(HANG_S):
            planned = Planned.of(load_suite(path), device="cpu")
            tuning_runs(planned.suite, planned.runs)
        outcome = "suite"
    except SfnbenchError as error:
        str(error).encode()  # a lone surrogate would break the terminal
        outcome = "refused"
    except GivenUpError:
        outcome = f"more than {HANG_S} s"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        at = " < ".join(
            f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames)
        )
        outcome = f"{type(error).__name__}: {str(error)[:200]!r} at {at}"
    seconds = time.process_time() - began
    grown = most_memory() - before
    if outcome in ("suite", "refused"):
        if seconds > most_s:
            outcome = f"{seconds:.1f} s"
        elif grown > MOST_BYTES:
            outcome = f"{grown / 2**20:.0f} MB"
    return Reading(outcome, seconds, grown)


def attack(folder: Path, cases: Iterator[tuple[bytes, float]]) -> Counter[str]:
    """Read suites, each with the seconds that it may take; how many were read, refused, faults."""
    found: Counter[str] = Counter()
    path = folder / "mutated.yaml"
    for i, (data, most_s) in enumerate(cases):
        path.write_bytes(data)
        reading = read(path, most_s)
        is_fault = reading.outcome not in ("suite", "refused")
        found["faults" if is_fault else reading.outcome] += 1
        if is_fault:
            (folder / f"fault-{i}.yaml").write_bytes(data)
            print(f"{i}: {reading.outcome}", flush=True)
        if (i + 1) % 1000 == 0:
            print(f"{i + 1}: {dict(found)}", flush=True)
    return found


def at_random(
    folder: Path, n: int, first: int, seed: int
) -> Iterator[tuple[bytes, float]]:
    """Mutated suites, each with the seconds that it may take."""
    texts = suites()
    seconds = {}
    for text in texts:  # what is imported late is no suite's fault
        (folder / "whole.yaml").write_text(text)
        seconds[text] = read(folder / "whole.yaml").seconds
    for i in range(first, first + n):
        data, text = mutated(random.Random(f"{seed} {i}"), texts)
        yield data, MOST_S + seconds[text]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="each number in turn")
    parser.add_argument("--folder", type=Path, help="where faults are kept")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="sfnbench-mutated-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    (folder / "work").mkdir(exist_ok=True)
    os.chdir(folder / "work")
    os.nice(10)
    limit_memory()
    if given.large:
        cases = ((data, MOST_S) for data in large("problem", "optimizer"))
    else:
        cases = at_random(folder, given.n, given.first, given.seed)
    found = attack(folder, cases)
    print(f"{found.total()} suites: {dict(found)}; faults are kept in {folder}")
    sys.exit(found["faults"] > 0)


if __name__ == "__main__":
    main()
