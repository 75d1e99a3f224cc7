"""A figure that shows itself in a notebook, and can be saved."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..report.draw_matplotlib import paint, save
from ..report.figure import Figure
from ..report.looks import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Drawing:
    """A drawn figure: shown inline in a notebook, saved by `save`; `canvas` is matplotlib's."""

    def __init__(self, figure: Figure, known: Mapping[str, Look], suite: str) -> None:
        self.figure = figure
        self.canvas: Canvas = paint(figure, known, suite)

    def save(self, path: str | Path) -> Path:
        """Write it as the suffix says: .png, .svg, .pdf."""
        return save(self.canvas, Path(path))

    def __repr__(self) -> str:
        return f"<Drawing: {self.figure.title}>"

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.canvas.savefig(written, format="png", dpi=110)
        return written.getvalue()
