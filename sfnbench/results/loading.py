"""The results of one side of a comparison: of a folder, or of a commit."""

from __future__ import annotations

from pathlib import Path

from .. import environment
from ..errors import NoResultsError
from ..records import Result
from .compare import Slot
from .store import FILE, Damaged, Store


def load(
    side: str | Path, runs: Path = Path("runs"), damaged: Damaged | None = None
) -> dict[Slot, Result]:
    """The results of a folder, or those that a commit left anywhere below `runs`.

    A commit is given as git takes it: a hash, a branch, HEAD~1. Of several results in one slot the
    last counts. StoreError where there are none, or where one is damaged that `damaged` does not
    take.
    """
    if Path(side).is_dir():
        with Store(side) as store:
            return {
                _slot(result): result for result in store.summaries(damaged=damaged)
            }
    commit = environment.revision(Path.cwd(), str(side))
    if commit is None:
        raise NoResultsError(
            f"{side}: neither a folder of results nor a commit of the clone here"
        )
    found: dict[Slot, Result] = {}
    for file in sorted(
        runs.glob(f"**/{FILE}"), key=lambda file: file.stat().st_mtime
    ):
        with Store(file.parent) as store:
            found |= {
                _slot(r): r
                for r in store.summaries(current=False, damaged=damaged)
                if r.environment.get("commit") == commit
            }
    if not found:
        again = (
            "check it out and run a suite with `--out` a folder of its own below; what has a result"
            " is not run again"
        )
        raise NoResultsError(
            f"{side}: commit {commit[:12]} has left no results in {runs}; {again}"
        )
    return found


def _slot(result: Result) -> Slot:
    return result.run.suite, *result.run.slot
