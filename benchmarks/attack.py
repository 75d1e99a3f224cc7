"""Kills a running suite at random moments, runs it again, and looks for what is lost or changed.

python benchmarks/attack.py [--kills 100] [--runs 200] [--seed 0]

Each attack starts `sfnbench run` (with `--fresh` where all is done), or now and then `report` or
`export`, waits for a random moment, and kills the whole tree of processes by SIGKILL; some kill a
worker or the fork server first. A moment is so many results later, or a share of the time that the
first start took: the machine's speed decides none. After every attack each result that was said to
be done has to be there, with the numbers of an undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sfnbench.errors import NoResultsError
from sfnbench.results.store import Store

PATIENCE_S = 600.0  # for one command; more is a hang
SUITE = """title: Under attack
seeds: 2
budget: {{steps: 30}}
metrics: [loss, gradient_norm]
problems: [quadratic_saddle, monkey_saddle]
optimizers:
  - {{use: gradient_descent, lr: {{grid: [{grid}]}}}}
  - {{use: noisy_gradient_descent, lr: {{loguniform: [1e-3, 1e-1]}}}}
tune: {{trials: 4, seeds: 1}}
"""


def write_attacked_suite(folder: Path, n_runs: int) -> None:
    """A suite of so many runs, two of them with a tuned method."""
    grid = ", ".join(f"{0.001 * (i + 1):.3f}" for i in range(max(1, n_runs // 2 - 1)))
    (folder / "attacked.yaml").write_text(SUITE.format(grid=grid))


class Session:
    """A command of sfnbench in a session of its own, and the lines that it prints on stderr."""

    def __init__(self, folder: Path, *words: str) -> None:
        root = str(Path(__file__).resolve().parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sfnbench", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_limit,
        )
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(PATIENCE_S, self.kill_tree)
        self._timer.daemon = True
        self._timer.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._arriving.put(line)
        self._arriving.put(None)

    def wait_for_results(self, n: int) -> bool:
        """Whether so many more results were stored before it ended."""
        while n > 0:
            line = self._arriving.get(timeout=PATIENCE_S)
            if line is None:
                self._arriving.put(None)
                return False
            self.lines.append(line)
            n -= line.startswith("[")
        return True

    def tree(self) -> list[psutil.Process]:
        """The process and all that descend from it, the parents first."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill_tree(self) -> list[psutil.Process]:
        """Kill all of them by SIGKILL, whatever they do."""
        victims = self.tree()
        for victim in victims:
            kill(victim)
        return victims

    def finish(self) -> int:
        """Its exit code, when it has ended and all its lines are read."""
        while self.wait_for_results(1):
            pass
        self._timer.cancel()
        code = self.process.wait()
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (int(PATIENCE_S), int(PATIENCE_S)))


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def stored(folder: Path) -> dict[str, Any]:
    """The numbers of every sound result by run, as texts that are equal for equal bits."""
    found = {}
    with suppress(NoResultsError), Store(folder) as store:
        for result in store.results():
            if not result.status.failed:
                rows = [_numbers(row, repr) for row in result.rows]
                series = _numbers(result.series, np.ndarray.tobytes)
                found[result.run.id] = rows, series
    return found


def _numbers(named: Mapping[str, Any], spelt: Callable[[Any], Any]) -> dict[str, Any]:
    """What the seed decides, and no clock."""
    return {
        name: spelt(value) for name, value in named.items() if "seconds" not in name
    }


class Attack:
    """One folder under attack, beside one of the same suite that was left in peace."""

    def __init__(self, folder: Path, n_runs: int, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.ways: Counter[str] = Counter()
        self.complaints: list[str] = []
        write_attacked_suite(folder, n_runs)
        began = time.perf_counter()
        peaceful = Session(folder, "run", "attacked.yaml", "--out", "peace")
        peaceful.wait_for_results(1)
        self.start_s = time.perf_counter() - began
        if peaceful.finish():
            raise SystemExit("".join(peaceful.lines))
        self.expected = stored(folder / "peace")
        self.seen: set[str] = set()  # the runs that have had a sound result

    def once(self) -> None:
        """One attack at a random moment, and the look afterwards."""
        is_done = self.seen == set(self.expected)
        way = self.rng.choice(["early", "tree", "tree", "tree", "worker", "server"])
        if is_done and self.rng.random() < 0.3:
            way = self.rng.choice(["report", "export"])
        self.ways[way] += 1
        words = ["run", "attacked.yaml", "--out", "attacked"]
        if way == "report":
            words = ["report", "attacked", "-o", "page.html"]
        elif way == "export":
            words = ["export", "attacked", "rows.csv"]
        elif is_done:
            words.append("--fresh")
        session = Session(self.folder, *words)
        if way in ("early", "report", "export"):
            time.sleep(self.rng.uniform(0, self.start_s))
        elif session.wait_for_results(self.rng.randrange(1, 6)) and way != "tree":
            self._kill_one(session, way)
            session.wait_for_results(1)
        time.sleep(self.rng.uniform(0, 0.1))
        victims = session.kill_tree()
        session.finish()
        _, alive = psutil.wait_procs(victims, timeout=60)
        self._complain(f"after {way}: still running", [p.pid for p in alive])
        self._look(f"after {way}", may_fail=way == "worker")

    def _kill_one(self, session: Session, way: str) -> None:
        """Kill the fork server, or a worker, which is its child."""
        _, *others = session.tree()
        servers = {p.ppid() for p in others} - {session.process.pid}
        chosen = [p for p in others if (p.pid in servers) == (way == "server")]
        if chosen:
            kill(self.rng.choice(chosen))

    def _look(self, when: str, may_fail: bool = False) -> None:
        found = stored(self.folder / "attacked")
        lost = self.seen - found.keys()
        if (
            may_fail
        ):  # a worker of `--fresh` that is killed costs the run that it was executing
            self.seen -= lost
            lost = set()
        self._complain(f"{when}: lost", sorted(lost))
        changed = [i for i, each in found.items() if self.expected.get(i) != each]
        self._complain(f"{when}: other numbers, or unknown runs", changed)
        self.seen |= found.keys()

    def _complain(self, what: str, about: list[Any]) -> None:
        if about:
            self.complaints.append(f"{what}: {', '.join(map(str, about))}")
            print(self.complaints[-1], flush=True)

    def end(self) -> None:
        """Let the suite come to its end, failed runs first, and look once more."""
        words = ["run", "attacked.yaml", "--out", "attacked"]
        Session(self.folder, *words).finish()
        Session(self.folder, *words, "--only", "failed").finish()
        self._look("at the end")
        missing = sorted(self.expected.keys() - self.seen)
        self._complain("at the end: without a result", missing)


def attack(folder: Path, kills: int, n_runs: int, seed: int) -> Attack:
    """So many attacks on one suite; their complaints are what went wrong."""
    attacked = Attack(folder, n_runs, seed)
    for i in range(kills):
        attacked.once()
        if (i + 1) % 10 == 0:
            print(f"{i + 1} of {kills}", flush=True)
    attacked.end()
    return attacked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sfnbench-attack-") as folder:
        found = attack(Path(folder), given.kills, given.runs, given.seed)
    ways = ", ".join(f"{n} {way}" for way, n in sorted(found.ways.items()))
    print(f"{given.kills} attacks on {len(found.expected)} runs ({ways})")
    if found.complaints:
        raise SystemExit(f"{len(found.complaints)} things lost or changed, see above")
    print(
        "nothing finished was lost; the results equal an undisturbed run's bit for bit"
    )


if __name__ == "__main__":
    main()
