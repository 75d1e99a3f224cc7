"""Kills a running suite at random moments, runs it again, and looks for what is lost or changed.

python benchmarks/attack.py [--kills 100] [--runs 200] [--seed 0] [--folder build/attack]

Each attack starts `sfnbench run` (with `--fresh` where all is done), or now and then `report` or
`export`, waits for a random moment, and kills the whole tree of processes by SIGKILL; some kill a
worker or the fork server first, or stop one of the processes for a while. Others ask by SIGTERM,
SIGHUP or SIGINT, and then the whole tree has to end by itself. A moment is so many results later,
those of tuning included, or a share of the time that the first start took: the machine's speed
decides none. After every attack each result that was said to be done has to be there, with the
numbers of an undisturbed run, bit for bit. With a folder, an attack that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sfnbench.errors import NoResultsError
from sfnbench.results.store import Store

PATIENCE_S = 600.0  # for one command; more is a hang
WAYS = ("early", "tree", "tree", "worker", "server", "stop")
ASKED = {"term": signal.SIGTERM, "hup": signal.SIGHUP, "int": signal.SIGINT}
NOTES = "notes.json"  # how far an attack on a folder is
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
    grid = ", ".join(
        f"{0.001 * (i + 1):.3f}" for i in range(max(1, n_runs // 2 - 1))
    )
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
    # whoever starts this in the background may ignore some of these signals
    for number in ASKED.values():
        signal.signal(number, signal.SIG_DFL)


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


def _numbers(
    named: Mapping[str, Any], spelt: Callable[[Any], Any]
) -> dict[str, Any]:
    """What the seed decides, and no clock."""
    return {
        name: spelt(value) for name, value in named.items() if "seconds" not in name
    }


class Attack:
    """One folder under attack, beside one of the same suite that was left in peace."""

    def __init__(self, folder: Path, n_runs: int, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.ways: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.seen: set[str] = set()  # the runs that have had a sound result
        if (folder / NOTES).exists():
            self._recall()
        else:
            self._begin(n_runs)
        self.expected = stored(folder / "peace")
        if len(self.expected) != n_runs:
            found = f"{folder} has an attack on {len(self.expected)} runs"
            raise SystemExit(f"{found}, not {n_runs}: give another folder")

    @property
    def n_done(self) -> int:
        """How many attacks there were."""
        return sum(self.ways.values())

    def _begin(self, n_runs: int) -> None:
        """Run the suite in peace."""
        write_attacked_suite(self.folder, n_runs)
        began = time.perf_counter()
        peaceful = Session(self.folder, "run", "attacked.yaml", "--out", "peace")
        peaceful.wait_for_results(1)
        self.start_s = time.perf_counter() - began
        if peaceful.finish():
            raise SystemExit("".join(peaceful.lines))
        self._note()

    def _note(self) -> None:
        notes = {
            "ways": self.ways,
            "complaints": self.complaints,
            "seen": sorted(self.seen),
            "start_s": self.start_s,
        }
        (self.folder / "new").write_text(json.dumps(notes))
        os.replace(self.folder / "new", self.folder / NOTES)

    def _recall(self) -> None:
        notes = json.loads((self.folder / NOTES).read_text())
        self.ways.update(notes["ways"])
        self.complaints += notes["complaints"]
        self.seen |= set(notes["seen"])
        self.start_s = notes["start_s"]

    def once(self) -> None:
        """One attack at a random moment, and the look afterwards."""
        self.rng = random.Random(f"{self.seed} {self.n_done}")
        is_done = self.seen == set(self.expected)
        way = self.rng.choice((*WAYS, *ASKED))
        if is_done and self.rng.random() < 0.2:
            way = self.rng.choice(["report", "export"])
        words = ["run", "attacked.yaml", "--out", "attacked"]
        if way == "report":
            words = ["report", "attacked", "-o", "page.html"]
        elif way == "export":
            words = ["export", "attacked", "rows.csv"]
        elif is_done:
            words.append("--fresh")
        session = Session(self.folder, *words)
        try:
            self._disturb(session, way)
        finally:
            victims = session.kill_tree()
        session.finish()
        _, alive = psutil.wait_procs(victims, timeout=60)
        self._complain(f"after {way}: still running", [p.pid for p in alive])
        self._look(f"after {way}", may_fail=way == "worker")
        self.ways[way] += 1
        self._note()

    def _disturb(self, session: Session, way: str) -> None:
        """Wait for the moment, and do what comes before the end of all."""
        n_results = self.rng.randrange(1, self.rng.choice((6, 60)))
        if way in ("early", "report", "export"):
            time.sleep(self.rng.uniform(0, self.start_s))
        elif session.wait_for_results(n_results):
            if way in ("worker", "server"):
                self._kill_one(session, way)
                session.wait_for_results(1)
            elif way == "stop":
                self._stop_one(session)
            elif way in ASKED:
                self._ask(session, ASKED[way])
        time.sleep(self.rng.uniform(0, 0.1))

    def _kill_one(self, session: Session, way: str) -> None:
        """Kill the fork server, or a worker, which is its child."""
        _, *others = session.tree()
        servers = {p.ppid() for p in others} - {session.process.pid}
        chosen = [p for p in others if (p.pid in servers) == (way == "server")]
        if chosen:
            kill(self.rng.choice(chosen))

    def _stop_one(self, session: Session) -> None:
        """Stop any of the processes, and now and then let it go on."""
        chosen = self.rng.choice(session.tree())
        with suppress(psutil.NoSuchProcess):
            chosen.suspend()
            time.sleep(self.rng.uniform(0, 1))
            if self.rng.random() < 0.5:
                chosen.resume()
                session.wait_for_results(1)

    def _ask(self, session: Session, number: signal.Signals) -> None:
        """Ask the first process to end; all others have to end with it."""
        tree = session.tree()
        session.process.send_signal(number)
        _, alive = psutil.wait_procs(tree, timeout=60)
        self._complain(
            f"after {number.name}: still running", [p.pid for p in alive]
        )

    def _look(self, when: str, may_fail: bool = False) -> None:
        found = stored(self.folder / "attacked")
        lost = self.seen - found.keys()
        self.seen -= lost
        # A worker of `--fresh` that is killed costs the run that it was executing
        if may_fail:
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
    """So many attacks on one suite, those before included; their complaints are what went wrong."""
    attacked = Attack(folder, n_runs, seed)
    while attacked.n_done < kills:
        attacked.once()
        if attacked.n_done % 10 == 0:
            print(f"{attacked.n_done} of {kills}", flush=True)
    attacked.end()
    return attacked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where an attack goes on")
    given = parser.parse_args()
    with ExitStack() as made:
        if given.folder is None:
            own = tempfile.TemporaryDirectory(prefix="sfnbench-attack-")
            folder = Path(made.enter_context(own))
        else:
            folder = given.folder.resolve()
            folder.mkdir(parents=True, exist_ok=True)
        found = attack(folder, given.kills, given.runs, given.seed)
    ways = ", ".join(f"{n} {way}" for way, n in sorted(found.ways.items()))
    print(f"{given.kills} attacks on {len(found.expected)} runs ({ways})")
    if found.complaints:
        raise SystemExit(
            f"{len(found.complaints)} things lost or changed, see above"
        )
    if given.folder is not None:  # the next attack begins at the beginning
        shutil.rmtree(folder)
    print(
        "nothing finished was lost; the results equal an undisturbed run's bit for bit"
    )


if __name__ == "__main__":
    main()
