"""The results of a folder as one object: its table, rows, curves, figures and comparisons."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SfnbenchError
from ..experiments import curves as series
from ..experiments.compare import compare
from ..experiments.summary import summary
from ..records import Result
from ..report.figure import Figure
from ..report.reasons import reasons, rerun_hint
from ..results.cells import Line
from ..results.export import flat_rows
from ..results.loading import load
from ..results.store import Store
from ..results.tables import legend, render
from ..words import counted, did_you_mean

if TYPE_CHECKING:
    from ..report.drawing import Drawing

CurveAxis = Literal["steps", "cost", "seconds"]


class ResultTable(list[Line]):
    """Rows of cells, which print as a table, in a notebook too."""

    def __repr__(self) -> str:
        return "\n".join(filter(None, [render(self, "plain"), legend(self)]))

    def _repr_html_(self) -> str:
        return f"{render(self, 'html')}<p>{escape(legend(self))}</p>"


class Results(os.PathLike[str]):
    """The results in a folder, as they are when they are asked for first.

    Iterating gives each `Result`, without its series. It stands for the folder wherever a path is
    wanted. Figures need ``sfnbench[report]``, data frames pandas or polars. StoreError where the
    folder holds no results.
    """

    def __init__(self, folder: str | os.PathLike[str] = ".") -> None:
        self.folder = Path(folder)
        with Store(self.folder):  # raises where there is nothing
            pass

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def _results(self) -> tuple[Result, ...]:
        with Store(self.folder) as store:
            return tuple(store.summaries())

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    # -- what became of them -----------------------------------------------------------------------

    @property
    def statuses(self) -> dict[str, int]:
        """How many runs ended with each status."""
        return dict(Counter(str(result.status) for result in self))

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by their titles."""
        return {each.run.title: each.reason for each in self if each.status.failed}

    @property
    def complaints(self) -> list[str]:
        """The runs that broke or diverged, a line for each reason, and the way back."""
        hint = rerun_hint(self, self.folder)
        return [*reasons(self), *([hint] if hint else [])]

    # -- as a table --------------------------------------------------------------------------------

    @property
    def table(self) -> ResultTable:
        """The table that ``sfnbench show`` prints."""
        return ResultTable(summary(self))

    def __repr__(self) -> str:
        statuses = ", ".join(f"{n} {status}" for status, n in self.statuses.items())
        return f"<Results: {self.folder}, {counted(len(self), 'run')}: {statuses}>"

    def __str__(self) -> str:
        return "\n".join([repr(self.table), *self.complaints])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{escape(line)}</p>" for line in self.complaints)
        return f"{self.table._repr_html_()}{said}"

    def compare(self, other: Results | str | Path) -> ResultTable:
        """The changes, worse or better, from `other` (a folder or a commit, too) to these."""
        before = load(os.fspath(other))
        changes = compare(before, load(self.folder))
        return ResultTable(change.line() for change in changes)

    # -- as data -----------------------------------------------------------------------------------

    def to_pandas(self, *, curves: bool = False) -> Any:
        """A data frame with a row per run and seed; with `curves` per run, seed and step."""
        return _imported("pandas").DataFrame(self._columns(curves))

    def to_polars(self, *, curves: bool = False) -> Any:
        """As `to_pandas`, for polars; columns of mixed types are text."""
        columns = {
            name: _alike(each) for name, each in self._columns(curves).items()
        }
        return _imported("polars").DataFrame(columns, strict=False)

    def _columns(self, curves: bool) -> dict[str, list[Any]]:
        with Store(self.folder) as store:
            if curves:
                return series.curves(store.results())
            flat = flat_rows(store)
        return {
            name: [row[name] for row in flat] for name in (flat[0] if flat else ())
        }

    # -- as figures --------------------------------------------------------------------------------

    @cached_property
    def _sections(self) -> list[Any]:
        from ..report.sections import gather

        sections, _ = gather([self.folder])
        return sections

    @property
    def figures(self) -> list[str]:
        """The names of all figures."""
        found = (figure.name for each in self._sections for figure in each.figures)
        return list(dict.fromkeys(found))

    def figure(self, name: str, against: CurveAxis = "steps") -> Drawing:
        """The figure of that name, curves against steps, cost or seconds."""
        for section in self._sections:
            for figure in section.figures:
                if figure.name == name and figure.against in (None, against):
                    return _drawing_of(section, figure)
        raise SfnbenchError(f"no figure {name!r}{did_you_mean(name, self.figures)}")

    def plot(self, metric: str = "loss", against: CurveAxis = "steps") -> Drawing:
        """One metric (loss, escape, gradient_norm, min_eigenvalue), a panel for each problem."""
        known: dict[str, None] = {}
        for section in self._sections:
            panels = []
            for figure in section.figures:
                for panel in figure.panels if figure.against == against else ():
                    known[panel.name] = None
                    if panel.name == metric:
                        panels.append((figure.title, panel))
            if panels:
                return _drawing_of(section, _side_by_side(metric, panels))
        raise SfnbenchError(
            f"no curve of {metric!r} here{did_you_mean(metric, known)}"
        )


# -- inside ----------------------------------------------------------------------------------------


def _drawing_of(section: Any, figure: Figure) -> Drawing:
    from ..report.drawing import Drawing
    from ..report.looks import looks

    drawing = Drawing(figure, looks(section.methods), section.suite)
    # where matplotlib is missing, `canvas` says so
    assert drawing.canvas is not None
    return drawing


def _side_by_side(metric: str, panels: list[tuple[str, Any]]) -> Figure:
    from dataclasses import replace

    titled = [replace(panel, title=problem) for problem, panel in panels]
    return Figure(metric, panels[0][1].title, titled)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        message = f"to_{name} needs the package {name}: pip install {name}"
        raise SfnbenchError(message) from None


def _alike(values: list[Any]) -> list[Any]:
    """The values, as text where they are of several types."""
    types = {type(each) for each in values if each is not None}
    if len(types) <= 1 or types <= {int, float}:
        return values
    return [each if each is None else str(each) for each in values]
