"""The page in a real browser: how it looks, by day and night, on a phone and on paper."""

import re
from dataclasses import replace

import numpy as np
import pytest
from gate import until

from sfnbench.records import Result, Run, Spec
from sfnbench.report.html import write_page
from sfnbench.report.sections import gather
from sfnbench.results.store import Store
from sfnbench.session.execute import execute


def test_every_figure_says_what_its_axes_are(visit, report):
    page = visit(report)
    said = "[p.layout.xaxis.title.text, p.layout.yaxis.title.text]"
    titles = page.evaluate(
        f"[...document.querySelectorAll('.js-plotly-plot')].map((p) => {said})"
    )
    assert titles
    assert all(x and y for x, y in titles)


def test_trajectories_begin_together_and_lie_in_a_square(
    visit, wait_for_figures, report
):
    page = visit(report)
    for problem in (0, 1):
        page.locator("#suite-0 select").first.select_option(index=problem)
        wait_for_figures(page, 0)
        plot = "document.querySelector('#suite-0 [data-figure=trajectories] .plot')"
        kinds = page.evaluate(f"{plot}.data.map((t) => [t.type, t.name])")
        assert [name for kind, name in kinds if kind == "contour"] == ["loss"]
        assert [name for _, name in kinds[-2:]] == ["start", "saddle"]
        lines = "(t) => t.mode === 'lines' || t.name === 'start'"
        starts = page.evaluate(
            f"{plot}.data.filter({lines}).map((t) => [t.x[0], t.y[0]])"
        )
        assert len(starts) == 3
        assert starts[0] == starts[1] == starts[2]  # both optimizers and the mark
        shaded = page.locator(
            "#suite-0 [data-figure=trajectories] .plot image"
        ).first.bounding_box()
        assert shaded["width"] == pytest.approx(shaded["height"], abs=1)
        assert shaded["width"] > 200


@pytest.fixture(scope="module")
def timings(tmp_path_factory):
    """Two optimizers in two dtypes, one of which counts no FLOPs in one of them."""
    root = tmp_path_factory.mktemp("timings")
    row = {
        "seed": 0,
        "status": "ok",
        "steps_per_s": 20.0,
        "steps_per_s_q1": 19.0,
        "steps_per_s_q3": 21.0,
    }
    both = [
        {**row, "dtype": "float32", "flops_share": 0.25},
        {**row, "dtype": "float64", "flops_share": 0.004},
    ]
    with Store(root / "a", create=True) as store:
        for label, rows in (
            ("counted", both),
            ("half", [both[0], {**row, "dtype": "float64"}]),
        ):
            run = Run(
                "fast",
                "throughput",
                Spec("p", "p", {}, ""),
                Spec("o", label, {"of": label}, ""),
                (0,),
                {},
            )
            store.put(Result(run, "ok", tuple(rows)))
    return write_page(*gather([root / "a"]), root / "report.html")


def test_the_share_stands_over_the_middle_of_its_bar(visit, timings):
    page = visit(timings)
    middles = """(selector) =>
        [...document.querySelectorAll('#suite-0 ' + selector)].map((each) => {
        const box = each.getBoundingClientRect(); return (box.left + box.right) / 2 })"""
    bars, shares = (
        page.evaluate(middles, selector)
        for selector in (".barlayer .point path", ".textpoint text")
    )
    assert (len(bars), len(shares)) == (4, 3)
    # the first two are of the method that counts in both
    assert bars[:2] == pytest.approx(shares[:2], abs=1)
    assert bars[2] == pytest.approx(shares[2], abs=1)
    written = page.locator("#suite-0 .textpoint, #suite-0 .bartext").evaluate_all(
        "all => all.map((t) => t.textContent)"
    )
    assert {text for text in written if text} == {"25 %", "0.4 %", "no FLOPs"}
    page.locator("#legend button").first.click()
    assert page.locator("#suite-0 .barlayer .point").count() == 2


def luminance(colour):
    """Relative luminance of WCAG 2 of a colour like rgb(1, 2, 3)."""
    parts = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    return float(
        np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        @ [0.2126, 0.7152, 0.0722]
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_the_light_and_in_the_dark(visit, report, scheme):
    page = visit(report, color_scheme=scheme)
    paper = luminance(
        page.evaluate("getComputedStyle(document.body).backgroundColor")
    )
    assert (paper < 0.2) == (scheme == "dark")
    for selector in ("h1", "figcaption", "a[href]", ".plot .xtick text"):
        name = "fill" if "text" in selector else "color"
        ink = luminance(
            page.evaluate(
                f"getComputedStyle(document.querySelector('{selector}')).{name}"
            )
        )
        lighter, darker = max(ink, paper), min(ink, paper)
        # WCAG 2 asks for this at level AA
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, selector


def test_figures_follow_when_it_gets_dark(visit, report):
    page = visit(report, color_scheme="light")
    ink = "document.querySelector('.plot')._fullLayout.font.color"
    before = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    for _ in range(200):
        if page.evaluate(ink) != before:
            break
        page.wait_for_timeout(50)
    assert luminance(rgb(page.evaluate(ink))) > 0.5 > 0.2 > luminance(rgb(before))


def rgb(colour):
    """A colour like #1b1b1b as rgb(27, 27, 27)."""
    return f"rgb{tuple(bytes.fromhex(colour[1:]))}"


def test_a_phone_scrolls_only_downwards(visit, report):
    page = visit(report, viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    widths = page.locator("figure").evaluate_all(
        "all => all.map((f) => f.getBoundingClientRect().width)"
    )
    assert max(widths) <= 360


def test_what_overflows_draws_without_a_complaint(visit, make_run, tmp_path):
    """To 1e300 and beyond: Plotly has no numbers for the way there."""
    with Store(tmp_path / "a", create=True) as store:
        for lr in (0.01, 1e6):
            store.put(
                execute(
                    make_run(
                        "linear_autoencoder",
                        {},
                        "gradient_descent",
                        {"lr": lr},
                        seeds=5,
                        steps=60,
                    )
                )
            )
            store.put(
                execute(
                    make_run(
                        "quadratic_saddle",
                        {},
                        "gradient_descent",
                        {"lr": lr},
                        seeds=5,
                        steps=60,
                    )
                )
            )
    page = visit(write_page(*gather([tmp_path / "a"]), tmp_path / "r.html"))
    for axis in ("cost", "seconds"):
        page.get_by_label("Against").first.select_option(axis)
    # no figure has a button that asks a server for anything
    assert page.locator("[data-title^='Share']").count() == 0


def test_what_diverges_does_not_flatten_the_others(visit, make_run, tmp_path):
    with Store(tmp_path / "a", create=True) as store:
        for lr in (0.01, 0.02, 5.0):
            run = make_run(
                "linear_autoencoder",
                {"n_inputs": 3, "n_hidden": 1},
                "gradient_descent",
                {"lr": lr},
                steps=8,
            )
            run = replace(run, method=replace(run.method, label=f"lr={lr:g}"))
            store.put(execute(run))
    page = visit(write_page(*gather([tmp_path / "a"]), tmp_path / "report.html"))
    figure, plot = (
        "figure[data-figure=loss]",
        "document.querySelector('figure[data-figure=loss] .plot')",
    )
    assert (
        page.locator(f"{figure} figcaption")
        .inner_text()
        .endswith("Off the scale: lr=5.")
    )
    low, high = page.evaluate(f"{plot}.layout.yaxis.range")
    assert -3 < low < high < 3
    assert page.evaluate(f"{plot}.data.length") == 6  # all there


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_figures_wait_for_the_window_and_a_printer_gets_them_all(
    browser, report, paper
):
    page = browser.new_page(viewport={"width": 800, "height": 300})
    page.goto(report.as_uri())
    page.wait_for_selector("#summary")
    count = "document.querySelectorAll('.js-plotly-plot').length"
    assert page.evaluate(count) < 14
    page.evaluate(
        """addEventListener('beforeprint', () => { window.printed = [...panels.keys()].map((plot) =>
        [plot._fullLayout.width, plot.closest('figure').getBoundingClientRect().height]) })"""
    )
    page.pdf(format=paper)
    assert page.evaluate(count) == 2 * 7  # as above, of two suites
    # 330 px are 87 mm: two in 180 mm
    assert {width for width, _ in page.evaluate("printed")} == {330}
    # the page's policy forbids what wait_for_function would evaluate
    wide = "[...panels.keys()].every((plot) => plot._fullLayout.width !== 330)"
    assert until(lambda: page.evaluate(wide))
    page.close()


def test_printed_figures_lie_beside_each_other_within_the_page(visit, report):
    page = visit(report)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 1000})  # A4 without its margins
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    boxes = [
        each.bounding_box()
        for each in page.locator("#suite-0 .plot .main-svg").all()
    ]
    assert max(box["x"] + box["width"] for box in boxes) <= 680
    assert len({round(box["x"]) for box in boxes}) == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    inside = """[...document.querySelectorAll('figure')].every((each) =>
        getComputedStyle(each).breakInside === 'avoid' && each.scrollWidth <= each.clientWidth)"""
    assert page.evaluate(inside)


def test_a_table_that_scrolls_has_shadows_at_its_edges(visit, report):
    page = visit(report, viewport={"width": 360, "height": 700})
    table = page.locator("#suite-0 .scroll").first
    assert table.evaluate("(each) => each.scrollWidth > each.clientWidth")
    assert (
        table.evaluate("(each) => getComputedStyle(each).backgroundImage").count(
            "gradient"
        )
        == 8
    )
