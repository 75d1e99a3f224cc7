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
            apart = {
                each: _difference(found[each].cpu(), value)
                for each, value in expected.items()
            }
            worst = max(apart, key=lambda each: apart[each])
            line[str(dtype).removeprefix("torch.")] = apart[worst]
            is_same &= apart[worst] <= most
            if apart[worst] > most:
                line[f"where in {dtype}"] = worst
        yield {**line, "same": is_same}


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
    scale = b.abs().max().clamp_min(1e-300)
    return float((a - b).abs().max() / scale)
