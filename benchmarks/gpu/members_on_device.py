"""Members on a device: the contract, and the answers of a GPU beside those of a CPU."""

from collections.abc import Iterator

import torch
from place import Line, Place
from torch import Tensor

from sfnbench.members import registry
from sfnbench.members.contract import failures
from sfnbench.members.contract.devices import answers

FEW = ("quadratic_saddle", "mlp", "msgd", "sfn", "damped_newton", "newton_mr")
ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-4}
# an answer that is a difference of larger numbers carries their rounding
N_ROUNDINGS = 100
CPU = torch.device("cpu")


def contract(place: Place) -> Iterator[Line]:
    """Each member's clauses, with its points on the device."""
    for name, cls in _members(place):
        found = failures(cls, str(place.device))
        broken = [f"{clause}: {told}" for clause, told in found.items() if told]
        kept = f"{len(found) - len(broken)} of {len(found)}"
        yield {"member": name, "clauses kept": kept, "broken": "; ".join(broken)}


def equality(place: Place) -> Iterator[Line]:
    """The largest difference between the device's answers and the CPU's."""
    for name, cls in _members(place):
        line: Line = {"member": name}
        member, is_same = cls(), True
        for dtype, most in ALLOWED.items():
            found = answers(member, place.device, dtype)
            expected = answers(member, CPU, dtype)
            rounding = N_ROUNDINGS * torch.finfo(dtype).eps * _largest(expected)
            worst = 0.0
            for each, value in expected.items():
                apart = _difference(found[each].cpu(), value)
                worst = max(worst, apart)
                if apart > most and apart * _size(value) > rounding:
                    is_same = False
                    line[f"where in {dtype}"] = each
            line[str(dtype).removeprefix("torch.")] = worst
        yield {**line, "same": is_same}


def _size(tensor: Tensor) -> float:
    """Its largest number that is finite, in absolute terms."""
    numbers = tensor.double().abs().reshape(-1)
    numbers = numbers[numbers.isfinite()]
    return float(numbers.max()) if len(numbers) else 0.0


def _largest(answers: dict[str, Tensor]) -> float:
    return max(_size(tensor) for tensor in answers.values())


def _members(place: Place) -> Iterator[tuple[str, type]]:
    """Name and class of all members, of a few on a CPU."""
    for kind in registry.KINDS:
        for name, member in registry.members(kind).items():
            if place.on_gpu or name in FEW:
                yield f"{kind} {name}", registry.load(member)


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected number; NaN equals NaN."""
    a, b = (t.double().reshape(-1).nan_to_num(nan=0.0) for t in (found, expected))
    if not torch.equal(found.isnan(), expected.isnan()):
        return float("inf")
    if not len(a):
        return 0.0
    return float((a - b).abs().max()) / max(_size(b), 1e-300)
