"""Every optimizer of torch.optim and of pytorch_optimizer, and every method of scipy: does it run?

    python -m benchmarks.stock_methods            write the tables of docs/stock.md
    python -m benchmarks.stock_methods NAME...    print the rows of packages or of single classes

Each is run by sfnbench and by hand, on a plain module of the same network, and in both ways with
other seeds beside it, in another order, and twice.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from .table import PACKAGES, names_in, table

PAGE = Path(__file__).parents[2] / "docs" / "stock.md"
MARK = "<!-- from here on written by: python -m benchmarks.stock_methods -->\n"


def sections() -> Iterator[str]:
    """The lines of the page below its mark: a table of each package."""
    for package in PACKAGES:
        top = package.partition(".")[0]
        yield f"\n### {package} ({top} {version(top).partition('+')[0]})\n"
        yield from table(names_in(package))


def main() -> None:
    """Print the rows that were asked for, or write the page."""
    torch.set_num_threads(1)
    asked = sys.argv[1:]
    if asked:
        names = [
            n
            for each in asked
            for n in (names_in(each) if each in PACKAGES else [each])
        ]
        for row in table(names):
            print(row, flush=True)
        return
    written = []
    for row in sections():
        print(row, flush=True)
        written.append(row)
    head, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(head + MARK + "\n".join(written) + "\n")


if __name__ == "__main__":
    main()
