"""A benchmark suite with a plugin registry for optimizers near saddle points.

>>> import sfnbench
>>> suite = sfnbench.load_suite("smoke")
>>> runs = sfnbench.plan(suite)
>>> result = sfnbench.execute(runs[0])
>>> result.status
'ok'
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names once more, for type checkers; a test holds the two lists together
    from .core import (
        BelowOne as BelowOne,
    )
    from .core import (
        Calls as Calls,
    )
    from .core import (
        CoordinateSubspace as CoordinateSubspace,
    )
    from .core import (
        Count as Count,
    )
    from .core import (
        CriticalPoint as CriticalPoint,
    )
    from .core import (
        Curvature as Curvature,
    )
    from .core import (
        Fraction as Fraction,
    )
    from .core import (
        Index as Index,
    )
    from .core import (
        NonNegative as NonNegative,
    )
    from .core import (
        Optimizer as Optimizer,
    )
    from .core import (
        Oracle as Oracle,
    )
    from .core import (
        Positive as Positive,
    )
    from .core import (
        Problem as Problem,
    )
    from .core import (
        State as State,
    )
    from .core import (
        constant as constant,
    )
    from .errors import (
        CheckError as CheckError,
    )
    from .errors import (
        DataError as DataError,
    )
    from .errors import (
        DeviceError as DeviceError,
    )
    from .errors import (
        PluginError as PluginError,
    )
    from .errors import (
        SfnbenchError as SfnbenchError,
    )
    from .errors import (
        StoreError as StoreError,
    )
    from .errors import (
        SuiteError as SuiteError,
    )
    from .experiments import execute as execute
    from .finding import Equations as Equations
    from .finding import Finder as Finder
    from .finding import Iterate as Iterate
    from .planning import Chosen as Chosen
    from .planning import Run as Run
    from .planning import plan as plan
    from .registry import register as register
    from .session import run_suite as run_suite
    from .store import Result as Result
    from .store import Store as Store
    from .suite.schema import Suite as Suite
    from .suite.schema import load_suite as load_suite
    from .torch_optimizer import as_torch_optimizer as as_torch_optimizer

__version__ = "0.1.0"

_HOMES = {
    "core": "BelowOne Calls Count CriticalPoint Curvature Fraction Index NonNegative Optimizer Oracle Positive Problem "
    "State CoordinateSubspace constant",
    "errors": "CheckError DataError DeviceError PluginError SfnbenchError StoreError SuiteError",
    "experiments": "execute",
    "finding": "Equations Finder Iterate",
    "planning": "Chosen Run plan",
    "registry": "register",
    "session": "run_suite",
    "store": "Result Store",
    "suite.schema": "Suite load_suite",
    "torch_optimizer": "as_torch_optimizer",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing sfnbench does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'sfnbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
