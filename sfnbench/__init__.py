"""A benchmark suite with a plugin registry for optimizers near saddle points.

>>> import sfnbench
>>> suite = sfnbench.load_suite("smoke")
>>> runs = sfnbench.plan(suite)
>>> result = sfnbench.execute(runs[0])
>>> result.status
'ok'
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import (
        BelowOne,
        Calls,
        Count,
        CriticalPoint,
        Curvature,
        Fraction,
        Index,
        NonNegative,
        Optimizer,
        Oracle,
        Positive,
        Problem,
        State,
        constant,
    )
    from .errors import (
        CheckError,
        DataError,
        DeviceError,
        PluginError,
        SfnbenchError,
        StoreError,
        SuiteError,
    )
    from .experiments import execute
    from .plan import Chosen, Run, plan
    from .registry import register
    from .session import run_suite
    from .store import Result, Store
    from .suite import Suite, load_suite

__version__ = "0.1.0"

_HOMES = {
    "core": "BelowOne Calls Count CriticalPoint Curvature Fraction Index NonNegative Optimizer Oracle Positive Problem State constant",
    "errors": "CheckError DataError DeviceError PluginError SfnbenchError StoreError SuiteError",
    "experiments": "execute",
    "plan": "Chosen Run plan",
    "registry": "register",
    "session": "run_suite",
    "store": "Result Store",
    "suite": "Suite load_suite",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing sfnbench does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'sfnbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
