"""Folders of results joined into one, and what they disagree about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DamagedError
from ..records import Result
from .bits import deviations
from .file import explained
from .staleness import differences
from .store import Store


@dataclass
class Merged:
    """How many results were added, and a line for each conflict: which side stays, and why."""

    n_added: int = 0
    conflicts: list[str] = field(default_factory=list)


def merge(sources: Iterable[Path | str], target: Path | str) -> Merged:
    """Copy into `target` every result of the sources that it lacks, and the slots that show them.

    Where two folders hold the same run or fill the same slot, the target's own stays, then the
    first source's. Where they differ there, that is a conflict. Sources have to hold results:
    StoreError otherwise.
    """
    merged = Merged()
    sources = list(sources)
    for folder in sources:  # one that is none leaves the target as it is
        Store(folder).close()
    with Store(target, create=True) as into:
        n_before = len(into.ids())
        for folder in sources:
            with Store(folder) as source, explained(source.file):
                if not source.file.samefile(into.file):
                    merged.conflicts += _conflicts(source, into)
                    into.copy_from(source)
        merged.n_added = len(into.ids()) - n_before
    return merged


def _conflicts(source: Store, into: Store) -> list[str]:
    """Runs that both hold with other numbers, and slots that both fill with other runs."""
    lines = []
    for run_id in sorted(source.ids() & into.ids()):
        theirs = _read_result(source, run_id)
        ours = _read_result(into, run_id)
        if theirs is None or ours is None:
            broken = source if theirs is None else into
            lines.append(
                f"run {run_id}: damaged in {broken.folder}; that of {into.folder} stays"
            )
            continue
        apart = deviations(ours, theirs)
        if apart:
            lines.append(
                f"{ours.run.title}: {source.folder} has other numbers ({'; '.join(apart)});"
                f" those of {into.folder} stay"
            )
    for place in sorted(map(str, source.wrong_places())):
        lines.append(f"{source.folder}: the place {place} is damaged, and left out")
    filled = into.current()
    for slot, run_id in source.current().items():
        if filled.get(slot, run_id) != run_id:
            why = _why(
                _read_result(into, filled[slot]), _read_result(source, run_id)
            )
            lines.append(
                f"{slot[3]} on {slot[2]}: {source.folder} shows another run ({why});"
                f" that of {into.folder} stays shown"
            )
    return lines


def _read_result(store: Store, run_id: str) -> Result | None:
    try:
        return store.get(run_id)
    except DamagedError:
        return None


def _why(ours: Result | None, theirs: Result | None) -> str:
    if ours is None or theirs is None:
        return "one is damaged"
    return "; ".join(differences(ours.run, theirs.run).values())
