"""Run what the claims rest on, and write docs/claims.md: python benchmarks/claims.

With --stored it runs nothing, and reads what lies in runs/claims. `make claims` calls it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from claims import escapes, landscapes, training
from claims.claim import Claim, Results
from claims.training import FROM_STALL, FROM_START
from sfnbench import Store
from sfnbench.words import listed

TOP = Path(__file__).parents[2]
QUICK = ("--profile", "quick")
FIGURE_4 = [word for label in FROM_START for word in ("-o", label)]
STALLED = [word for label in FROM_STALL for word in ("-o", label)]
# what `sfnbench run` is given for each suite
SUITES = {
    "toy": (),
    "escape": (),
    "landscapes": QUICK,
    "spin_glass": (),
    "gaussian_field": QUICK,
    "critical_points_mnist": QUICK,
    "critical_points_cifar10": (*QUICK, "--seeds", "2"),
    "mlp_mnist": (
        *QUICK,
        "-p",
        "MNIST 5x5 hidden=[5]",
        "-p",
        "MNIST 5x5 hidden=[25]",
    ),
    "autoencoder": (*QUICK, *FIGURE_4, *STALLED),
    "rnn": (*QUICK, *FIGURE_4),
}
CLAIMS = (
    landscapes.index_grows_with_error,
    landscapes.critical_points_concentrate,
    landscapes.spectrum_shifts,
    escapes.gradient_descent_is_slow,
    escapes.newton_is_drawn,
    escapes.saddle_free_newton_leaves,
    training.the_order_of_methods,
)
ABOUT = """\
# The talk's claims, one by one

`make claims` runs the suites named below into `runs/claims`, as far as they have no result there,
and writes this page from what is stored. Brackets hold 95 % intervals unless a line says otherwise;
a median of fewer than six seeds has none. "Yes", "no" and "depends" (it holds in some settings)
follow from the rule that stands with each claim, and say no more than that.
"""


def main() -> None:
    """Run, unless told not to, and write the page."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--stored", action="store_true", help="run nothing")
    asked.add_argument("--runs", type=Path, default=TOP / "runs" / "claims")
    asked.add_argument("--page", type=Path, default=TOP / "docs" / "claims.md")
    given = asked.parse_args()
    if not given.stored:
        for suite, words in SUITES.items():
            out = str(given.runs / suite)
            command = (sys.executable, "-m", "sfnbench", "run", suite, *words)
            subprocess.run((*command, "--out", out), cwd=TOP, check=True)
    found = Results({suite: _stored(given.runs / suite) for suite in SUITES})
    page = "\n".join(_page([claim(found) for claim in CLAIMS], found.by_suite))
    given.page.write_text(page + "\n", encoding="utf-8")


def _stored(folder: Path) -> list:
    with Store(folder) as store:
        return list(store.results())


def _page(claims: Sequence[Claim], stored: Mapping[str, list]) -> Iterator[str]:
    yield ABOUT
    yield from ("| claim | holds? | in a line |", "|---|---|---|")
    for claim in claims:
        yield f"| {claim.title} | {claim.verdict} | {claim.line} |"
    yield from ("", *_made_by(stored))
    for claim in claims:
        yield from ("", f"## {claim.title}: {claim.verdict}", "", claim.rule, "")
        yield from _table(claim.figures)
        for remark in claim.remarks:
            yield from ("", remark)


def _table(lines: Sequence[Mapping[str, str]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for line in lines for name in line))
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for line in lines:
        cells = [line.get(name, "").replace("|", "\\|") for name in names]
        yield f"| {' | '.join(cells)} |"


def _made_by(stored: Mapping[str, list]) -> Iterator[str]:
    """The commands, their seeds, and how long they took where, at which commit."""
    yield from ("| command | seeds | minutes | commit |", "|---|---|---|---|")
    machines, commits, total = set(), set(), 0.0
    for suite, results in stored.items():
        seeds = results[0].run.seeds
        spent = sum(result.seconds for result in results)
        total += spent
        words = shlex.join(("sfnbench", "run", suite, *SUITES[suite]))
        words = words.replace("|", "\\|")
        facts = [result.environment for result in results]
        made_at = {str(each.get("commit"))[:12] for each in facts}
        machines |= {
            f"{each.get('cpu')}, torch {each.get('torch')}" for each in facts
        }
        commits |= made_at
        figures = f"{seeds[0]} to {seeds[-1]} | {_minutes(spent)}"
        yield f"| `{words}` | {figures} | {listed(sorted(made_at))} |"
    yield ""
    yield (
        f"Minutes are those of all runs one after another, {_minutes(total)} in all,"
        " without those of tuning; two cores take half as long, and other work on the machine"
        f" lengthens them. Machine: {listed(sorted(machines))}."
    )
    if len(commits) > 1:
        yield ""
        yield (
            f"These results are of {len(commits)} commits: where code has changed since, `make"
            " claims` runs again what the change decides."
        )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


if __name__ == "__main__":
    main()
