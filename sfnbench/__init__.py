"""A benchmark suite with a plugin registry for optimizers near saddle points.

>>> import sfnbench
>>> suite = sfnbench.load_suite("smoke")
>>> runs = sfnbench.plan(suite)
>>> result = sfnbench.execute(runs[0])
>>> result.status
<Status.OK: 'ok'>
"""

from typing import TYPE_CHECKING, Any

# the same names once more, for type checkers; a test compares the two lists
if TYPE_CHECKING:
    from . import datasets as datasets
    from .card.making import make_card as make_card
    from .core.constant import constant as constant
    from .core.cost import Calls as Calls
    from .core.fields import BelowOne as BelowOne
    from .core.fields import Count as Count
    from .core.fields import Fraction as Fraction
    from .core.fields import Index as Index
    from .core.fields import NonNegative as NonNegative
    from .core.fields import Positive as Positive
    from .core.finder import Equations as Equations
    from .core.finder import Finder as Finder
    from .core.finder import Iterate as Iterate
    from .core.metric import Metric as Metric
    from .core.network import Network as Network
    from .core.optimizer import Optimizer as Optimizer
    from .core.optimizer import State as State
    from .core.oracle import Curvature as Curvature
    from .core.oracle import Oracle as Oracle
    from .core.problem import CoordinateSubspace as CoordinateSubspace
    from .core.problem import CriticalPoint as CriticalPoint
    from .core.problem import Problem as Problem
    from .errors import CheckError as CheckError
    from .errors import DataError as DataError
    from .errors import DeviceError as DeviceError
    from .errors import ModelError as ModelError
    from .errors import PluginError as PluginError
    from .errors import SfnbenchError as SfnbenchError
    from .errors import StoreError as StoreError
    from .errors import SuiteError as SuiteError
    from .inspection.inspect import inspect as inspect
    from .linalg.lanczos import lanczos as lanczos
    from .members.registry import register as register
    from .modules.problem import ModuleProblem as ModuleProblem
    from .notebook.results import Results as Results
    from .notebook.running import run_suite as run_suite
    from .records import Result as Result
    from .records import Run as Run
    from .records import Spec as Spec
    from .records import Status as Status
    from .results.store import Store as Store
    from .session.execute import execute as execute
    from .suite.plan import plan as plan
    from .suite.reading import Suite as Suite
    from .suite.reading import load_suite as load_suite
    from .trajectories.as_torch import as_torch_optimizer as as_torch_optimizer

__version__ = "0.1.0"

_HOMES = {
    "core.constant": "constant",
    "core.cost": "Calls",
    "core.fields": "BelowOne Count Fraction Index NonNegative Positive",
    "core.finder": "Equations Finder Iterate",
    "core.network": "Network",
    "core.metric": "Metric",
    "core.optimizer": "Optimizer State",
    "core.oracle": "Curvature Oracle",
    "core.problem": "CoordinateSubspace CriticalPoint Problem",
    "datasets": "datasets",  # public as a whole
    "errors": "CheckError DataError DeviceError ModelError PluginError SfnbenchError "
    "StoreError SuiteError",
    "inspection.inspect": "inspect",
    "linalg.lanczos": "lanczos",
    "members.registry": "register",
    "modules.problem": "ModuleProblem",
    "notebook.results": "Results",
    "notebook.running": "run_suite",
    "card.making": "make_card",
    "records": "Result Run Spec Status",
    "results.store": "Store",
    "session.execute": "execute",
    "suite.plan": "plan",
    "suite.reading": "Suite load_suite",
    "trajectories.as_torch": "as_torch_optimizer",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: importing sfnbench imports no torch."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'sfnbench' has no attribute {name!r}")

    home = import_module(f".{_HOME[name]}", __name__)
    return home if name == _HOME[name] else getattr(home, name)


def __dir__() -> list[str]:
    """Every public name."""
    return sorted(__all__)
