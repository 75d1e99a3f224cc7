"""The page in a real browser: what it shows, and what it does when asked."""

import math
from dataclasses import replace

from labels import EVIL, MARKED

from sfnbench.report import html_tables
from sfnbench.report.html import write_page
from sfnbench.report.sections import gather
from sfnbench.results.cells import Cell
from sfnbench.results.store import Store
from sfnbench.session.execute import execute


def visible(page):
    """Of every trace that is an optimizer's: whose it is, and whether it is shown."""
    return page.evaluate(
        """[...document.querySelectorAll('.js-plotly-plot')]
            .flatMap((plot) => plot.data.filter((t) => t.meta)
        .map((t) => [t.meta, t.visible]))"""
    )


def column(page, name):
    """Texts of a column of the first table, as they stand."""
    return page.evaluate(
        """(name) => { const table = document.querySelector('table.sortable');
        const i = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === name);
        return [...table.tBodies[0].rows].map((row) => row.cells[i].textContent) }""",
        name,
    )


def test_labels_stay_text(visit, report):
    page = visit(report)
    assert page.evaluate("window.evil") is None
    assert page.locator("#legend button").all_inner_texts() == [EVIL, MARKED]
    assert page.locator("main b, main figure a[href]").count() == 0
    assert page.locator("td", has_text=EVIL).count() > 0
    names = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap((p) => "
        "p.data.map((t) => t.name))"
    )
    assert all("<" not in name for name in names)


def test_every_figure_that_the_results_have_is_drawn(visit, report):
    page = visit(report)
    drawn = page.locator("#suite-0 figure").evaluate_all(
        "all => all.map((f) => f.dataset.figure)"
    )
    assert drawn == [
        "loss",
        "escape",
        "gradient_norm",
        "min_eigenvalue",
        "escaped",
        "profiles",
        "trajectories",
    ]
    assert page.locator("#suite-0 figure .main-svg .trace").count() > 0


def test_escape_against_one_factor_is_drawn_and_tabulated(
    visit, make_run, tmp_path
):
    """Of problems in one figure for all; of a setting, for the problem that is chosen."""
    whole = {"eigenvalues": [10.0, -2.0], "escape_drop": 1.0}
    with Store(tmp_path / "results", create=True) as store:
        for radius in (1e-1, 1e-3):
            for lr in (0.02, 0.05):
                run = make_run(
                    "quadratic_saddle",
                    {**whole, "radius": radius},
                    "gradient_descent",
                    {"lr": lr},
                    seeds=6,
                    steps=90,
                )
                problem = replace(run.problem, label=f"{MARKED} {radius:g}")
                store.put(
                    execute(
                        replace(
                            run,
                            problem=problem,
                            method=replace(run.method, label=f"{EVIL} {lr:g}"),
                        )
                    )
                )
    page = visit(
        write_page(*gather([tmp_path / "results"]), tmp_path / "report.html")
    )
    shown = page.locator("figure[data-figure=scaling]")
    assert shown.locator("h3").all_inner_texts() == [
        "quadratic_saddle: escape against distance from the saddle",
        "gradient_descent: escape against lr",
    ]
    assert page.locator("main b, main figure a[href]").count() == 0
    of_settings = shown.nth(1).locator(".legend .traces")
    of_problems = of_settings.filter(has_text=MARKED)
    assert of_problems.count() == 2
    page.locator("summary", has_text="Escape against one factor").click()
    rows = page.locator("table.sortable").nth(1).locator("tbody tr")
    rows.first.wait_for()  # the browser tells of the opening a moment after the click
    assert rows.count() == 4  # two rates, and two distances


def test_the_legend_hides_and_shows_an_optimizer_in_all_figures(visit, report):
    page = visit(report)
    button = page.locator("#legend button").first
    assert {shown for _, shown in visible(page)} == {True}
    button.click()
    assert {(label, shown) for label, shown in visible(page)} == {
        (EVIL, False),
        (MARKED, True),
    }
    assert button.get_attribute("aria-pressed") == "false"
    # the optimizer stays hidden where figures are drawn again
    page.locator("#suite-0 select").first.select_option(index=1)
    assert {(label, shown) for label, shown in visible(page)} == {
        (EVIL, False),
        (MARKED, True),
    }
    button.click()
    assert {shown for _, shown in visible(page)} == {True}


def test_tables_sort_by_number_both_ways(visit, report):
    page = visit(report)
    header = page.locator(
        "#suite-0 table.sortable th", has_text="cost in gradients"
    )
    costs = [float(text.split()[0]) for text in column(page, "cost in gradients")]
    assert len(set(costs)) > 1
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert [
        float(text.split()[0]) for text in column(page, "cost in gradients")
    ] == sorted(costs)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert [
        float(text.split()[0]) for text in column(page, "cost in gradients")
    ] == sorted(costs, reverse=True)


def test_what_is_censored_sorts_beyond_its_number_and_nothing_last(visit, report):
    page = visit(report)
    late, never = Cell(math.inf, censored=30), Cell(math.inf, never=True)
    numbers = [Cell(30.0), Cell(4.5, 1, 9), Cell(math.inf), Cell(1e3)]
    entries = [None, "b", late, never, *numbers, "a"]
    table = html_tables.sortable([{"x": entry} for entry in entries], "x")
    ranked = page.evaluate(
        """(table) => { const made = element("div", {}); made.innerHTML = table;
        const cells = [...made.querySelectorAll("td")].map((cell) => rank(cell));
        return cells.sort(compare).map((key) => key.text) }""",
        table,
    )
    assert ranked == [
        "4.5 [1, 9]",
        "30",
        "1000",
        "inf",
        "> 30",
        "never",
        "a",
        "b",
        "",
    ]


def test_everything_is_reached_by_keyboard(visit, report):
    page = visit(report)
    seen = []
    for _ in range(100):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.textContent.slice(0, 60) + ' ' + "
                "document.activeElement.tagName"
            )
        )
    page.evaluate("window.scrollTo(0, 0)")
    assert "Skip to the results A" in seen[0]
    for wanted in (
        f"{EVIL} BUTTON",
        "optimizer BUTTON",
        "Table SUMMARY",
        "Statuses SUMMARY",
    ):
        assert wanted in seen, seen
    assert any(text.endswith("SELECT") for text in seen)
    page.locator("#legend button").first.focus()
    page.keyboard.press("Enter")
    assert (EVIL, False) in {(label, shown) for label, shown in visible(page)}
    page.locator("#suite-0 table.sortable th button").first.focus()
    page.keyboard.press("Space")
    assert page.locator("#suite-0 th[aria-sort=ascending]").count() == 1


def test_the_axis_and_the_problem_can_be_chosen(visit, wait_for_figures, report):
    page = visit(report)
    problem, axis = page.locator("#suite-0 select").all()
    before = page.evaluate("document.querySelector('#suite-0 .plot').data[1].x")
    axis.select_option("seconds")
    wait_for_figures(page, 0)
    assert (
        page.evaluate(
            "document.querySelector('#suite-0 .plot').layout.xaxis.title.text"
        )
        == "seconds"
    )
    assert (
        page.evaluate("document.querySelector('#suite-0 .plot').data[1].x")
        != before
    )
    problem.select_option(index=1)
    assert "monkey_saddle" in page.locator("#suite-0 .plot").first.get_attribute(
        "aria-label"
    )
