"""What a report draws of results.

Curves over steps, cost and seconds as short lists of numbers that JSON can hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..experiments.critical_points.analysis import column, distinct, ordinate_of
from ..experiments.race.at_budget import AXES, axis_of
from ..records import Result, Status
from ..survival.escapes import Axis, Escapes
from ..survival.intervals import MIN_RUNS, Floats
from ..survival.targets import ecdf
from ..theory.landscapes import semicircle_density, theory_of
from .figures import LEVELS

N_POINTS = 50  # of a curve: about as many as a phone can show
DIGITS = 4
DRAWN = ("loss", "gradient_norm", "min_eigenvalue")  # series that have a figure
LOGARITHMIC = ("loss", "gradient_norm")  # where all of their numbers are positive
DECADES, TIMES = (
    3,
    100,
)  # beyond the typical curve, on a logarithmic and on a linear axis: out of the picture
BANDS = (
    0.25,
    0.5,
    0.75,
)  # quantiles over seeds; fewer than MIN_RUNS seeds show their range instead

Curve = dict[str, Any]


def curves(result: Result) -> dict[str, Curve]:
    """Every curve of one run of a race by its figure; empty where the run broke before it began.

    ``loss``, ``gradient_norm`` and ``min_eigenvalue``: x by axis, and low, mid and high over seeds.
    A seed that ended goes on with its last value, one that broke with infinity, which JSON has not:
    None. ``escape``: the share that has not escaped, x and y by axis. ``switch``: where half of the
    seeds had changed to their second optimizer, by axis.
    """
    found: dict[str, Curve] = {}
    if result.environment.get("problem", {}).get("has_saddle") and result.rows:
        found["escape"] = {axis: _survival(result.rows, axis) for axis in AXES}
    if "seconds" not in result.series:
        return found
    used = {axis: axis_of(result, axis) for axis in AXES}
    for name in DRAWN:
        if f"{name}.step" in result.series and np.isfinite(result.series[f"{name}.step"]).any():
            found[name] = _band(result, name, used)
    switched = [row["switch_step"] for row in result.rows if row.get("switch_step") is not None]
    known = [step for step in switched if np.isfinite(step)]
    if known and 2 * len(known) >= len(result.rows):
        found["switch"] = {
            axis: _numbers(_at(used[axis], np.array([np.median(known)])))[0] for axis in AXES
        }
    return found


def window(bands: Mapping[int, Curve], name: str) -> dict[str, Any]:
    """The upright axis of a figure of several bands of `DRAWN`, for one of them may rise to 1e107 where its run diverges.

    ``log``: whether it is logarithmic; ``away``: whose curve or band runs away from the typical
    one; ``range``: of what is left, and ``ends``, far outside of that, where curves that leave the
    picture are cut; None where nobody does.
    """
    heights = {
        o: [_finite(band["mid"]), _finite([*band["low"], *band["mid"], *band["high"]])]
        for o, band in bands.items()
    }
    log = name in LOGARITHMIC and all((every > 0).all() for _, every in heights.values())
    sizes = {o: [np.log10(y) if log else np.abs(y) for y in both] for o, both in heights.items()}
    tops = sorted(mid.max() for mid, _ in sizes.values() if len(mid))
    typical = tops[(len(tops) - 1) // 2] if tops else 0.0
    most = typical + DECADES if log else TIMES * typical or np.inf
    away = [o for o, (_, every) in sizes.items() if (every > most).any()]
    limits = ends = None
    if away:
        shown = np.concatenate(
            [(np.log10(y) if log else y)[sizes[o][1] <= most] for o, (_, y) in heights.items()]
        )
        room = 0.05 * float(np.ptp(shown) or 1.0)
        low, high = shown.min() - room, shown.max() + room
        limits, far = [low, high], [low - 20 * room, high + 20 * room]
        limits, ends = ([10**each for each in both] if log else both for both in (limits, far))
    return {"log": log, "away": away, "range": limits and _numbers(np.array(limits)), "ends": ends}


def within(band: Curve, window: Mapping[str, Any]) -> Curve:
    """The heights of a band, cut at the window's ends.

    What draws a line to 1e107 has no numbers for the way there.
    """
    if not window["ends"]:
        return {}
    low, high = window["ends"]
    heights = {name: band[name] for name in ("low", "mid", "high")}
    return {
        name: [y if y is None else min(max(y, low), high) for y in ys]
        for name, ys in heights.items()
    }


def escaped_within(costs: Iterable[float]) -> Curve:
    """The share of all problems and seeds that had been left within each cost.

    Inf for what never was.
    """
    times, shares = ecdf(list(costs))
    kept = np.unique(np.linspace(0, len(times) - 1, min(len(times), 4 * N_POINTS)).astype(int))
    return {"x": [0.0, *_numbers(times[kept])], "y": [0.0, *_numbers(shares[kept])]}


def spread(values: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """Low, middle and high of what is there, as everywhere in the report."""
    known = np.array([[value] for value in values if value is not None], float)
    low, mid, high = (
        (_numbers(each)[0] for each in _quantiles(known)) if len(known) else (None, None, None)
    )
    return low, mid, high


def index_curve(result: Result) -> dict[str, Curve]:
    """Energy against alpha of the distinct critical points of one run, with theory's curve where there is one.

    ``points`` and ``theory``: x is alpha, the share of negative eigenvalues, y the energy.
    ``spectra``: the density of eigenvalues, a histogram each, of the points that are lowest, in the
    middle and highest, and theory's semicircles.
    """
    found, energy = distinct(result.rows), ordinate_of(result)
    if not found:
        return {}
    heights = column(found, energy)
    drawn: dict[str, Curve] = {
        "points": {"x": _numbers(column(found, "alpha")), "y": _numbers(heights), "energy": energy}
    }
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    if theory is not None:
        span = np.linspace(np.nanmin(heights), np.nanmax(heights), N_POINTS)
        drawn["theory"] = {"x": _numbers(np.asarray(theory.alpha(span))), "y": _numbers(span)}
    if "eigenvalues" in result.series:
        order = [i for i, row in enumerate(result.rows) if row["distinct"]]
        order.sort(key=lambda i: result.rows[i][energy])
        places = dict.fromkeys(round(quantile * (len(order) - 1)) for _, quantile in LEVELS)
        picked = [order[place] for place in places]
        drawn["spectra"] = {"levels": [_density(result.series["eigenvalues"][i]) for i in picked]}
        if theory is not None:
            centres = [float(theory.centre(result.rows[i][energy])) for i in picked]
            drawn["spectra"]["theory"] = [_semicircle(centre, theory.radius) for centre in centres]
    return drawn


def rates(result: Result) -> dict[str, Curve]:
    """Steps a second of one run of a throughput suite, a bar for each dtype, with quartiles over blocks.

    ``share``: of the FLOP/s of one large matrix product, measured in the same process; ``roof``:
    the steps a second that the FLOPs counted in a step would allow at those. None where none were
    counted.
    """
    known = [row for row in result.rows if row.get("steps_per_s") is not None]
    names = {
        "low": "steps_per_s_q1",
        "y": "steps_per_s",
        "high": "steps_per_s_q3",
        "share": "flops_share",
    }
    found = {key: np.array([row.get(name) for row in known], float) for key, name in names.items()}
    found["roof"] = found["y"] / found["share"]  # FLOPs of a step cancel
    return (
        {
            "rates": {
                "x": [row["dtype"] for row in known],
                **{k: _numbers(v) for k, v in found.items()},
            }
        }
        if known
        else {}
    )


# -- inside ----------------------------------------------------------------------------------------


def _survival(rows: Sequence[dict[str, Any]], axis: str) -> Curve:
    name = cast(Axis, {"steps": "step"}.get(axis, axis))
    curve = Escapes.of(rows, name).survival()
    last = max((row.get(axis) or 0.0 for row in rows), default=0.0)
    x, share = [0.0, *curve.times], [1.0, *curve.share]
    if last > x[-1]:  # the rest is watched to the end
        x, share = [*x, last], [*share, share[-1]]
    return {"x": _numbers(np.array(x)), "y": _numbers(np.array(share))}


def _band(result: Result, name: str, used: dict[str, Floats]) -> Curve:
    steps, values = result.series[f"{name}.step"], result.series[name]  # (S, n) each
    grid = np.unique(steps[np.isfinite(steps)])
    grid = grid[
        np.unique(np.linspace(0, len(grid) - 1, min(len(grid), N_POINTS)).astype(int))
    ]  # (m,)
    shown = np.full((len(values), len(grid)), np.nan)
    for seed, (at, measured) in enumerate(zip(steps, values, strict=True)):
        at = at[np.isfinite(at)]
        last = np.searchsorted(at, grid, side="right") - 1
        if len(at):
            shown[seed] = np.where(last >= 0, measured[last], np.nan)
        if not Status(result.rows[seed]["status"]).sound:
            shown[seed, grid > (at[-1] if len(at) else -1)] = np.inf
    low, mid, high = (_numbers(each) for each in _quantiles(shown))
    return {
        **{axis: _numbers(_at(used[axis], grid)) for axis in AXES},
        "low": low,
        "mid": mid,
        "high": high,
    }


def _at(used: Floats, steps: Floats) -> Floats:
    """What half of the seeds had used up at these steps (m,); one that ended stays where it was."""
    ends = np.isfinite(used).sum(1) - 1  # (S,)
    places = np.minimum(steps[None].astype(int), np.maximum(ends, 0)[:, None])
    there = ends >= 0
    if not there.any():
        return np.full(len(steps), np.nan)
    return cast(Floats, np.median(np.take_along_axis(used[there], places[there], axis=1), axis=0))


def _quantiles(values: Floats) -> Floats:
    """Low, middle and high over seeds (3, m) of values (S, m).

    What is not a number counts as infinite.
    """
    known = np.where(np.isnan(values), np.inf, values)
    levels = BANDS if len(known) >= MIN_RUNS else (0.0, 0.5, 1.0)
    with np.errstate(invalid="ignore"):  # between two infinite ones
        found = np.quantile(
            known, levels, axis=0, method="averaged_inverted_cdf"
        )  # medians as in tables
    return cast(Floats, np.where(np.isnan(found), np.inf, found))


def _finite(values: Iterable[float | None]) -> Floats:
    return np.array([value for value in values if value is not None], float)


def _numbers(values: Floats) -> list[float | None]:
    """Rounded to what an eye can tell; None for what is not finite."""
    return [
        float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()
    ]


def _density(eigenvalues: Floats) -> Curve:
    known = eigenvalues[np.isfinite(eigenvalues)]
    bins = int(np.clip(1.5 * len(known) ** 0.5, 8, 60))
    density, edges = (
        np.histogram(known, bins, density=True) if len(known) else (np.array([]), np.array([0.0]))
    )
    return {
        "x": _numbers((edges[1:] + edges[:-1]) / 2),
        "y": _numbers(np.where(density > 0, density, np.nan)),
    }


def _semicircle(centre: float, radius: float) -> Curve:
    x = centre + radius * np.cos(np.linspace(np.pi, 0, N_POINTS))[1:-1]  # denser where it falls
    return {"x": _numbers(x), "y": _numbers(semicircle_density(x, centre, radius))}
