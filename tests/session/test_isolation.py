"""Optimizers that break, each in its own way, in one suite with others.

Each has its row, and nobody else notices.
"""

import numpy as np
import pytest

from sfnbench import Store, run_suite
from sfnbench.experiments.summary import summary
from sfnbench.results.cells import text

HEADER = """
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
import torch
from sfnbench import Optimizer, register


@register("{name}")
@dataclass(frozen=True, kw_only=True)
class Breaking(Optimizer):
    '''Breaks.'''

    def step(self, oracle, theta, state):
        g = oracle.grad(theta)
        {body}
"""
BODIES = {
    "isolation_diverging": "return theta + 1e3 * theta.abs() * g, state",
    # in some trajectories of the batch
    "isolation_nan": "return torch.where(theta[0] > 0, torch.nan, theta - 0.05 * g), state",
    "isolation_never": "return theta.clone() * 0.5, state",
    "isolation_raising": "raise RuntimeError('no more')",
    "isolation_crashing": "os._exit(3)",
    "isolation_interrupting": "raise KeyboardInterrupt",
    "isolation_leaving": "raise SystemExit(0)",
    "isolation_printing": "os.write(1, b'z' * 10**6); return theta - 0.05 * g, state",
    "isolation_closing": "sys.stdout.close(); os.closerange(1, 3); return theta - 0.05 * g, state",
    "isolation_limiting": """resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        open(os.devnull).close(); return theta - 0.05 * g, state""",
    # 30 GB, where the system gives 512 MB more
    "isolation_hoarding": """pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 2**29
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        return [bytearray(2**26) for _ in range(480)], state""",
}
LONG = {
    # within one call of C
    "isolation_endless": "sum(range(10**13)); return theta, state",
    # 1.2 GB in all
    "isolation_flooding": "os.write(1, b'z' * 10**7); return theta - 0.05 * g, state",
}
SUITE = """
seeds: 8
budget: {steps: 120}
problems: [{use: quadratic_saddle, radius: 1e-3}]
optimizers:
  - {use: gradient_descent, lr: 0.05}
  - sfn
  - {use: noisy_gradient_descent, lr: 0.05}
"""
STATUSES = {
    "isolation_raising": "8 error",
    "isolation_crashing": "8 error",
    "isolation_interrupting": "8 error",
    "isolation_leaving": "8 error",
    "isolation_printing": "8 ok",
    "isolation_closing": "8 ok",
    "isolation_limiting": "8 error",
    "isolation_hoarding": "8 oom",
}
TIMING = ("seconds", "escape_seconds")


def untimed(result):
    rows = [
        {key: value for key, value in row.items() if key not in TIMING}
        for row in result.rows
    ]
    return rows, {
        name: array for name, array in result.series.items() if name != "seconds"
    }


@pytest.mark.slow
def test_each_breaks_alone(plugin, tmp_path):
    for name, body in BODIES.items():
        plugin("optimizers", name, HEADER.format(name=name, body=body))
    good, mixed = tmp_path / "good.yaml", tmp_path / "mixed.yaml"
    good.write_text(SUITE)
    bad = "".join(f"  - {name}\n" for name in BODIES)
    mixed.write_text(SUITE.replace("optimizers:\n", "optimizers:\n" + bad))
    with (
        Store(run_suite(good, out=tmp_path / "a")) as a,
        Store(run_suite(mixed, out=tmp_path / "b")) as b,
    ):
        alone = {result.run.method.label: result for result in a.results()}
        together = {result.run.method.label: result for result in b.results()}
    tables = [
        {row["optimizer"]: row for row in summary(results.values())}
        for results in (alone, together)
    ]
    for name, result in alone.items():
        rows, series = untimed(result)
        rows_together, series_together = untimed(together[name])
        assert rows == rows_together
        assert series.keys() == series_together.keys()
        for key in series:
            np.testing.assert_array_equal(
                series[key], series_together[key], strict=True
            )
        for table in tables:
            del table[name]["seconds a seed"]
            table[name].pop("ended by", None)  # shown where methods differ in it
        assert tables[0][name] == tables[1][name]
    seeds = {name: text(row["seeds"]) for name, row in tables[1].items()}
    assert seeds["isolation_diverging"] == "8 diverged"
    n_nan = sum(
        row["status"] == "diverged" for row in together["isolation_nan"].rows
    )
    assert 0 < n_nan < 8
    assert text(tables[1]["isolation_nan"]["escaped"]) == f"{8 - n_nan}/8"
    never = tables[1]["isolation_never"]
    assert [text(never[name]) for name in ("seeds", "captured", "escape step")] == [
        "8 ok",
        "8/8",
        "> 120",
    ]
    assert {name: seeds[name] for name in STATUSES} == STATUSES
    assert "RuntimeError: no more" in together["isolation_raising"].log
    assert "exit code 3" in together["isolation_crashing"].log
    assert "bytes left out" in together["isolation_printing"].log


@pytest.mark.slow
def test_of_what_never_ends_and_what_prints_a_gigabyte_the_others_take_no_notice(
    plugin, tmp_path
):
    for name, body in LONG.items():
        plugin("optimizers", name, HEADER.format(name=name, body=body))
    suite = tmp_path / "endless.yaml"
    suite.write_text(
        f"timeout: 60\n{SUITE}" + "".join(f"  - {name}\n" for name in LONG)
    )
    (tmp_path / "alone.yaml").write_text(SUITE)
    with (
        Store(run_suite(tmp_path / "alone.yaml", out=tmp_path / "a")) as a,
        Store(run_suite(suite, out=tmp_path / "b")) as b,
    ):
        alone = {result.run.method.label: untimed(result) for result in a.results()}
        found = {result.run.method.label: result for result in b.results()}
    assert found.pop("isolation_endless").status == "timeout"
    flooding = found.pop("isolation_flooding")
    assert flooding.status == "ok"
    assert len(flooding.log) < 50_000
    assert found.keys() == alone.keys()
    for name, result in found.items():
        np.testing.assert_equal(untimed(result), alone[name])


def test_want_of_memory_is_oom_where_seeds_run_alone(plugin, tmp_path):
    """Torch raises a mere RuntimeError on the CPU."""
    body = """if float(theta[0]) == float(theta[0]):
            torch.empty(2**55, dtype=torch.float64)"""
    source = HEADER.format(name="isolation_memory", body=body)
    source = source.replace("def step", "vmappable = False\n\n    def step")
    plugin("optimizers", "isolation_memory", source)
    suite = tmp_path / "hungry.yaml"
    suite.write_text(
        SUITE.partition("optimizers:")[0] + "optimizers: [isolation_memory]"
    )
    with Store(
        run_suite(suite, seeds=2, out=tmp_path / "out", engine="inline")
    ) as store:
        (result,) = store.results()
    assert result.status == "oom"
    assert "can't allocate memory" in result.log
