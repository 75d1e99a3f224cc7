"""A pure function of tensors, whose operators are recorded once and then repeated without Python.

The step of an optimizer, mapped over seeds, is hundreds of operators on small tensors. Each goes
through Python, `torch.func.vmap` and `torch.func.grad` to the same few kernels every time. A tape
keeps these kernels' calls. Repeated, they give the same numbers to the last bit: two calls check it
before the tape is trusted, and a shape that is new, or an error, goes back to the function itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

from ..core.cuda_graph import CudaGraph, Tensors

# calls that go by untouched: a tape costs as much as a dozen calls, so the shortest runs have none
N_BEFORE = 5
N_CHECKS = 2  # calls by both ways, whose results must have the same bits


class TapePlace(NamedTuple):
    """Where a tensor is among a tape's values."""

    at: int


class Call(NamedTuple):
    """One operator's call: its arguments, flat, with places where tensors are."""

    operator: Callable[..., Any]
    arguments: list[Any]
    form: TreeSpec  # of (args, kwargs)
    results: list[int | None]  # places


class Tape(TorchDispatchMode):
    """Records the operators that are called in it, on these inputs and on what comes of them.

    All other tensors are constants.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._places = WeakTensorKeyDictionary()
        self._constants: dict[int, Tensor] = {}
        self._calls: list[Call] = []
        self._n_values = 0
        for tensor in inputs:
            self._new(tensor)
        self._n_inputs = self._n_values

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the operator, and keep the call."""
        flat, form = tree_flatten((args, kwargs or {}))
        arguments = [
            TapePlace(self.place(x)) if isinstance(x, Tensor) else x for x in flat
        ]
        found = func(*args, **(kwargs or {}))
        results = [
            self._new(x) if isinstance(x, Tensor) else None
            for x in tree_flatten(found)[0]
        ]
        self._calls.append(Call(func, arguments, form, results))
        return found

    @property
    def solves(self) -> bool:
        """Whether it calls linear algebra, which reads on the CPU what became of it."""
        return any("linalg" in call.operator.__name__ for call in self._calls)

    def place(self, tensor: Tensor) -> int:
        """Where a tensor is; one that is new is a constant."""
        if tensor not in self._places:
            self._constants[self._new(tensor)] = tensor
        return cast(int, self._places[tensor])

    def repeat(self, inputs: Sequence[Tensor], wanted: Sequence[int]) -> Tensors:
        """The values at these places, for other inputs of the same shapes."""
        values: dict[int, Tensor] = dict(enumerate(inputs)) | self._constants
        for call in self._calls:
            flat = [
                values[x.at] if isinstance(x, TapePlace) else x
                for x in call.arguments
            ]
            args, kwargs = tree_unflatten(flat, call.form)
            found = tree_flatten(call.operator(*args, **kwargs))[0]
            for at, value in zip(call.results, found, strict=True):
                if at is not None:
                    values[at] = value
        return tuple(values[at] for at in wanted)

    def _new(self, tensor: Tensor) -> int:
        self._places[tensor] = self._n_values
        self._n_values += 1
        return self._n_values - 1


class Replayed:
    """A pure function of trees of tensors that becomes faster after some calls."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self._f = f
        self._n_calls = 0
        self._inputs: list[Tensor] = []  # of the call that was recorded
        self._form: TreeSpec | None = None
        self._form_after: Any = None
        self._is_tried = False
        self._compiled: Callable[..., Tensors] | None = None
        self._n_checks = N_CHECKS  # left to do
        self._can_be_graph = False  # of CUDA
        self._graph: CudaGraph | None = None

    def __call__(self, *trees: Any) -> Any:
        """The function's value."""
        flat, form = tree_flatten(trees)
        inputs = [x for x in flat if isinstance(x, Tensor)]
        self._n_calls += 1
        if self._compiled is None:
            if self._n_calls > N_BEFORE and not self._is_tried and _apart(inputs):
                return self._recorded(trees, inputs, form)
            return self._f(*trees)
        if not self._fits(inputs, form):
            return self._f(*trees)
        if self._n_checks:
            return self._checked(trees, inputs)
        try:
            found = self._repeated(inputs)
        except RuntimeError:  # the function itself says what is wrong
            return self._f(*trees)
        return tree_unflatten(found, self._form_after)

    @property
    def is_ready(self) -> bool:
        """Whether the tape is trusted."""
        return self._compiled is not None and not self._n_checks

    def _repeated(self, inputs: list[Tensor]) -> Tensors:
        assert self._compiled is not None
        if self._can_be_graph and not self._n_checks:
            if self._graph is None:
                self._graph = CudaGraph(self._operator_by_operator, inputs)
            return self._graph(*inputs)
        return self._operator_by_operator(*inputs)

    def _operator_by_operator(self, *inputs: Tensor) -> Tensors:
        """Fused ones would round otherwise."""
        assert self._compiled is not None
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # there, but not in the stubs
            return self._compiled(*inputs)

    def _fits(self, inputs: list[Tensor], form: TreeSpec) -> bool:
        """Whether inputs are shaped like those recorded."""
        return form == self._form and _shapes_of(inputs) == _shapes_of(self._inputs)

    def _recorded(self, trees: Any, inputs: list[Tensor], form: TreeSpec) -> Any:
        """The function's value, and a tape of its operators."""
        self._is_tried = True
        tape = Tape(inputs)
        with tape:
            after = self._f(*trees)
        results, self._form_after = tree_flatten(after)
        if all(isinstance(x, Tensor) for x in results):
            wanted = [tape.place(x) for x in results]
            self._inputs = inputs
            self._form = form
            on_gpu = all(x.is_cuda for x in inputs)
            self._can_be_graph = on_gpu and not tape.solves
            self._compiled = _compiled(
                lambda *others: tape.repeat(others, wanted), tuple(inputs)
            )
        return after

    def _checked(self, trees: Any, inputs: list[Tensor]) -> Any:
        """The function's value; the tape is dropped where it gives another."""
        after = self._f(*trees)
        try:
            found = self._repeated(inputs)
        except RuntimeError:
            self._compiled = None
            return after
        if not _same(found, tree_flatten(after)[0]):
            self._compiled = None
        elif not _same(inputs, self._inputs):  # else there is nothing to see
            self._n_checks -= 1
        return after


def _apart(inputs: list[Tensor]) -> bool:
    """Whether no tensor is there twice: on a tape, both places would be one."""
    return len({id(x) for x in inputs}) == len(inputs)


def _shapes_of(tensors: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    return [(x.shape, x.dtype) for x in tensors]


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether all values are the same, NaN being NaN."""
    return all(
        torch.allclose(x, y, rtol=0, atol=0, equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


def _compiled(
    f: Callable[..., Tensors], inputs: Tensors
) -> Callable[..., Tensors] | None:
    """The function traced; None where torch cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit will go, one day
        try:
            return cast(
                "Callable[..., Tensors]",
                torch.jit.trace(f, inputs, check_trace=False),
            )
        except Exception:
            # this torch has no jit, or jit does not know an operator
            return None
