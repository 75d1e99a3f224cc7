"""Runs and results for tests of the store, and when two of them are the same."""

from __future__ import annotations

import numpy as np

from sfnbench.records import Result, Run, Spec


def make_run(
    label: str = "sfn",
    *,
    suite: str = "toy",
    steps: int = 20,
    source: str = "a",
    **params: object,
) -> Run:
    problem = Spec("quadratic_saddle", "saddle", {"eigenvalues": [10, -2]}, "p")
    optimizer = Spec("sfn", label, params or {"lr": 0.1}, source)
    return Run(
        suite,
        "race",
        problem,
        optimizer,
        (0, 1),
        {"budget": {"steps": steps, "seconds": None}},
    )


def make_result(run: Run, status: str = "ok", n: int = 5, seed: int = 0) -> Result:
    series = {"loss": np.random.default_rng(seed).standard_normal((2, n))}
    return Result(
        run,
        status,
        ({"seed": 0}, {"seed": 1}),
        series,
        {"commit": "abc"},
        "a line\n",
        1.5,
    )


def same(a: object, b: object) -> bool:
    """Equality in which NaN equals NaN and 1 differs from 1.0, True and -0.0 from 0.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (
            a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        )
    return type(a) is type(b) and repr(a) == repr(b)


def same_result(a: Result, b: Result) -> bool:
    return a.run == b.run and all(
        same(getattr(a, name), getattr(b, name))
        for name in ("status", "rows", "series", "environment", "log", "seconds")
    )
