"""Rates on a device: events and wall time, seeds in a batch, networks, dense steps."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

import numpy as np
import torch
from operations import operations
from place import Line, Place
from torch import Tensor

from sfnbench.core.oracle import Oracle
from sfnbench.core.problem import Problem
from sfnbench.experiments.draws import Draws
from sfnbench.experiments.setup import Setup
from sfnbench.experiments.throughput.timer import Timer, repeating
from sfnbench.members import registry
from sfnbench.records import Run, Spec

PAPER = {"dataset": "mnist", "size": None, "n_examples": None}
DEEP = {**PAPER, "hidden": [1000, 500, 250, 30]}
SHALLOW = {"dataset": "digits", "size": None, "n_examples": None, "hidden": [32, 8]}
TEXT = {
    "dataset": "penn_treebank",
    "n_characters": None,
    "n_units": 120,
    "length": 50,
}
SADDLES = ("quadratic_saddle", "monkey_saddle")
STEPS_AWAY = 20  # from a saddle, before seeds begin again


def events(place: Place) -> Iterator[Line]:
    """The same work by the clock of throughput, events on a GPU, and by the wall's."""
    timer = Timer(place.device, 3, 0.1)
    n = place.sized(4096, 256)
    A = torch.randn(n, n, device=place.device)
    x = torch.ones(1000, device=place.device)
    works: dict[str, tuple[Callable[[], object], int]] = {
        f"20 products of {n}x{n}": (partial(torch.mm, A, A), 20),
        "1000 sums of 1000 numbers": (partial(torch.add, x, x), 1000),
    }
    for name, (act, times) in works.items():
        work = repeating(act)(times)
        work()
        place.wait()
        by_timer, by_wall = [], []
        for _ in range(5):
            by_timer.append(timer.time(work)[0])
            began = perf_counter()
            work()
            place.wait()
            by_wall.append(perf_counter() - began)
        timed, wall = (float(np.median(each)) for each in (by_timer, by_wall))
        yield {
            "work": name,
            "timer_s": timed,
            "wall_s": wall,
            "ratio": timed / wall,
        }


def seeds(place: Place) -> Iterator[Line]:
    """Steps a second of many seeds in one batch."""
    timer = Timer(place.device, 5, place.sized(0.1, 0.005))
    for use in SADDLES:
        for method, params in (("msgd", {}), ("sfn", {"damping": 0.1})):
            for n in place.sized((1, 16, 256, 4096), (1, 4)):
                step = _step(place, Spec(use, use, {}, ""), method, params, n)
                took = timer.in_turn({"step": timer.block_of(repeating(step))})[
                    "step"
                ]
                step_s = float(np.median(took))
                yield {
                    "problem": use,
                    "optimizer": method,
                    "seeds": n,
                    "steps_per_s": 1 / step_s,
                    "seed_steps_per_s": n / step_s,
                }


def network(place: Place) -> Iterator[Line]:
    """Gradients and products of the deep autoencoder, float32, without and with TF32."""
    params = place.sized(DEEP, SHALLOW)
    problem = registry.build("problem", "autoencoder", params)
    if problem.missing_data:
        yield {"note": f"left out: {problem.missing_data}"}
        return
    for size in place.sized((500, 2000, 10_000, 60_000), (50, 200)):
        for precision, name in (("highest", "off"), ("high", "on")):
            torch.set_float32_matmul_precision(precision)
            try:
                yield {"batch": size, "TF32": name, **_asked(place, problem, size)}
            finally:
                torch.set_float32_matmul_precision("highest")


def recurrent(place: Place) -> Iterator[Line]:
    """Gradients and products of the recurrent network."""
    problem = registry.build("problem", "rnn", place.sized(TEXT, {}))
    if problem.missing_data:
        yield {"note": f"left out: {problem.missing_data}"}
        return
    for size in place.sized((100, 1000), (5,)):
        yield {"batch": size, **_asked(place, problem, size)}


def dense(place: Place) -> Iterator[Line]:
    """A step of saddle-free Newton, and its parts, in both precisions."""
    large = {**PAPER, "size": 10, "hidden": [25]}
    small = {"dataset": "digits", "size": 4, "n_examples": 200, "hidden": [5]}
    yield from _dense(place, place.sized(large, small), ("float32", "float64"))


def large_dense(place: Place) -> Iterator[Line]:
    """The same with 10,000 parameters."""
    large = {**PAPER, "size": 10, "hidden": [90]}
    small = {"dataset": "digits", "size": 4, "n_examples": 200, "hidden": [8]}
    yield from _dense(place, place.sized(large, small), ("float32", "float64"))


def _dense(place: Place, params: dict, dtypes: tuple[str, ...]) -> Iterator[Line]:
    problem = registry.build("problem", "mlp", params)
    if problem.missing_data:
        yield {"note": f"left out: {problem.missing_data}"}
        return
    newton = registry.build("optimizer", "sfn", {"damping": 0.1})
    timer = Timer(place.device, 1, 0.1)

    def seconds(act: Callable[[], object]) -> float:
        return timer.time(repeating(act)(1))[0]

    for dtype in dtypes:
        place.forget()
        start = problem.start(torch.Generator().manual_seed(0))
        theta = start.to(place.device, getattr(torch, dtype))
        hessian = partial(problem.hessian, theta, None)
        line: Line = {"parameters": problem.dim, "dtype": dtype}
        H = hessian()  # the first call warms up
        line["hessian_s"] = seconds(hessian)
        line["eigh_s"] = seconds(partial(torch.linalg.eigh, H))
        del H
        oracle = Oracle(problem, eager=True, theta=theta)
        line["step_s"] = seconds(partial(newton.step, oracle, theta, ()))
        yield {**line, "peak_MB": _peak(place)}


def _step(
    place: Place, problem: Spec, use: str, params: dict, n: int
) -> Callable[[], None]:
    """A step of n seeds, which begin again every so often: they stay near the saddle."""
    seeds = tuple(range(n))
    method = Spec(use, use, params, "")
    run = Run(
        "gpu", "race", problem, method, seeds, {}, "float64", str(place.device)
    )
    setup = Setup(run)
    drawn = Draws(setup, seeds).next()
    moving = setup.trajectories(setup.starts(seeds), seeds)
    begin = moving.memory()
    assert begin is not None
    n_steps = itertools.count(1)

    def step() -> None:
        moving.step(*drawn)
        if next(n_steps) % STEPS_AWAY == 0:
            moving.recall(begin)

    return step


def _asked(place: Place, problem: Problem, size: int) -> Line:
    """What a gradient and a product on a batch cost, beside a large product of matrices."""
    place.forget()
    rng = torch.Generator().manual_seed(0)
    theta = problem.start(rng).to(place.device, torch.float32)
    batch = problem.draw(rng, size).to(place.device)
    if size == problem.population:
        batch = None
    oracle = Oracle(problem, (batch,), eager=True)
    product, v = oracle.curvature(theta).hvp, torch.ones_like(theta)
    n = place.sized(8192, 256)
    A = torch.randn(n, n, device=place.device)
    n_operations = operations(partial(product, v))
    timer = Timer(place.device, place.sized(7, 3), place.sized(0.1, 0.01))
    works: dict[str, Callable[[], Tensor]] = {
        "grad": partial(oracle.grad, theta),
        "hvp": partial(product, v),
        "mm": partial(torch.mm, A, A),
    }
    blocks = {name: timer.block_of(repeating(act)) for name, act in works.items()}
    took = {name: float(np.median(s)) for name, s in timer.in_turn(blocks).items()}
    reached, most = n_operations / took["hvp"], 2 * n**3 / took["mm"]
    return {
        "grad_ms": took["grad"] * 1e3,
        "hvp_ms": took["hvp"] * 1e3,
        "hvp_in_grads": took["hvp"] / took["grad"],
        "hvp_TFLOPs": reached / 1e12,
        "matmul_TFLOPs": most / 1e12,
        "share": reached / most,
        "peak_MB": _peak(place),
    }


def _peak(place: Place) -> float | str:
    """The most that tensors took on a GPU since `Place.forget`."""
    if not place.on_gpu:
        return ""
    return torch.cuda.max_memory_allocated(place.device) / 1e6
