"""Makes the checks one after the other, and keeps each line as soon as it is there."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

import torch
from lines import Lines
from members_on_device import contract, equality
from out_of_memory import memory, out_of_memory
from place import Place
from rates import dense, events, large_dense, network, recurrent, seeds
from suites_on_device import digits, full, toy
from waits import waits

from sfnbench import environment

ROOT = Path(__file__).resolve().parents[2]
# how much longer than six minutes it may all take
SLACK = float(os.environ.get("MOST_S", 360)) / 360
ALL_S = 345 * SLACK  # for everything, the start of Python included
# smallest first, each with the most seconds that it may take in six minutes
CHECKS = {
    "contract": (contract, 60),
    "equality": (equality, 40),
    "events": (events, 10),
    "waits": (waits, 20),
    "seeds": (seeds, 30),
    "toy": (toy, 60),
    "memory": (memory, 20),
    "out_of_memory": (out_of_memory, 20),
    "network": (network, 60),
    "recurrent": (recurrent, 20),
    "digits": (digits, 60),
    "dense": (dense, 30),
    "large_dense": (large_dense, 60),
    "full": (full, 160),
}


class OutOfTime(BaseException):
    """A check takes too long; no `except Exception` on the way stops it."""


def main() -> None:
    """Every check, or those that were asked for, until the time is over."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    words.add_argument("--only", choices=CHECKS, action="append")
    words.add_argument("--page", type=Path, help="docs/gpu.md on a GPU, else none")
    words.add_argument(
        "--began", type=float, default=time(), help=argparse.SUPPRESS
    )
    asked = words.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "torch sees no GPU here; --device cpu does the same with small sizes"
        )
    if asked.device == "cpu":
        torch.set_num_threads(1)
    page = asked.page
    if page is None and asked.device == "cuda":
        page = ROOT / "docs" / "gpu.md"
    goes_on = "--began" in sys.argv
    lines = Lines(Path(os.environ.get("OUT", "runs/gpu")), page, goes_on)
    if not goes_on:
        lines.begin(environment.describe(asked.device))
    place = Place(torch.device(asked.device))
    names = asked.only or list(CHECKS)
    n_failed = 0
    for i, name in enumerate(names):
        n_failed += not _made(name, place, lines, ALL_S - (time() - asked.began))
        if asked.device == "cuda" and not _works(place.device):
            _begin_again(asked, names[i + 1 :])
    lines.add(
        "end", {"n_failed": n_failed, "seconds": round(time() - asked.began, 1)}
    )
    sys.exit(bool(n_failed))


def _made(name: str, place: Place, lines: Lines, left_s: float) -> bool:
    """Make a check within what time is left; whether it came to its end."""
    check, most_s = CHECKS[name]
    limit_s = min(most_s * SLACK, left_s)
    if limit_s < 1:
        lines.add(name, {"failed": "no time is left"})
        return False
    began = time()
    try:
        with _at_most(limit_s):
            for line in check(place):
                lines.add(name, line)
    except OutOfTime:
        lines.add(name, {"failed": f"it was cut off after {limit_s:.0f} s"})
        return False
    except Exception as error:  # a check that breaks leaves the others their time
        traceback.print_exc()
        told = str(error).partition("\n")[0]
        lines.add(name, {"failed": f"{type(error).__name__}: {told}"})
        return False
    lines.add(name, {"took_s": round(time() - began, 1)})
    return True


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """OutOfTime in here after so many seconds."""

    def stop(*_: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _works(device: torch.device) -> bool:
    """Whether the GPU still answers: some errors leave a process without it."""
    try:
        torch.cuda.empty_cache()
        return float(torch.ones(2, device=device).sum()) == 2
    except RuntimeError:
        return False


def _begin_again(asked: argparse.Namespace, names: list[str]) -> None:
    """Go on with these checks in a fresh process."""
    if not names:
        return
    words = [sys.executable, __file__, "--device", asked.device]
    words += ["--began", str(asked.began)]
    for name in names:
        words += ["--only", name]
    if asked.page:
        words += ["--page", str(asked.page)]
    os.execv(sys.executable, words)


if __name__ == "__main__":
    main()
