"""Figures of races and throughput for papers, as SVG, PDF and PNG files.

The page's, by matplotlib without its state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiments.race.trajectories import draw
from .curves import Curve
from .figures import FORMATS, prepare, save, slug
from .gathered import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # Okabe, Ito 2008, as on the page
HATCHES = {"-": "", "--": "//", ":": "..", "-.": "xx"}  # of bars, which have no dashes
# times as far as others: only a logarithm shows both, as the cost of dense Hessians beside
# gradients
WIDE = 20
PANELS = {
    "loss": "loss",
    "escape": "share still at the saddle",
    "gradient_norm": "gradient norm",
    "min_eigenvalue": "lowest eigenvalue",
}
AXES = {"steps": "steps", "cost": "cost in gradients", "seconds": "seconds"}


def draw_races(sections: Sequence[Section], folder: Path, axis: str = "cost") -> list[Path]:
    """Draw what each suite has of each problem, families of widths and performance profiles.

    The files, one a format.

    Curves against ``steps``, ``cost`` or ``seconds``. SfnbenchError where matplotlib is not
    installed.
    """
    prepare(folder)
    written = []
    for section in sections:
        looks = dict(
            zip(
                section.optimizers.values(),
                cycle(product(("-", "--", ":", "-."), COLOURS)),
                strict=False,
            )
        )
        for name, figure in _figures(section, looks, axis):
            for suffix in FORMATS:
                written.append(
                    save(figure, folder / f"{slug(section.suite)}_{slug(name)}.{suffix}")
                )
    return written


# -- inside ----------------------------------------------------------------------------------------

Looks = dict[int, tuple[str, str]]  # optimizer -> dash, colour


def _figures(section: Section, looks: Looks, axis: str) -> Iterator[tuple[str, Figure]]:
    for problem, place in section.problems.items():
        runs = [run for run in section.cut if run["p"] == place]
        shown = [panel for panel in PANELS if any(panel in run for run in runs)]
        if shown:
            yield problem, _of_problem(section, problem, runs, shown, looks, axis)
        if any("path" in run for run in runs):
            yield f"{problem} trajectories", _of_trajectories(section, problem, place, looks)
        if any("rates" in run for run in runs):
            yield (
                f"{problem} throughput",
                _of_rates(section, problem, [run for run in runs if "rates" in run], looks),
            )
    if profiles := section.profiles():
        yield "profiles", _of_profiles(section, profiles, looks)
    families = section.families()
    for use in dict.fromkeys(family["problem"] for family in families):
        yield (
            f"{use} widths",
            _of_widths(section, [family for family in families if family["problem"] == use], looks),
        )
    for family in section.scaling:
        yield family["title"], _of_scaling(section, family, looks)


def _of_problem(
    section: Section,
    problem: str,
    runs: Sequence[dict[str, Any]],
    shown: Sequence[str],
    looks: Looks,
    axis: str,
) -> Figure:
    figure, panels = _panels(len(shown), f"{section.suite}: {problem}")
    labels = list(section.optimizers)
    for axes, panel in zip(panels, shown, strict=True):
        for run in (run for run in runs if panel in run):
            curve = (
                run[panel][axis]
                if panel == "escape"
                else {**run[panel], "x": run[panel][axis], "y": run[panel]["mid"]}
            )
            _curve(
                axes,
                curve,
                labels[run["o"]],
                looks[run["o"]],
                "steps-post" if panel == "escape" else "default",
            )
            if "switch" in run and panel != "escape":
                axes.axvline(
                    run["switch"][axis], color=looks[run["o"]][1], linewidth=0.8, linestyle=":"
                )
        axes.set_xlabel(AXES[axis])
        axes.set_ylabel(PANELS[panel])
        if panel != "escape":
            _keep_in(axes, section.windows[f"{section.problems[problem]} {panel}"], labels)
    _widen(panels)
    handles = {
        label: line
        for axes in panels
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        fontsize=7,
        handlelength=2.6,
        loc="outside lower center",
        ncols=len(shown),
    )
    return figure


def _keep_in(axes: Axes, window: dict[str, Any], labels: Sequence[str]) -> None:
    """The upright axis of a panel of bands, and above it whose curves leave the picture."""
    if window["log"]:
        axes.set_yscale("log")
    if window["range"]:
        axes.set_ylim(*window["range"])
        axes.set_title(
            f"out of the picture: {_plain(', '.join(labels[o] for o in window['away']))}",
            fontsize=7,
        )


def _widen(panels: Sequence[Axes]) -> None:
    """A logarithm for all where some curves end long before others.

    What begins at zero begins at the left edge.
    """
    lines = [line for axes in panels for line in axes.get_lines()]
    reach = [np.asarray(line.get_xdata(), float) for line in lines]
    ends = [float(np.nanmax(x)) for x in reach if np.nanmax(x, initial=0) > 0]
    if ends and max(ends) > WIDE * min(ends):
        edge = min(float(x[x > 0].min()) for x in reach if (x > 0).any()) / 2
        for line, x in zip(lines, reach, strict=True):
            line.set_xdata(np.where(x == 0, edge, x))
        for axes in panels:
            axes.set_xscale("log")
            axes.set_xlim(left=edge)


def _of_widths(section: Section, families: Sequence[dict[str, Any]], looks: Looks) -> Figure:
    figure, (axes,) = _panels(1, f"{section.suite}: {families[0]['problem']}")
    labels = list(section.optimizers)
    for family in families:
        _curve(axes, {**family, "y": family["mid"]}, labels[family["o"]], looks[family["o"]])
    axes.set_xlabel("hidden units")
    axes.set_ylabel("training error")
    axes.legend(fontsize=7, handlelength=2.6)
    return figure


def _of_scaling(section: Section, family: dict[str, Any], looks: Looks) -> Figure:
    """Medians of escape on axes that make their law a straight line.

    Hollow at the budget, or the edge, where beyond it.
    """
    figure, (axes,) = _panels(1, f"{section.suite}: {family['title']}")
    cycled = cycle(product(("-", "--", ":", "-."), COLOURS))
    for series, of_problem in zip(family["series"], cycled, strict=False):
        dash, colour = looks[series["o"]] if family["kind"] == "problem" else of_problem
        x, y, low, high, beyond = (
            np.array(series[name]) for name in ("x", "y", "low", "high", "beyond")
        )
        axes.plot(x[~beyond], y[~beyond], "o", color=colour, markersize=5)
        axes.plot(
            x[beyond],
            np.minimum(y, family["top"])[beyond],
            "^",
            color=colour,
            markerfacecolor="none",
            markersize=5,
        )
        axes.vlines(x[~beyond], low[~beyond], high[~beyond], color=colour, linewidth=1)
        fit = series["fit"] or {"x": [], "y": []}
        axes.plot(
            fit["x"],
            fit["y"],
            dash,
            color=colour,
            linewidth=1.2,
            label=_plain(f"{series['name']}: {series['said']}"),
        )
        if series["law"]:
            said = f"its exact law: {series['law_said']}"
            axes.plot(series["law"]["x"], series["law"]["y"], color="k", linewidth=0.6, label=said)
    if any(any(series["beyond"]) for series in family["series"]):
        axes.plot([], [], "k^", markerfacecolor="none", markersize=5, label="beyond the budget")
    axes.set_xscale("log")
    axes.set_yscale("log" if family["power"] else "linear")
    ticks = sorted({x for series in family["series"] for x in series["x"]})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    axes.set_xlabel(_plain(family["x"]))
    axes.set_ylabel("median escape step")
    n_lines = len(axes.get_legend_handles_labels()[0])
    figure.set_size_inches(6, 3.8 + 0.16 * n_lines)
    figure.legend(
        loc="outside lower left",
        fontsize=7,
        handlelength=2.6,
        title=family["slope"],
        title_fontsize=7,
    )
    return figure


def _of_trajectories(section: Section, problem: str, place: int, looks: Looks) -> Figure:
    figure, (axes,) = _panels(1, f"{section.suite}: {problem}", (4.8, 5.2))
    labels = list(section.optimizers)
    runs = [run for run in section.drawn if run["p"] == place and "path" in run]
    draw(
        axes,
        section.landscapes[place],
        [(_plain(labels[run["o"]]), looks[run["o"]], run["path"]) for run in runs],
    )
    figure.legend(fontsize=7, handlelength=2.6, loc="outside lower center", ncols=3)
    return figure


def _of_profiles(section: Section, profiles: Sequence[dict[str, Any]], looks: Looks) -> Figure:
    figure, (axes,) = _panels(1, f"{section.suite}: performance profiles", (4.8, 4.6))
    labels = list(section.optimizers)
    for curve in profiles:
        _curve(axes, curve, labels[curve["o"]], looks[curve["o"]], "steps-post")
    edge = profiles[0]["x"][-1]
    axes.set(xscale="log", xlim=(edge**-0.02, edge), ylim=(-0.03, 1.03))
    axes.set(xlabel="tau, times the least cost of all", ylabel="share of problems solved")
    figure.legend(fontsize=7, handlelength=2.6, loc="outside lower center", ncols=2)
    return figure


def _of_rates(
    section: Section, problem: str, runs: Sequence[dict[str, Any]], looks: Looks
) -> Figure:
    """Bars of steps a second, each below the line that its FLOPs would allow and with the share of it that is reached."""
    labels = list(section.optimizers)
    dtypes = list(dict.fromkeys(dtype for run in runs for dtype in run["rates"]["x"]))
    width = 0.85 / len(runs)
    figure, (axes,) = _panels(
        1, f"{section.suite}: {problem}", (max(4.8, 0.4 * len(runs) * len(dtypes)), 4.2)
    )
    for i, run in enumerate(runs):
        low, y, high, share, roof = (
            np.array(run["rates"][name], float) for name in ("low", "y", "high", "share", "roof")
        )
        x = (
            np.array([dtypes.index(dtype) for dtype in run["rates"]["x"]])
            + (i - (len(runs) - 1) / 2) * width
        )
        (dash, colour), label = looks[run["o"]], _plain(labels[run["o"]])
        axes.bar(
            x,
            y,
            0.9 * width,
            yerr=[y - low, high - y],
            color=colour,
            hatch=HATCHES[dash],
            label=label,
        )
        axes.hlines(roof, x - width / 2, x + width / 2, colors="k", linewidth=1.2)
        for at, reached, top, bar in zip(x, share, roof, high, strict=True):
            said, height, angle = (
                (f"{100 * reached:.2g}%", top, 0) if np.isfinite(top) else ("no FLOPs", bar, 90)
            )
            axes.annotate(
                said,
                (at, height),
                (0, 3),
                "data",
                "offset points",
                rotation=angle,
                fontsize=7,
                ha="center",
            )
    axes.plot([], [], "k", linewidth=1.2, label="at a matrix product's FLOP/s")
    axes.set(yscale="log", ylabel="steps a second", xticks=range(len(dtypes)), xticklabels=dtypes)
    every = [
        value
        for run in runs
        for name in ("low", "high", "roof")
        for value in run["rates"][name]
        if value is not None
    ]
    axes.set_ylim(min(every) / 5, 3 * max(every))
    figure.legend(fontsize=7, loc="outside lower center", ncols=2)
    return figure


def _panels(
    n: int, title: str, size: tuple[float, float] = (3.6, 3.4)
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * n + 0.4, size[1]), layout="constrained")
    figure.suptitle(_plain(title), fontsize=10)
    return figure, list(figure.subplots(1, n, squeeze=False)[0])


def _curve(
    axes: Axes, curve: Curve, label: str, look: tuple[str, str], drawstyle: str = "default"
) -> None:
    dash, colour = look
    x, y = (np.array(curve[name], float) for name in ("x", "y"))
    axes.plot(x, y, dash, color=colour, label=_plain(label), drawstyle=drawstyle, linewidth=1.4)
    if "low" in curve:
        low, high = (np.array(curve[name], float) for name in ("low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _plain(text: str) -> str:
    """As matplotlib takes text that is no mathematics, and a label that begins with an underscore for none."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
