"""A figure that shows itself in a notebook, and can be saved."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SfnbenchError
from .figure import Figure
from .looks import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Drawing:
    """A figure, drawn where it is shown in a notebook or saved; `figure` is it as plain data."""

    def __init__(
        self,
        figure: Figure,
        known: Mapping[str, Look] | None = None,
        suite: str = "",
    ) -> None:
        self.figure = figure
        self._known = known or {}
        self._suite = suite

    @cached_property
    def canvas(self) -> Canvas:
        """Matplotlib's own figure. SfnbenchError where matplotlib is not installed."""
        from .draw_matplotlib import paint

        return paint(self.figure, self._known, self._suite)

    def save(self, path: str | Path) -> Path:
        """Write it as the suffix says: .png, .svg, .pdf."""
        from .draw_matplotlib import PICTURE_FORMATS, save

        path = Path(path)
        if path.suffix[1:] not in PICTURE_FORMATS:
            suffixes = ", ".join(f".{each}" for each in PICTURE_FORMATS)
            raise SfnbenchError(
                f"{path}: expected a name that ends with {suffixes}"
            )
        return save(self.canvas, path)

    def svg(self) -> str:
        """It as SVG within HTML; empty where matplotlib is not installed."""
        written = io.StringIO()
        try:
            self.canvas.savefig(written, format="svg", metadata={"Date": None})
        except SfnbenchError:
            return ""
        _, tag, rest = written.getvalue().partition("<svg")
        return tag + rest

    def __repr__(self) -> str:
        return f"<Drawing: {self.figure.title}>"

    def _repr_png_(self) -> bytes | None:
        written = io.BytesIO()
        try:
            self.canvas.savefig(written, format="png", dpi=110)
        except SfnbenchError:  # then a notebook shows its name
            return None
        return written.getvalue()
