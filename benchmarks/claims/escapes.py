"""Claims about leaving saddles: who is slow, who is caught, who leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from claims.claim import Claim, Results, text, verdict_of
from sfnbench.experiments.race.scaling import Growth, growths
from sfnbench.records import Result
from sfnbench.survival.comparisons import holm
from sfnbench.survival.escapes import Escapes, logrank
from sfnbench.survival.intervals import Estimate, proportion

DESCENT, NEWTON, SADDLE_FREE = "gradient_descent", "damped_newton", "sfn"
KRYLOV = "krylov_sfn"
SUITES = ("toy", "escape", "landscapes")


def gradient_descent_is_slow(found: Results) -> Claim:
    """Its steps grow with the logarithm of the distance, as the exact law says."""
    families = growths(found.of("escape"))
    (series,) = [s for _, family, s in families if family.factor == "radius"]
    figures = []
    for growth in series:
        nearest = int(np.argmin(growth.x))
        figures.append(
            {
                "method": growth.label,
                "steps an e-fold nearer to the saddle": growth.slope,
                "exact law": growth.law_slope,
                f"median steps from {growth.x[nearest]:g}": _median(
                    growth, nearest
                ),
            }
        )
    descent = next(each for each in series if each.label == DESCENT)
    law, slope = float(descent.law_slope), descent.fit.slope
    pairs = list(_pairs(found.of("escape"), DESCENT, SADDLE_FREE))
    ps = holm([logrank(slow, fast).p for _, slow, fast in pairs])
    later = [slow.median().value > fast.median().value for _, slow, fast in pairs]
    n_later = sum(
        p < 0.05 and is_later for p, is_later in zip(ps, later, strict=True)
    )
    return Claim(
        "Gradient descent is slow near saddles",
        verdict_of([slope.low <= law <= slope.high, n_later == len(pairs)]),
        f"{text(slope)} steps for each e-fold nearer to the saddle, by the exact law {law:g}",
        "Rule: yes where the interval of gradient descent's slope holds the exact law, "
        "1 / ln(1 + lr |lambda|),"
        " and on every problem of the suite it leaves later than saddle-free Newton (log-rank test,"
        " 5 %, after Holm).",
        figures,
        (
            f"It leaves later than saddle-free Newton on {n_later} of {len(pairs)} problems. The"
            " controls are in the table: momentum divides the steps, and noise ends their growth.",
        ),
    )


def _median(growth: Growth, i: int) -> str:
    """The median at its factor i, with its interval."""
    if growth.is_beyond[i]:
        return f"beyond {growth.medians[i]:g}"
    return f"{growth.medians[i]:g} [{growth.low[i]:g}, {growth.high[i]:g}]"


def newton_is_drawn(found: Results) -> Claim:
    """Newton's method ends at the saddle that it started beside."""
    figures, holds = [], []
    for suite in SUITES:
        for names, of in _together(found.of(suite)):
            held = {use: _held(of, use) for use in (NEWTON, DESCENT, SADDLE_FREE)}
            newton, others = held[NEWTON], (held[DESCENT], held[SADDLE_FREE])
            holds.append(
                newton.low > 0.5 and all(each.high < 0.5 for each in others)
            )
            figures.append(
                {
                    "suite": suite,
                    "problem": names,
                    "runs": str(len(_rows(of, NEWTON))),
                    "Newton captured": text(newton, ".2f"),
                    "control: gradient descent": text(others[0], ".2f"),
                    "control: saddle-free Newton": text(others[1], ".2f"),
                    "end points of Newton": _ends(of),
                }
            )
    return Claim(
        "Newton's method is drawn to saddles",
        verdict_of(holds),
        f"it is captured in most runs, and its controls are not, in {sum(holds)} of"
        f" {len(holds)} settings",
        "Rule: yes where undamped Newton is captured in more than half of its runs, "
        "gradient descent and"
        " saddle-free Newton in less than half, by Wilson's intervals. Captured: it ends near a"
        " critical point, by a certificate, that is no minimum.",
        figures,
        (
            "All starts lie beside a saddle. At the monkey saddle the Hessian vanishes and the end"
            " point is degenerate: Newton halves its distance in each step.",
        ),
    )


def saddle_free_newton_leaves(found: Results) -> Claim:
    """With the whole Hessian, and in a Krylov subspace."""
    figures, holds = [], []
    for suite in SUITES:
        for problem, of in _by_problem(found.of(suite)).items():
            by_use = {result.run.method.use: result for result in of}
            if suite == "escape" and problem not in (
                "base",
                "distance radius=1e-08",
            ):
                continue
            for use in (SADDLE_FREE, KRYLOV):
                if use not in by_use:
                    continue
                line, leaves = _against(by_use[use], by_use[DESCENT])
                holds.append(leaves)
                figures.append({"suite": suite, "problem": problem, **line})
    return Claim(
        "Saddle-free Newton leaves saddles, exactly and in a Krylov subspace",
        verdict_of(holds),
        f"all seeds leave, sooner than gradient descent, in {sum(holds)} of {len(holds)} settings",
        "Rule: yes where in every setting all seeds escape, none ends far above its start "
        "(status worse), and"
        " the median step is below gradient descent's, which counts as later where it has "
        "not left.",
        figures,
        (
            "Steps are not cost: a step of the dense method costs some 2 d gradients. On the"
            " Gaussian field the method with damping 1e-3 ends far above its start: where an"
            " eigenvalue is zero, |H|^-1 has no bound.",
        ),
    )


def _against(ours: Result, descent: Result) -> tuple[dict[str, str], bool]:
    """A method beside gradient descent, and whether it leaves, sooner."""
    escapes, slow = Escapes.of(ours.race_rows), Escapes.of(descent.race_rows)
    step, rival = escapes.median(), slow.median()
    n_left, n_worse = int(escapes.escaped.sum()), _n_worse(ours)
    costs = [
        Escapes.of(r.race_rows, "cost").median().value for r in (ours, descent)
    ]
    line = {
        "method": ours.run.method.label,
        "escaped": f"{n_left} of {len(ours.rows)}",
        "ended far above": str(n_worse),
        "median step": text(step, "g"),
        "its median cost": _cost(costs[0]),
        "gradient descent's median step": text(rival, "g"),
        "and cost": _cost(costs[1]),
    }
    leaves = n_left == len(ours.rows) and not n_worse
    return line, leaves and step.value < rival.value


def _cost(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not left"


def _n_worse(result: Result) -> int:
    return sum(row["status"] == "worse" for row in result.rows)


def _by_problem(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.run.problem.label, []).append(result)
    return found


def _together(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Problems with their results; many of them in one."""
    found = _by_problem(results)
    if len(found) > 8:
        yield f"{len(found)} quadratic saddles", results
    else:
        yield from found.items()


def _pairs(
    results: Iterable[Result], a: str, b: str
) -> Iterator[tuple[str, Escapes, Escapes]]:
    for problem, of in _by_problem(results).items():
        by_use = {r.run.method.use: Escapes.of(r.race_rows) for r in of}
        yield problem, by_use[a], by_use[b]


def _rows(results: Iterable[Result], use: str) -> list:
    return [row for r in results if r.run.method.use == use for row in r.race_rows]


def _held(results: Iterable[Result], use: str) -> Estimate:
    return proportion([bool(row["captured"]) for row in _rows(results, use)])


def _ends(results: Iterable[Result]) -> str:
    ends = [row["end_point"] for row in _rows(results, NEWTON)]
    return ", ".join(f"{ends.count(each)} {each}" for each in dict.fromkeys(ends))
