"""A small suite, executed a few times, as finite costs.

One sample a seed, or one a repetition where seconds are meant.
"""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

# here, so that asv's fork server has it before it forks; no operation before that, which would hang
import torch

PENALTY = 10  # what never came is priced at so many times the most that could be seen (PAR-10)
N_TIMINGS = 7
BROKEN = ("diverged", "error", "timeout", "oom")


def version(name):
    """Raise the number when what is measured changes its meaning.

    The suite's text speaks for itself.
    """
    return f"1-{hashlib.sha256(suite(name).read_bytes()).hexdigest()[:12]}"


def suite(name):
    """The suite beside this file."""
    return Path(__file__).with_name(f"{name}.yaml")


def planned(name, optimizer=None):
    """The runs of a suite of one problem, so that their optimizers tell them apart."""
    from sfnbench import load_suite, plan

    torch.set_num_threads(1)
    return plan(load_suite(suite(name)), optimizers=optimizer and [optimizer])


def executed(name):
    """Rows and seconds a step by optimizer.

    A run that breaks as a whole raises, and asv says failed.
    """
    from sfnbench import execute

    found = {}
    for run in planned(name):
        repeated = [execute(run).rows for _ in range(N_TIMINGS)]
        seconds = [
            sum(row["seconds"] for row in rows) / sum(row["steps"] for row in rows)
            for rows in repeated
        ]
        found[run.method.label] = {"rows": repeated[0], "seconds": seconds}
    return found


def samples(values):
    """As asv takes several values of one benchmark.

    With seven or more it tests whether two commits differ.
    """
    return {"samples": [float(value) for value in values], "number": 1}


def capped(rows, name, limit):
    """A finite cost a seed.

    The column, or the penalty where it is missing, infinite or more than that.
    """
    top = PENALTY * limit
    return samples(
        top if row.get(name) is None or not row[name] <= top else row[name]
        for row in rows
    )


def failures(rows):
    """The percentage of seeds that broke, plus one.

    Asv compares by ratios, which zero has none of.
    """
    return 1 + 100 * sum(row["status"] in BROKEN for row in rows) / len(rows)


def raced(name, optimizer):
    """One race, for its peak of memory."""
    from sfnbench import execute

    for run in planned(name, optimizer):
        execute(run)


class Race(ABC):
    """What a suite is tracked for whatever it is about.

    Asv takes no abstract class for a benchmark.
    """

    suite: str
    params: tuple[str, ...]  # the optimizers of the suite
    param_names = ("optimizer",)

    @abstractmethod
    def setup_cache(self):
        """`executed` of the suite.

        Each class writes its own: asv tells caches apart by the line they are made in.
        """

    def track_failures(self, cache, optimizer):
        return failures(cache[optimizer]["rows"])

    def track_seconds_a_step(self, cache, optimizer):
        return samples(cache[optimizer]["seconds"])

    def peakmem_race(self, cache, optimizer):
        raced(self.suite, optimizer)

    track_failures.unit = "1 + % of seeds"
    track_seconds_a_step.unit = "seconds"
