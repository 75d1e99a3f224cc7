"""The parameters that an entry gives, checked and completed by the member that they are for."""

from __future__ import annotations

import dataclasses
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import (
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from ..errors import AbsentError, PluginError, SfnbenchError
from ..members import registry
from ..members.registry import Kind, Member
from ..records import Spec
from .ranges import Tunable
from .validation import to_issues
from .yaml_nodes import Issue, Mark, Node, Note

if TYPE_CHECKING:
    from ..core.problem import Problem
    from ..trajectories.torch_entry import Fault

ENTRY_KEYS = ("use", "label")  # of an entry; its other keys are parameters
_LIST_HINT = " (several values to try are written {grid: [first, second]})"

MOST_DIM = 10**7  # of a problem whose known answers are points, at hand in a plan

# What a member's __post_init__ may raise on values that it did not expect; ValueError is pydantic's
_UNEXPECTED = (
    SfnbenchError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    PydanticSerializationError,
)


class Completed(NamedTuple):
    """All parameters of a member, as plain JSON values, and the member built from them."""

    params: dict[str, Any]
    instance: Any


class Completion(ABC):
    """Completes the parameters of one member; the same parameters are checked and built once."""

    # of a member of the registry
    names: Sequence[str] = ()
    # those that its class states, as a suite writes them
    own_ranges: Mapping[str, Mapping[str, Sequence[Any]]] = {}

    def __init__(self) -> None:
        self._completed: dict[str, Completed] = {}

    def complete(self, use: Node, params: Node, note: Note) -> Completed | None:
        """All parameters, from those that an entry gives; None where some are wrong."""
        # By way of JSON, whose strict reading takes a list for a tuple and a whole number for a
        # float, and no more
        text = json.dumps(params.plain())
        if text not in self._completed:
            completed = self._complete(use, params, text, note)
            if completed is None:
                return None
            self._completed[text] = completed
        return self._completed[text]

    @abstractmethod
    def _complete(
        self, use: Node, params: Node, text: str, note: Note
    ) -> Completed | None:
        """Checks and builds; `text` is the parameters as JSON."""


class RegisteredCompletion(Completion):
    """The completion of a member of the registry, by its fields; PluginError where it is broken."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        cls = registry.load(member)
        self.own_ranges = getattr(cls, "tuning_ranges", {})
        self._adapter = _adapter(cls, member)
        self.names = [each.name for each in dataclasses.fields(cls) if each.init]

    def _complete(
        self, use: Node, params: Node, text: str, note: Note
    ) -> Completed | None:
        try:
            instance = self._adapter.validate_json(text, strict=True)
            values = self._adapter.dump_python(
                instance, mode="json", warnings=False
            )
        except ValidationError as error:
            keys = [*self.names, *ENTRY_KEYS]
            owner = f" of {use.content}"
            for issue in to_issues(
                error, params, lambda path: () if path else keys, owner, _LIST_HINT
            ):
                note(issue)
            return None
        except AbsentError:
            raise
        except _UNEXPECTED as error:
            is_ours = isinstance(error, SfnbenchError)
            if is_ours:
                reason = str(error)
            else:
                reason = f"{type(error).__name__}: {error}"
            note(Issue(use.at, f"{use.content} cannot be made: {reason}"))
            return None
        if n := _too_many_parameters(instance):
            most = f"at most {MOST_DIM:,} without a network"
            note(
                Issue(use.at, f"{use.content} would have {n:,} parameters: {most}")
            )
            return None
        return Completed({name: values[name] for name in self.names}, instance)


def _too_many_parameters(instance: Any) -> int:
    """The parameters of a problem that is no network, where they are too many; otherwise 0."""
    if getattr(instance, "knows_outputs", True):  # a network, or no problem
        return 0
    try:
        n = int(instance.dim)
    except (*_UNEXPECTED, ValueError):  # said where it is asked for
        return 0
    if n > MOST_DIM:
        return n
    return 0


class Ground(NamedTuple):
    """What a suite says to its methods: problems, dtypes, steps of its budget, ranges, indices."""

    problems: tuple[Spec, ...] = ()
    dtypes: tuple[str, ...] = ("float64",)
    n_steps: int | None = None
    # ranges that a class states hold where an entry says nothing
    tunes_own: bool = False
    indices: tuple[int, ...] = ()  # that finders of an index are asked for

    @property
    def built(self) -> dict[str, Problem]:
        """The problems by label."""
        return {spec.label: instances("problem", spec)[0] for spec in self.problems}


class StockCompletion(Completion):
    """The completion of a stock optimizer: it tries its parameters on the suite's problems."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self._ground = ground
        self._faults: dict[str, list[Fault]] = {}

    def _complete(
        self, use: Node, params: Node, text: str, note: Note
    ) -> Completed | None:
        from ..trajectories.stock import completed, find_faults  # imports torch

        given = json.loads(text)
        ground = self._ground
        if text not in self._faults:
            self._faults[text] = find_faults(
                use.content, given, ground.built, ground.dtypes, ground.n_steps
            )
        faults = self._faults[text]
        for path, message in faults:
            is_key = message.startswith("unknown key")
            note(Issue(_key_place(use, params, path, is_key=is_key), message))
        if faults:
            return None
        return Completed(
            completed(use.content, given, ground.n_steps), _stock(given)
        )


def _key_place(
    use: Node, params: Node, path: Sequence[str], *, is_key: bool
) -> Mark:
    """Where a path of keys leads: its last key, or what stands there; the name for no path."""
    at = use.at
    node = params
    for key in path:
        child = node.child(key)
        if child is None:
            break
        if is_key and key == path[-1]:
            at = node.keys[key]
        else:
            at = child.at
        node = child
    return at


@dataclasses.dataclass(frozen=True)
class StockOptimizer:
    """The questions of a plan to a stock optimizer."""

    batch_size: int | None

    def misfit(self, problem: Problem) -> str | None:
        """Why it cannot run on this problem; None where it can."""
        from ..core.problem import batch_misfit  # imports torch

        return batch_misfit(problem, [self.batch_size])


def instances(kind: Kind, spec: Spec) -> tuple[Any, ...]:
    """The members that a spec stands for, built: one, or for a Tunable one at each extreme."""
    if spec.instances:
        return spec.instances
    if isinstance(spec, Tunable):
        specs = tuple(spec.extremes)
    else:
        specs = (spec,)
    return tuple(_build(kind, each) for each in specs)


def _build(kind: Kind, spec: Spec) -> Any:
    if registry.is_stock(spec.use):
        return _stock(spec.params)
    return registry.build(kind, spec.use, spec.params)


def _stock(params: dict[str, Any]) -> StockOptimizer:
    from ..trajectories.stock import batch_size  # imports torch

    return StockOptimizer(batch_size(params))


def _adapter(cls: type, member: Member) -> TypeAdapter[Any]:
    """Pydantic's reader of a member's fields; PluginError where a suite cannot make the class."""
    if "__dataclass_fields__" not in vars(cls):  # those of a base do not count
        raise PluginError(f"{member.path}: {cls.__name__} is not a dataclass")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(
            f"{member.path}: {cls.__name__} does not define {missing}"
        )
    try:
        return registry.adapter(cls)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = str(error.message).partition("\n")[0]
        message = (
            f"{member.path}: the fields of {cls.__name__} cannot be read: {reason}"
        )
        raise PluginError(message) from error
