"""TensorBoard: a folder of event files for each problem, optimizer and seed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ._tracks import Track, Tracker

DEFAULT_FOLDER = "tensorboard"  # unless another is named


class Watcher(Tracker):
    """Writes below a folder, ``SUITE/PROBLEM/OPTIMIZER/seed N``."""

    def __init__(self, place: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._open = SummaryWriter
        self._folder = Path(place or DEFAULT_FOLDER)

    def write(self, track: Track) -> None:
        """Curves as scalars, what came of the run as scalars below ``end/``."""
        parts = [
            re.sub(r"[/\\\0]", "_", part) for part in (track.suite, *track.parts)
        ]
        last = max(
            (points[-1].step for points in track.curves.values() if points),
            default=0,
        )
        with self._open(str(self._folder.joinpath(*parts))) as writer:
            written = json.dumps(dict(track.parameters), indent=1, default=str)
            writer.add_text("parameters", f"```\n{written}\n```")
            for name, points in track.curves.items():
                for point in points:
                    writer.add_scalar(name, point.value, point.step)
            for name, value in track.ends.items():
                writer.add_scalar(f"end/{name}", value, last)
