"""How much of a run goes to steps, metrics and certificates: python benchmarks/measuring.py SUITE.

Shares of the processor's time of a second execution, on one thread, by Python's own profiler, which
takes some of it. docs/performance.md has those of `autoencoder` and `rnn`:

    python benchmarks/measuring.py autoencoder -o MSGD -o '|H|'
"""

import argparse
import cProfile
import pstats
from time import process_time

import torch
from threadpoolctl import threadpool_limits

import sfnbench
from sfnbench.records import Run

# by share: the file and the function whose calls it is the time of
PARTS = {
    "steps": ("race/blocks.py", "_steps"),
    "metrics": ("race/recording.py", "_record"),
    "certificates": ("metrics/certificate.py", "certify_all"),
}


def main() -> None:
    """Print a line for each run that needs no tuning."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("suite")
    words.add_argument("--profile", default="quick")
    words.add_argument("-o", "--optimizer", action="append", help="label")
    asked = words.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for run in sfnbench.plan(sfnbench.load_suite(asked.suite, asked.profile)):
            is_asked = run.method.label in (asked.optimizer or [run.method.label])
            if is_asked and not run.is_open:
                sfnbench.execute(run)
                shares = ", ".join(
                    f"{name} {100 * share:.0f} %"
                    for name, share in shares_of(run).items()
                )
                print(f"{run.title}: {shares}", flush=True)


def shares_of(run: Run) -> dict[str, float]:
    """The share of each of `PARTS` in an execution of a run."""
    profiler = cProfile.Profile(process_time)
    profiler.enable()
    sfnbench.execute(run)
    profiler.disable()
    stats = pstats.Stats(profiler)
    calls = stats.stats  # type: ignore[attr-defined]  # there, but not in the stubs
    whole: float = stats.total_tt  # type: ignore[attr-defined]  # likewise
    return {
        part: sum(
            times[3]
            for (path, _, function), times in calls.items()
            if path.endswith(file) and function == name
        )
        / whole
        for part, (file, name) in PARTS.items()
    }


if __name__ == "__main__":
    main()
