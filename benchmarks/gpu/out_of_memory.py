"""Memory on a device: what steps take, and what happens where there is too little."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from place import Line, Place
from rates import DEEP

from sfnbench.core.memory import Parts
from sfnbench.core.oracle import Oracle
from sfnbench.core.problem import Problem
from sfnbench.experiments.throughput.machine import PeakMemory
from sfnbench.members import registry

SMALL = {
    "dataset": "digits",
    "size": None,
    "n_examples": None,
    "hidden": [8000, 30],
}


def memory(place: Place) -> Iterator[Line]:
    """The peak of a gradient, of a linearisation with a product, and of a Krylov step."""
    problem, theta = _deep(place)
    if theta is None:
        yield {"note": f"left out: {problem.missing_data}"}
        return
    size = place.sized(10_000, 200)
    batch = problem.draw(torch.Generator().manual_seed(0), size).to(place.device)
    krylov = registry.build("optimizer", "krylov_sfn", {"k": 20})
    state = krylov.init(theta)

    def linearised() -> None:
        Oracle(problem, (batch,), eager=True).curvature(theta).hvp(theta)

    def step() -> None:
        krylov.step(Oracle(problem, (batch,), eager=True), theta, state)

    def gradient() -> None:
        Oracle(problem, (batch,), eager=True).grad(theta)

    for name, act in {
        "a gradient": gradient,
        "a product": linearised,
        "a Krylov step, k = 20": step,
    }.items():
        place.forget()
        peak = PeakMemory(place.device)
        act()
        place.wait()
        yield {
            "work": name,
            "parameters": problem.dim,
            "batch": size,
            "peak_MB": peak.in_bytes() / 1e6,
        }


def out_of_memory(place: Place) -> Iterator[Line]:
    """Answers where memory does not hold the batch whole, beside those where it does."""
    problem, theta = _deep(place)
    if theta is None:
        yield {"note": f"left out: {problem.missing_data}"}
        return

    def asked(parts: Parts) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        oracle = Oracle(problem, eager=True, memory=parts)
        loss, grad = oracle.loss_and_grad(theta)
        return loss, grad, oracle.curvature(theta).hvp(theta)

    expected = asked(Parts())
    place.forget()
    parts = Parts()
    with _little(place, place.sized(600, 120)):
        found = asked(parts)
    names = ("loss", "gradient", "product")
    for name, here, there in zip(names, found, expected, strict=True):
        apart = float((here - there).abs().max() / there.abs().max())
        yield {"answer": name, "parts": parts.n, "difference": apart}
    if parts.n == 1:
        raise AssertionError("memory did not run out: the batch stayed whole")


def _deep(place: Place) -> tuple[Problem, torch.Tensor | None]:
    """The deep autoencoder and its start, None where its data are missing."""
    problem = registry.build("problem", "autoencoder", place.sized(DEEP, SMALL))
    if problem.missing_data:
        return problem, None
    theta = problem.start(torch.Generator().manual_seed(0))
    return problem, theta.to(place.device, torch.float32)


@contextmanager
def _little(place: Place, mb: int) -> Iterator[None]:
    """At most so many more megabytes than are in use now."""
    if place.on_gpu:
        total = torch.cuda.get_device_properties(place.device).total_memory
        allowed = torch.cuda.memory_reserved(place.device) + mb * 1e6
        # of the current device: not every torch takes one without a number
        torch.cuda.set_per_process_memory_fraction(allowed / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + int(mb * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
