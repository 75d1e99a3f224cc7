"""The lowest version of each range of pyproject.toml, as constraints for pip.

    python benchmarks/lowest.py > lowest.txt; pip install -c lowest.txt .

torch stays as it is where its lowest version has no build for CPUs alone at hand.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(texts: list[str]) -> dict[str, str]:
    """The version of each ``name>=version``; ValueError for a range without a lower bound."""
    found = {}
    for text in texts:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,.*)?", text)
        if match is None:
            raise ValueError(f"{text}: no lower bound like name>=1.2")
        found[match[1]] = match[2]
    return found


def main() -> None:
    """Print a line ``name==version`` for each dependency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    asked = parser.parse_args()
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for name, version in lowest(project["dependencies"]).items():
        if name not in asked.without:
            print(f"{name}=={version}")


if __name__ == "__main__":
    main()
