"""When everything ends at once: kills and Ctrl-C leave no process behind, and no result is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from gate import lives, until

from sfnbench.results.store import Store

TESTS = Path(__file__).parent

# A script as a newcomer writes it, without a guard against being run again in the workers.
SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from engine_tasks import make_run
from sfnbench.session.engines import _server, execute_all
from sfnbench.results.store import Store

# All that these tasks need: the server starts in half the time.
_server.PRELOADED = ["torch", "sfnbench.session.engines._worker"]
folder = Path({folder!r})
runs = [make_run({act!r}, i, mark={mark!r}, gate={gate!r} if i >= 5 else "") for i in range(8)]
with Store(folder, create=True) as store:
    store.adopt(runs)
    for result in execute_all(store.pending(runs), task="engine_tasks:behave", jobs=2):
        store.put(result)
        print(result.status, flush=True)
"""


@contextmanager
def script(act: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    places = {name: str(folder / name) for name in ("mark", "gate")}
    text = SCRIPT.format(
        tests=str(TESTS), folder=str(folder / "runs"), act=act, **places
    )
    (folder / "script.py").write_text(text)
    command = [sys.executable, str(folder / "script.py")]
    environ = {**os.environ, "TMPDIR": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Where the tests themselves run in the background, Ctrl-C is ignored, and a child inherits
    # that.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command,
        text=True,
        start_new_session=True,
        env=environ,
        preexec_fn=listen,
        **pipes,
    ) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def marks(folder: Path) -> list[tuple[str, int]]:
    """Run and process of every execution so far."""
    if not (folder / "mark").exists():
        return []
    lines = (folder / "mark").read_text().splitlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines]


@pytest.mark.slow
def test_a_killed_suite_leaves_no_process_and_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    with script("marked", tmp_path) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "ok\n"
        children = [
            child.pid
            for child in psutil.Process(process.pid).children(recursive=True)
        ]
        process.kill()
        process.wait()
        assert children
        assert until(lambda: not any(map(lives, children)))
    before = marks(tmp_path)
    with Store(tmp_path / "runs") as store:
        stored = store.ids()
        assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert 3 <= len(stored) <= 5

    (tmp_path / "gate").touch()
    with script("marked", tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out == "ok\n" * (8 - len(stored))
    again = [run_id for run_id, _ in marks(tmp_path)[len(before) :]]
    assert not stored & set(again), "nothing that was stored is executed again"
    assert len(set(again)) == len(again)
    with Store(tmp_path / "runs") as store:
        assert len(store.ids()) == len(list(store.results())) == 8


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent_not_even_inside_a_library_call(
    tmp_path: Path, end: signal.Signals
) -> None:
    with script("stuck", tmp_path) as process:
        assert until(lambda: len(marks(tmp_path)) == 2)
        pids = [pid for _, pid in marks(tmp_path)]
        assert all(map(lives, pids))
        # Ctrl-C reaches the whole group
        os.killpg(
            process.pid, end
        ) if end == signal.SIGINT else process.send_signal(end)
        assert until(lambda: not any(map(lives, pids)))
        _, err = process.communicate(timeout=120)
    if end == signal.SIGINT:
        assert err.count("Traceback") == 1, (
            "only the script itself says that it was interrupted"
        )
        assert err.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_while_the_first_worker_starts_is_quiet(tmp_path: Path) -> None:
    with script("stuck", tmp_path) as process:
        children = psutil.Process(process.pid).children
        assert until(lambda: len(children()) >= 2 or process.poll() is not None), (
            "the server and its resource tracker"
        )
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")
