"""Optimizers that break, each in its own way, in one suite with others.

Each has its row, and nobody else notices.
"""

import numpy as np

from sfnbench import Store, run_suite
from sfnbench.experiments.summary import summary
from sfnbench.results.cells import text

HEADER = """
import os
from dataclasses import dataclass
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
TIMING = ("seconds", "escape_seconds")


def untimed(result):
    rows = [
        {key: value for key, value in row.items() if key not in TIMING}
        for row in result.rows
    ]
    return rows, {
        name: array for name, array in result.series.items() if name != "seconds"
    }


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
    n_nan = sum(row["status"] == "diverged" for row in together["isolation_nan"].rows)
    assert 0 < n_nan < 8
    assert text(tables[1]["isolation_nan"]["escaped"]) == f"{8 - n_nan}/8"
    never = tables[1]["isolation_never"]
    assert [text(never[name]) for name in ("seeds", "captured", "escape step")] == [
        *("8 ok", "8/8", "> 120")
    ]
    assert seeds["isolation_raising"] == seeds["isolation_crashing"] == "8 error"
    assert "RuntimeError: no more" in together["isolation_raising"].log
    assert "exit code 3" in together["isolation_crashing"].log


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
