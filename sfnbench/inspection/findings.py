"""The findings of an inspection: numbers, text, a page for notebooks, and figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import numpy as np
from tabulate import tabulate

from ..arrays import Floats
from ..linalg.newton_krylov import MOST_PRODUCTS
from ..metrics.certificate import NOT_CERTIFIED, RAN_AWAY
from ..report.drawing import Drawing
from ..report.figure import Axis, Figure, Panel, Trace
from .shares import ProbeEstimate

ESTIMATES = (
    "negative_share",
    "near_zero_share",
    "negative_weight",
    "gradient_overlap",
)
N_GRID = 400  # points of the density's curve
# times |theta|: a Newton step that is longer leads to no critical point near
NEAR = 0.02


@dataclass(frozen=True)
class LayerCurvature:
    """One tensor of parameters."""

    name: str
    n_parameters: int
    gradient_norm: float
    curvature: ProbeEstimate  # the mean of the Hessian's diagonal there
    lowest_share: float  # of the squared length of the lowest eigenvector
    highest_share: float


@dataclass
class Inspection:
    """One point of a network: slope, curvature, certificate; None for what was not reached.

    Prints as text, and as HTML in a notebook. Eigenvalues have residual bounds: some eigenvalue is
    within them. Errors of shares are half the widths of 95 % intervals: the spread of random
    probes, and what quadrature leaves open. They are 0 where all eigenvalues are known.
    """

    title: str
    n_parameters: int
    n_examples: int | None
    dtype: str
    n_products: int  # Hessian-vector products that it was to take at most
    notes: tuple[str, ...] = ()
    loss: float | None = None
    gradient_norm: float | None = None
    # of the gradient, in units of the largest |curvature| times the length of theta
    relative_gradient: float | None = None
    lowest: float | None = None
    lowest_residual: float | None = None
    highest: float | None = None
    highest_residual: float | None = None
    end_point: str | None = None  # a kind of critical point, or why there is none
    root_distance: float | None = None  # to the critical point, in units of |theta|
    # where products solve for Newton's step p: |H p + g| / |g|, and |p| in units of |theta|
    unsolved: float | None = None
    newton_step: float | None = None
    # the size up to which eigenvalues count as zero, or are too near to it to tell
    edge: float | None = None
    negative_share: ProbeEstimate | None = None  # of all eigenvalues, below -edge
    near_zero_share: ProbeEstimate | None = None  # within it
    negative_weight: ProbeEstimate | None = None  # of the sum of all |eigenvalues|
    # the share of |g|^2 with eigenvalues below -edge
    gradient_overlap: ProbeEstimate | None = None
    layers: tuple[LayerCurvature, ...] = ()
    distances: Floats | None = None  # along the lowest eigenvector
    losses: Floats | None = None
    nodes: Floats | None = None  # (n_probes, k) eigenvalues or Ritz values
    weights: Floats | None = None
    is_complete: bool = False
    theta_norm: float = field(default=math.nan, repr=False)

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if self.lowest is None or self.lowest_residual is None:
            return "not enough was measured to say"
        bends = self.lowest + self.lowest_residual < 0
        down = "the lowest curvature is negative for sure"
        if self.end_point not in (None, NOT_CERTIFIED, RAN_AWAY):
            return f"near a critical point: {self.end_point}"
        if self.end_point == RAN_AWAY:
            return "on a slope that falls away from every critical point"
        where = "not certified"
        if self.end_point and self._leads_away:
            where = "no critical point was found near"
        return f"{where}; {down if bends else 'no negative curvature was resolved'}"

    @property
    def _leads_away(self) -> bool:
        """Whether Newton's method was followed, to no critical point near."""
        if self.unsolved is None:  # it had the Hessian
            return True
        return self.newton_step is not None and self.newton_step > NEAR

    def to_dict(self) -> dict[str, Any]:
        """All numbers by name; estimates as {"value": ..., "error": ...}, arrays as lists."""
        found = {name: _plain_number(value) for name, value in asdict(self).items()}
        for name in ESTIMATES:
            estimate = getattr(self, name)
            found[name] = None if estimate is None else estimate._asdict()
        for layer, given in zip(found["layers"], self.layers, strict=True):
            layer["curvature"] = given.curvature._asdict()
        return {**found, "verdict": self.verdict}

    # -- text --------------------------------------------------------------------------------------

    def __str__(self) -> str:
        facts = tabulate(
            list(self.facts()), tablefmt="plain", disable_numparse=True
        )
        parts = [f"{self.title}: {self.verdict}", facts]
        if self.layers:
            parts.append(
                tabulate(self._layer_rows(), headers="keys", disable_numparse=True)
            )
        return "\n\n".join([*parts, *self._remarks()])

    def __repr__(self) -> str:
        return f"<Inspection of {self.title}: {self.verdict}>"

    def facts(self) -> Iterator[tuple[str, str]]:
        """Each measured number: its name, and it in words."""
        examples = (
            "" if self.n_examples is None else f", {self.n_examples:,} examples"
        )
        yield "network", f"{self.n_parameters:,} parameters{examples}, {self.dtype}"
        if self.loss is not None:
            yield "loss", f"{self.loss:.6g}"
        if self.gradient_norm is not None:
            unit = ""
            if self.relative_gradient is not None:
                unit = f", {self.relative_gradient:.2g} of the largest |curvature| times |theta|"
            yield "gradient norm", f"{self.gradient_norm:.4g}{unit}"
        if self.lowest is not None:
            yield (
                "lowest eigenvalue",
                f"{self.lowest:.6g} +- {self.lowest_residual:.1g}",
            )
            yield (
                "highest eigenvalue",
                f"{self.highest:.6g} +- {self.highest_residual:.1g}",
            )
        yield from self._share_facts()
        if self.end_point is not None:
            yield "certificate", self._certificate()
        if self.distances is not None and self.losses is not None:
            yield "along the lowest", self._best_along()

    def _share_facts(self) -> Iterator[tuple[str, str]]:
        if self.negative_share is None or self.negative_weight is None:
            return
        assert self.near_zero_share is not None
        share, zero = _percent(self.negative_share), _percent(self.near_zero_share)
        yield (
            "negative curvature",
            f"{share} of the eigenvalues are below -{self.edge:.2g}",
        )
        yield "", f"{_percent(self.negative_weight)} of the sum of all sizes"
        yield "near zero", f"{zero} of the eigenvalues are within +-{self.edge:.2g}"
        if self.gradient_overlap is not None:
            overlap = _percent(self.gradient_overlap)
            yield "gradient", f"{overlap} of |g|^2 in negative directions"

    def _certificate(self) -> str:
        if self.root_distance is not None and not math.isnan(self.root_distance):
            away = f"a critical point {self.root_distance:.2g} |theta| away"
            reason = f"Newton's method arrives at {away}"
        elif self.unsolved is None:
            reason = "Newton's method arrives at no critical point near"
        elif self.newton_step is None:
            left = f"{self.unsolved:.2g} of the gradient"
            reason = f"{MOST_PRODUCTS} products leave {left}, so Newton's step is not known"
        elif self._leads_away:
            reason = f"Newton's step leads {self.newton_step:.2g} |theta| away"
        else:
            length = f"the first {self.newton_step:.2g} |theta| long"
            reason = (
                f"Newton's steps, {length}, do not contract as far as products show"
            )
        return f"{self.end_point}: {reason}"

    def _best_along(self) -> str:
        assert self.losses is not None
        assert self.distances is not None
        best = int(np.nanargmin(self.losses))
        if self.distances[best] == 0:
            return f"the loss rises both ways, up to {self.distances[-1]:.3g} away"
        return f"loss {self.losses[best]:.6g} at {self.distances[best]:+.3g}"

    def _layer_rows(self) -> list[dict[str, str]]:
        return [
            {
                "tensor": layer.name,
                "parameters": f"{layer.n_parameters:,}",
                "gradient norm": f"{layer.gradient_norm:.3g}",
                "mean curvature": _with_error(layer.curvature),
                "share of lowest": f"{layer.lowest_share:.1%}",
                "share of highest": f"{layer.highest_share:.1%}",
            }
            for layer in self.layers
        ]

    def _remarks(self) -> list[str]:
        remarks = [each[0].upper() + each[1:] + "." for each in self.notes]
        if not self.is_complete:
            remarks.append("It was interrupted: what is missing was not measured.")
        return [" ".join(remarks)] if remarks else []

    def _repr_html_(self) -> str:
        """A table of the facts, one of the layers, and the figures where matplotlib is there."""
        rows = [
            f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>"
            for a, b in self.facts()
        ]
        parts = [f"<p><b>{escape(self.title)}</b>: {escape(self.verdict)}</p>"]
        parts.append(f"<table>{''.join(rows)}</table>")
        if self.layers:
            parts.append(
                tabulate(self._layer_rows(), headers="keys", tablefmt="html")
            )
        parts += [
            each.svg()
            for each in (self.spectrum(), self.along())
            if each is not None
        ]
        parts += [f"<p>{escape(each)}</p>" for each in self._remarks()]
        return "".join(parts)

    # -- figures -----------------------------------------------------------------------------------

    def spectrum(self) -> Drawing | None:
        """The density of the eigenvalues, each a bump of a fiftieth of their range."""
        if self.nodes is None or self.weights is None:
            return None
        low, high = float(self.nodes.min()), float(self.nodes.max())
        width = (high - low) / 50 or 1.0
        grid = np.linspace(low - 3 * width, high + 3 * width, N_GRID)
        bumps = np.exp(-(((grid[:, None, None] - self.nodes) / width) ** 2) / 2)
        # each: (n, probes)
        each = (bumps * self.weights).sum(2) / (width * math.sqrt(2 * math.pi))
        density = np.where(
            each.mean(1) > 1e-12 * each.mean(1).max(), each.mean(1), np.nan
        )
        trace = Trace(
            grid, density, label="density", low=each.min(1), high=each.max(1)
        )
        axes = Axis("eigenvalue"), Axis("density", scale="log")
        panel = Panel(
            "spectrum",
            "Eigenvalues of the Hessian",
            *axes,
            [trace],
            marks=[(0.0, "0")],
        )
        return Drawing(Figure("spectrum", f"Spectrum of {self.title}", [panel]))

    def along(self) -> Drawing | None:
        """The loss along the lowest eigenvector, both ways."""
        if self.distances is None or self.losses is None or self.lowest is None:
            return None
        middle = self.losses[len(self.losses) // 2]
        predicted = middle + self.lowest / 2 * self.distances**2
        traces = [
            Trace(self.distances, self.losses, label="loss"),
            Trace(self.distances, predicted, label="second order", width=1.0),
        ]
        axes = Axis("distance along the lowest eigenvector"), Axis("loss")
        panel = Panel("along", "Loss along the lowest eigenvector", *axes, traces)
        return Drawing(Figure("along", f"Loss near {self.title}", [panel]))


def _plain_number(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _percent(estimate: ProbeEstimate) -> str:
    if not estimate.error:
        return f"{estimate.value:.2%}"
    return f"{estimate.value:.2%} +- {100 * estimate.error:.2g}%"


def _with_error(estimate: ProbeEstimate) -> str:
    if not estimate.error:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} +- {estimate.error:.2g}"
