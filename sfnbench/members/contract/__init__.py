"""The public contract.

What every problem, optimizer, finder and metric keeps, and what plugin authors run with
``sfnbench check``.

Each check takes a member with its default settings and raises CheckError, or whatever the member
itself raises, where the contract is broken. A check's docstring is the clause of the contract.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from ...core.finder import Finder
from ...core.metric import Metric
from ...core.optimizer import Optimizer
from ...core.problem import Problem
from ...errors import CheckError
from .devices import stays_on_its_device, trains_modules_on_their_device
from .finders import FINDER_CHECKS
from .metrics import METRIC_CHECKS
from .optimizers import OPTIMIZER_CHECKS
from .problems import PROBLEM_CHECKS
from .shared import DEVICE, SHARED, AnyMember


def failures(cls: type[AnyMember], device: str = "cpu") -> dict[str, str]:
    """Every check by name with what it found wrong in the class's defaults.

    An empty text where the contract is kept. `device` is where points are, ``cpu`` or ``cuda``.
    """
    try:
        member = cls()
    except Exception as error:
        # a member under test may raise anything, here and below
        said = f"{cls.__name__}() raises {type(error).__name__}: {error}"
        return {"has_defaults": _at_line(error, cls) + said}
    found = {}
    before = DEVICE.set(device)
    for check in [*SHARED, stays_on_its_device, *_own_values(member)]:
        try:
            check(member)
            found[check.__name__] = ""
        except CheckError as error:
            # a check that says what another error means stands where that was raised
            found[check.__name__] = _at_line(error.__context__, type(member)) + str(
                error
            )
        except Exception as error:
            found[check.__name__] = _message_of(error, type(member))
    DEVICE.reset(before)
    return found


def _at_line(error: BaseException | None, cls: type) -> str:
    """The last line of a member's own file that an error came from, as ``file:line: ``."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    frames = traceback.extract_tb(error.__traceback__) if error else ()
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{file}:{lines[-1]}: " if lines else ""


def _message_of(error: Exception, cls: type) -> str:
    """What a member raised, and where."""
    message = f"{type(error).__name__}: {error}"
    if "data-dependent control flow" in message:
        message = "it branches on a tensor's value: say vmappable = False, or use torch.where"
    return _at_line(error, cls) + message


def _own_values(member: Any) -> tuple[Any, ...]:
    if isinstance(member, Finder):
        return FINDER_CHECKS
    if isinstance(member, Metric):
        return METRIC_CHECKS
    if isinstance(member, Problem):
        return PROBLEM_CHECKS
    return (*OPTIMIZER_CHECKS, trains_modules_on_their_device)


def _check_class(cls: type[AnyMember]) -> None:
    broken = {name: message for name, message in failures(cls).items() if message}
    if broken:
        raise CheckError(
            "\n".join(
                f"{cls.__name__} {name}: {message}"
                for name, message in broken.items()
            )
        )


def check_optimizer(cls: type[Optimizer]) -> None:
    """Run every check on an optimizer with its default settings.

    CheckError lists all that is broken.
    """
    _check_class(cls)


def check_problem(cls: type[Problem]) -> None:
    """Run every check on a problem with its default settings.

    CheckError lists all that is broken.
    """
    _check_class(cls)


def check_finder(cls: type[Finder]) -> None:
    """Run every check on a finder with its default settings.

    CheckError lists all that is broken.
    """
    _check_class(cls)


def check_metric(cls: type[Metric]) -> None:
    """Run every check on a metric with its default settings.

    CheckError lists all that is broken.
    """
    _check_class(cls)
