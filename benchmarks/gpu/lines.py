"""Lines of results: printed, kept and made into a page as they come."""

import json
import sys
from itertools import groupby
from pathlib import Path

from place import Line
from tabulate import tabulate

TITLES = {
    "contract": "The contract, with all points on the device",
    "equality": "Largest difference from the CPU, relative to the largest number there",
    "events": "The GPU's events against wall time",
    "waits": "How often a step waits for the GPU",
    "seeds": "Seeds in one batch",
    "toy": "The suite toy",
    "memory": "Memory",
    "out_of_memory": "Out of memory on purpose: batches are taken in parts",
    "network": "A deep autoencoder",
    "recurrent": "A recurrent network",
    "digits": "The suite digits",
    "dense": "Dense saddle-free Newton",
    "large_dense": "Dense saddle-free Newton, larger",
    "full": "The profile full of the suite autoencoder, cut short",
}
MACHINE = (
    "device",
    "device_name",
    "cuda",
    "torch",
    "python",
    "cpu",
    "threads",
    "commit",
    "dirty",
    "package_hash",
)
NOT_RUN = """\
No GPU was at hand when this page was made: `bash benchmarks/gpu/run` was not run on one. What
stands here is the same script on a CPU with small sizes (`--device cpu`): it shows that the checks
run, and no GPU's speed."""


class Lines:
    """A file of lines, and the page made of them."""

    def __init__(self, folder: Path, page: Path | None, goes_on: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "gpu.jsonl"
        self._pages = [folder / "gpu.md", *([page] if page else [])]
        if not goes_on:
            self._file.write_text("")

    def begin(self, machine: Line) -> None:
        """The machine that all lines rest on."""
        self.add("machine", {name: machine.get(name) for name in MACHINE})

    def add(self, check: str, line: Line) -> None:
        """Print a line of a check, keep it, and write the page."""
        told = "  ".join(f"{name}={_shown(value)}" for name, value in line.items())
        print(f"{check:14} {told}", flush=True)
        with self._file.open("a") as file:
            file.write(json.dumps({"check": check, **line}) + "\n")
        text = page(self._file)
        for place in self._pages:
            place.write_text(text)


def page(file: Path) -> str:
    """The page of a file of lines."""
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    machine = {}
    if lines:
        machine = {key: value for key, value in lines[0].items() if key != "check"}
    parts = ["# sfnbench on a GPU"]
    if machine.get("device") != "cuda":
        parts.append(NOT_RUN)
    facts = [[name, value] for name, value in machine.items() if value is not None]
    parts.append(tabulate(facts, ["machine", ""], "github", disable_numparse=True))
    for check, group in groupby(lines[1:], key=lambda line: line.pop("check")):
        parts += _section(check, list(group))
    return "\n\n".join(parts) + "\n"


def _section(check: str, lines: list[Line]) -> list[str]:
    """Title, table and notes."""
    rows = [
        line for line in lines if not line.keys() & {"failed", "took_s", "note"}
    ]
    parts = [f"## {TITLES[check]}"] if check in TITLES else []
    if rows:
        shown = [{key: _shown(value) for key, value in row.items()} for row in rows]
        table = tabulate(shown, "keys", "github", disable_numparse=True)
        parts.append(table)
    for line in lines:
        parts += [
            f"{key}: {line[key]}" for key in ("note", "failed") if key in line
        ]
    return parts


def _shown(value: object) -> str:
    """Numbers to three digits."""
    if not isinstance(value, float):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    print(page(Path(sys.argv[1])), end="")
