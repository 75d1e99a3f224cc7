"""What worker processes are given to execute in test_engines.py.

Each task stands for one way in which a run can go.
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable

import numpy as np

from sfnbench.errors import PluginError
from sfnbench.records import Result, Run, Spec

DOWNHILL = '''"""Gradient descent by another name."""

from dataclasses import dataclass

from sfnbench import Optimizer, Positive, register


@register("downhill")
@dataclass(frozen=True, kw_only=True)
class Downhill(Optimizer):
    """Gradient descent by another name."""

    lr: Positive = 0.1

    def step(self, oracle, theta, state):
        return theta - self.lr * oracle.grad(theta), state
'''
Progress = Callable[[float], None] | None


def make_run(
    act: str, i: int = 0, *, timeout_s: float = 3600.0, **settings: object
) -> Run:
    optimizer = Spec("sfn", f"{act}{i}", {}, "")
    settings = {"act": act, "i": i, **settings}
    return Run(
        "toy",
        "race",
        Spec("saddle", "saddle", {}, ""),
        optimizer,
        (0,),
        settings,
        timeout_s=timeout_s,
    )


def result(run: Run, **row: object) -> Result:
    return Result(run, "ok", ({"seed": 0, **row},), {"loss": np.arange(3.0)[None]})


def mark(run: Run) -> None:
    with open(run.settings["mark"], "a") as file:
        file.write(f"{run.id} {os.getpid()}\n")


def behave(run: Run, progress: Progress) -> Result:
    """Does what the run's settings say."""
    return ACTS[run.settings["act"]](run, progress)


def fine(run: Run, progress: Progress) -> Result:
    return result(run, pid=os.getpid())


def sleep(run: Run, progress: Progress) -> Result:
    time.sleep(run.timeout_s)
    return result(run)


def fail(run: Run, progress: Progress) -> Result:
    raise ZeroDivisionError("of the test's own")


def leave(run: Run, progress: Progress) -> Result:
    sys.exit(3)


def vanish(run: Run, progress: Progress) -> Result:
    os._exit(3)


def killed(run: Run, progress: Progress) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return result(run)


def segfault(run: Run, progress: Progress) -> Result:
    ctypes.string_at(0)
    return result(run)


def numpy_memory(run: Run, progress: Progress) -> Result:
    return result(run, n=np.ones(2**55).size)


def torch_memory(run: Run, progress: Progress) -> Result:
    import torch

    return result(run, n=torch.empty(2**55, dtype=torch.float64).numel())


def greedy(run: Run, progress: Progress) -> Result:
    """Takes 640 MB, and keeps them for as long as Slurm may need to notice."""
    taken = np.ones(80_000_000)
    time.sleep(15.0)
    return result(run, taken=float(taken[-1]))


def unsendable(run: Run, progress: Progress) -> Result:
    return result(run, what=lambda: None)


def nothing(run: Run, progress: Progress) -> None:
    return None


def refuse(run: Run, progress: Progress) -> Result:
    raise PluginError("unknown optimizer 'sfnn'")


def interrupt(run: Run, progress: Progress) -> Result:
    raise KeyboardInterrupt


class Refusal(BaseException):
    """Of a kind that `except Exception` lets pass."""


def base_exception(run: Run, progress: Progress) -> Result:
    raise Refusal("of a class of its own")


def long_error(run: Run, progress: Progress) -> Result:
    raise ValueError("head" + "x" * 5_000_000 + "tail")


def several_lines(run: Run, progress: Progress) -> Result:
    raise ValueError("the first\nand more\rof them")


def much_output(run: Run, progress: Progress) -> Result:
    for _ in range(100):
        print("y" * 100_000)
    print("the end")
    return result(run)


def parenthood(run: Run, progress: Progress) -> Result:
    """Starts a process that would outlive it, and ends as it is asked to."""
    child = subprocess.Popen(["sleep", "600"])
    with open(run.settings["mark"], "a") as file:
        file.write(f"{child.pid}\n")
    if run.settings["i"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if run.settings["i"] == 2:
        time.sleep(run.timeout_s + 60)
    return result(run)


def noisy(run: Run, progress: Progress) -> Result:
    print("printed")
    os.write(2, b"written by a library\n")
    return result(run)


def warned(run: Run, progress: Progress) -> Result:
    warnings.simplefilter("default")  # pytest makes errors of them
    warnings.warn("of the test's own", RuntimeWarning, stacklevel=1)
    return result(run)


def threads(run: Run, progress: Progress) -> Result:
    import torch
    from threadpoolctl import threadpool_info

    blas = [pool["num_threads"] for pool in threadpool_info()]
    return result(run, torch=torch.get_num_threads(), blas=max(blas))


def surroundings(run: Run, progress: Progress) -> Result:
    from sfnbench.members.registry import plugin_paths

    return result(
        run,
        cwd=os.getcwd(),
        plugins=[str(path) for path in plugin_paths()],
        variable=os.environ.get("SFNBENCH_TEST_VARIABLE"),
        start=multiprocessing.get_start_method(),
        pid=os.getpid(),
        ppid=os.getppid(),
    )


def use_seeds() -> None:
    import random

    import torch

    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)


def use_dtype() -> None:
    import torch

    torch.set_default_dtype(torch.float16)


def use_patch() -> None:
    import torch

    torch.exp = torch.log


def use_class() -> None:
    from sfnbench.core.problem import Problem

    Problem.escaped = lambda *_: True  # type: ignore[method-assign]


def use_method() -> None:
    """Hides what the class inherits."""
    from sfnbench.core.network import Network

    Network.escaped = lambda *_: True  # type: ignore[method-assign]


def use_module() -> None:
    import owned  # type: ignore[import-not-found]  # the test writes it

    owned.seen.append(1)


# What a run may do to its process: the names of ways, and how the next run would notice.
USES: dict[str, Callable[[], object]] = {
    "seeds": use_seeds,
    "dtype": use_dtype,
    "patch": use_patch,
    "class": use_class,
    "method": use_method,
    "module": use_module,
    "variable": lambda: os.environ.update(SFNBENCH_TEST_VARIABLE="left over"),
    "folder": lambda: os.chdir("/"),
    "threads": lambda: __import__("torch").set_num_threads(2),
    "limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99)),
    "signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "mask": lambda: os.umask(0o77),
    "policy": lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)),
    "numpy": lambda: np.seterr(all="raise"),
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "thread": lambda: threading.Thread(
        target=time.sleep, args=(600,), daemon=True
    ).start(),
    "child": lambda: subprocess.Popen(["sleep", "600"]),
    "stream": lambda: sys.stdout.close(),
    "descriptor": lambda: os.close(1),
}


def use(run: Run, progress: Progress) -> Result:
    """Changes its process in one way."""
    USES[run.settings["way"]]()
    return result(run, pid=os.getpid())


def look(run: Run, progress: Progress) -> Result:
    """Says how its process is."""
    import random

    import torch

    from sfnbench.core.network import Network
    from sfnbench.core.problem import Problem

    if importlib.util.find_spec("owned"):
        import owned

        seen = len(owned.seen)
    else:
        seen = 0
    print("heard")
    mask = os.umask(0)
    os.umask(mask)
    found = {
        "torch": torch.rand(1, dtype=torch.float64).item(),
        "numpy": np.random.random(),
        "is seeded": random.random() == random.Random(1).random(),
        "dtype": str(torch.get_default_dtype()),
        "patched": torch.exp is torch.log,
        "classes": [Problem.escaped.__name__, Network.escaped.__name__],
        "seen": seen,
        "variable": os.environ.get("SFNBENCH_TEST_VARIABLE"),
        "folder": os.getcwd(),
        "threads": torch.get_num_threads(),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "signal": str(signal.getsignal(signal.SIGUSR1)),
        "mask": mask,
        "policy": os.sched_getscheduler(0),
        "numpy errors": np.geterr(),
        "path": "/nowhere" in sys.path,
        "n_threads": threading.active_count(),
    }
    return result(run, pid=os.getpid(), found=found)


def use_and_look(run: Run, progress: Progress) -> Result:
    for way in run.settings["ways"]:
        USES[way]()
    return look(run, progress)


def spoilt(run: Run, progress: Progress) -> Result:
    """Fails where it is not the first of its kind in a process, by a way that is not noticed."""
    if hasattr(sys, "spoilt"):
        raise ValueError("spoilt")
    sys.spoilt = True  # type: ignore[attr-defined]
    return result(run, pid=os.getpid())


def advance(run: Run, progress: Progress) -> Result:
    assert progress is not None
    for i in range(5):
        progress(i / 5)
        time.sleep(0.15)
    return result(run)


def chatter(run: Run, progress: Progress) -> Result:
    """Reports far more than a pipe holds, which nobody reads."""
    assert progress is not None
    for _ in range(30_000):
        progress.last_report = 0.0  # type: ignore[attr-defined]  # defeats its own restraint
        progress(0.5)
    mark(run)
    return result(run)


def stuck(run: Run, progress: Progress) -> Result:
    """Holds the interpreter in a library call, out of reach of threads and of Python's
    signal handlers."""
    mark(run)
    return result(run, n=sum(range(10**11)))


def marked(run: Run, progress: Progress) -> Result:
    """Leaves a line for each execution, and is done when the gate is there that it is given."""
    mark(run)
    while run.settings["gate"] and not os.path.exists(run.settings["gate"]):
        time.sleep(0.02)
    return result(run)


ACTS = {
    act.__name__: act
    for act in (
        fine,
        sleep,
        fail,
        leave,
        vanish,
        killed,
        segfault,
        numpy_memory,
        torch_memory,
        unsendable,
        nothing,
        use,
        look,
        use_and_look,
        spoilt,
        base_exception,
        long_error,
        several_lines,
        much_output,
        parenthood,
        greedy,
        refuse,
        interrupt,
        noisy,
        warned,
        threads,
        surroundings,
        advance,
        chatter,
        stuck,
        marked,
    )
}
