"""The page in a real browser: Debian's Chromium, headless, without a network."""

import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sfnbench.experiments.race.profiles import GAP
from sfnbench.records import Result, Run, Spec
from sfnbench.report.gathered import gather
from sfnbench.report.html import write
from sfnbench.results.store import Store
from sfnbench.session.execute import execute

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'sfnbench[report]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'sfnbench[test]'"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser is installed: apt-get install chromium"
)

EVIL = "<script>window.evil = 1</script>"
MARKED = "<b>bold</b> & <a href='x'>sfn</a>"


@pytest.fixture(scope="module")
def browser():
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=root)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a file, all suites and figures drawn.

    Whatever the page complains of or asks the network for fails the test.
    """
    complaints = []
    contexts = []

    def open_(file, **how):
        context = browser.new_context(offline=True, **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: complaints.append(request.url) if outside(request.url) else None,
        )
        page.goto(file.as_uri())
        for i in range(page.locator(".suite").count()):
            page.locator(f"#suite-{i}").scroll_into_view_if_needed()
            page.wait_for_selector(f"#suite-{i}[data-drawn]")
            for figure in page.locator(f"#suite-{i} figure:not([hidden])").all():
                figure.scroll_into_view_if_needed()
                figure.locator(".js-plotly-plot .main-svg").first.wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def outside(url):
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="module")
def report(make_run, tmp_path_factory):
    """Two suites of two problems and two optimizers whose labels are HTML."""
    root = tmp_path_factory.mktemp("report")
    metrics = ("loss", "gradient_norm", "min_eigenvalue")
    for suite in ("one", EVIL):
        with Store(root / f"folder {len(suite)}", create=True) as store:
            for problem in ("quadratic_saddle", "monkey_saddle"):
                for use, label in (("gradient_descent", EVIL), ("sfn", MARKED)):
                    result = execute(
                        make_run(problem, {}, use, {}, seeds=6, steps=30, metrics=metrics)
                    )
                    run = replace(
                        result.run, suite=suite, method=replace(result.run.method, label=label)
                    )
                    store.put(replace(result, run=run))
    return write(*gather(sorted(root.iterdir())), root / "report.html")


def visible(page):
    """Of every trace that is an optimizer's: whose it is, and whether it is shown."""
    return page.evaluate(
        """[...document.querySelectorAll('.js-plotly-plot')].flatMap((plot) => plot.data.filter((t) => t.meta)
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
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap((p) => p.data.map((t) => t.name))"
    )
    assert all("<" not in name for name in names)


def test_every_figure_that_the_results_have_is_drawn(visit, report):
    page = visit(report)
    drawn = page.locator("#suite-0 figure:not([hidden])").evaluate_all(
        "all => all.map((f) => f.dataset.figure)"
    )
    assert drawn == [
        "loss",
        "escape",
        "trajectories",
        "gradient_norm",
        "min_eigenvalue",
        "escaped",
        "profiles",
    ]
    assert page.locator("#suite-0 figure:not([hidden]) .main-svg .trace").count() > 0
    assert (
        "Training error against hidden units" in page.locator("#suite-0 .faint").last.inner_text()
    )


def test_figures_wait_for_the_window_and_a_printer_gets_them_all(browser, report):
    page = browser.new_page(viewport={"width": 800, "height": 300})
    page.goto(report.as_uri())
    page.wait_for_selector("#summary")
    count = "document.querySelectorAll('.js-plotly-plot').length"
    assert page.evaluate(count) < 14
    page.pdf()
    assert page.evaluate(count) == 2 * 7  # as above, of two suites
    page.close()


def test_what_overflows_draws_without_a_complaint(visit, make_run, tmp_path):
    """To 1e300 and beyond: Plotly has no numbers for the way there."""
    with Store(tmp_path / "a", create=True) as store:
        for lr in (0.01, 1e6):
            store.put(
                execute(
                    make_run(
                        "linear_autoencoder", {}, "gradient_descent", {"lr": lr}, seeds=5, steps=60
                    )
                )
            )
            store.put(
                execute(
                    make_run(
                        "quadratic_saddle", {}, "gradient_descent", {"lr": lr}, seeds=5, steps=60
                    )
                )
            )
    page = visit(write(*gather([tmp_path / "a"]), tmp_path / "r.html"))
    for axis in ("cost", "seconds"):
        page.get_by_label("Against").first.select_option(axis)
    assert (
        page.locator("[data-title^='Share']").count() == 0
    )  # nothing that asks a server for anything


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
    page = visit(write(*gather([tmp_path / "a"]), tmp_path / "report.html"))
    figure, plot = (
        "figure[data-figure=loss]",
        "document.querySelector('figure[data-figure=loss] .plot')",
    )
    assert page.locator(f"{figure} figcaption").inner_text().endswith("Out of the picture: lr=5.")
    low, high = page.evaluate(f"{plot}.layout.yaxis.range")
    assert -3 < low < high < 3
    assert page.evaluate(f"{plot}.data.length") == 6  # all there


def test_every_figure_says_what_its_axes_are(visit, report):
    page = visit(report)
    said = "[p.layout.xaxis.title.text, p.layout.yaxis.title.text]"
    titles = page.evaluate(f"[...document.querySelectorAll('.js-plotly-plot')].map((p) => {said})")
    assert titles
    assert all(x and y for x, y in titles)


def test_escape_against_one_factor_is_drawn_and_told(visit, make_run, tmp_path):
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
                            run, problem=problem, method=replace(run.method, label=f"{EVIL} {lr:g}")
                        )
                    )
                )
    page = visit(write(*gather([tmp_path / "results"]), tmp_path / "report.html"))
    shown = page.locator("figure[data-figure=scaling]:not([hidden])")
    assert shown.locator("h3").all_inner_texts() == [
        "quadratic_saddle: escape against distance from the saddle",
        "gradient_descent: escape against lr",
    ]
    assert page.locator("main b, main figure a[href]").count() == 0
    of_settings = shown.nth(1).locator(".legend .traces")
    assert of_settings.count() == 1
    assert MARKED in of_settings.text_content()
    page.locator("summary", has_text="Escape against one factor").click()
    rows = page.locator("table.sortable").nth(1).locator("tbody tr")
    rows.first.wait_for()  # the browser tells of the opening a moment after the click
    assert rows.count() == 4  # two rates, and two distances


def test_the_legend_hides_and_shows_an_optimizer_in_all_figures(visit, report):
    page = visit(report)
    button = page.locator("#legend button").first
    assert {shown for _, shown in visible(page)} == {True}
    button.click()
    assert {(label, shown) for label, shown in visible(page)} == {(EVIL, False), (MARKED, True)}
    assert button.get_attribute("aria-pressed") == "false"
    page.locator("#suite-0 select").first.select_option("1")  # drawn anew, it stays hidden
    assert {(label, shown) for label, shown in visible(page)} == {(EVIL, False), (MARKED, True)}
    button.click()
    assert {shown for _, shown in visible(page)} == {True}


def test_tables_sort_by_number_both_ways(visit, report):
    page = visit(report)
    header = page.locator("#suite-0 table.sortable th", has_text="cost in gradients")
    costs = [float(text.split()[0]) for text in column(page, "cost in gradients")]
    assert len(set(costs)) > 1
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in column(page, "cost in gradients")] == sorted(costs)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert [float(text.split()[0]) for text in column(page, "cost in gradients")] == sorted(
        costs, reverse=True
    )


def test_what_is_censored_sorts_beyond_its_number_and_nothing_last(visit, report):
    page = visit(report)
    order = page.evaluate(
        "['', 'b', '> 30', '30', '4.5 [1, 9]', 'inf', '1e3', 'a'].sort((a, b) => byRank(rank(a), rank(b)))"
    )
    assert order == ["4.5 [1, 9]", "30", "> 30", "1e3", "inf", "a", "b", ""]


def test_everything_is_reached_by_keyboard(visit, report):
    page = visit(report)
    seen = []
    for _ in range(100):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.textContent.slice(0, 60) + ' ' + document.activeElement.tagName"
            )
        )
    page.evaluate("window.scrollTo(0, 0)")
    assert "Skip to the results A" in seen[0]
    for wanted in (f"{EVIL} BUTTON", "optimizer BUTTON", "Table SUMMARY", "Statuses SUMMARY"):
        assert wanted in seen, seen
    assert any(text.endswith("SELECT") for text in seen)
    page.locator("#legend button").first.focus()
    page.keyboard.press("Enter")
    assert (EVIL, False) in {(label, shown) for label, shown in visible(page)}
    page.locator("#suite-0 table.sortable th button").first.focus()
    page.keyboard.press("Space")
    assert page.locator("#suite-0 th[aria-sort=ascending]").count() == 1


def test_the_axis_and_the_problem_can_be_chosen(visit, report):
    page = visit(report)
    problem, axis = page.locator("#suite-0 select").all()
    before = page.evaluate("document.querySelector('#suite-0 .plot').data[1].x")
    axis.select_option("seconds")
    assert (
        page.evaluate("document.querySelector('#suite-0 .plot').layout.xaxis.title.text")
        == "seconds"
    )
    assert page.evaluate("document.querySelector('#suite-0 .plot').data[1].x") != before
    problem.select_option("1")
    assert "monkey_saddle" in page.locator("#suite-0 .plot").first.get_attribute("aria-label")


def test_trajectories_begin_together_and_lie_in_a_square(visit, report):
    page = visit(report)
    for problem in "01":
        page.locator("#suite-0 select").first.select_option(problem)
        plot = "document.querySelector('#suite-0 [data-figure=trajectories] .plot')"
        kinds = page.evaluate(f"{plot}.data.map((t) => [t.type, t.name])")
        assert [name for kind, name in kinds if kind == "contour"] == ["loss"]
        assert [name for _, name in kinds[-2:]] == ["start", "saddle"]
        starts = page.evaluate(f"{plot}.data.slice(1, -1).map((t) => [t.x[0], t.y[0]])")
        assert len(starts) == 3
        assert starts[0] == starts[1] == starts[2]  # both optimizers and the mark
        shaded = page.locator(
            "#suite-0 [data-figure=trajectories] .plot image"
        ).first.bounding_box()
        assert shaded["width"] == pytest.approx(shaded["height"], abs=1)
        assert shaded["width"] > 200


def test_the_page_states_the_gap_of_the_profiles(visit, report):
    page = visit(report)
    assert (
        f"all but {100 * GAP:g} % of the way"
        in page.locator("#suite-0 [data-figure=profiles] figcaption").inner_text()
    )


@pytest.fixture(scope="module")
def timings(tmp_path_factory):
    """Two optimizers in two dtypes, one of which counts no FLOPs in one of them."""
    root = tmp_path_factory.mktemp("timings")
    row = {"status": "ok", "steps_per_s": 20.0, "steps_per_s_q1": 19.0, "steps_per_s_q3": 21.0}
    both = [
        {**row, "dtype": "float32", "flops_share": 0.25},
        {**row, "dtype": "float64", "flops_share": 0.004},
    ]
    with Store(root / "a", create=True) as store:
        for label, rows in (("counted", both), ("half", [both[0], {**row, "dtype": "float64"}])):
            run = Run(
                "fast",
                "throughput",
                Spec("p", "p", {}, ""),
                Spec("o", label, {"of": label}, ""),
                (0,),
                {},
            )
            store.put(Result(run, "ok", tuple(rows)))
    return write(*gather([root / "a"]), root / "report.html")


def test_the_roof_lies_over_the_middle_of_its_bar(visit, timings):
    page = visit(timings)
    middles = """(selector) => [...document.querySelectorAll('#suite-0 ' + selector)].map((each) => {
        const box = each.getBoundingClientRect(); return (box.left + box.right) / 2 })"""
    bars, lines = (
        page.evaluate(middles, selector)
        for selector in (".barlayer .point path", ".scatterlayer .points path")
    )
    assert (len(bars), len(lines)) == (4, 3)
    assert bars[:2] == pytest.approx(lines[:2], abs=1)  # of the one that counts in both
    assert bars[2] == pytest.approx(lines[2], abs=1)
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
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper < 0.2) == (scheme == "dark")
    for selector in ("h1", "figcaption", "a[href]", ".plot .xtick text"):
        name = "fill" if "text" in selector else "color"
        ink = luminance(
            page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{name}")
        )
        lighter, darker = max(ink, paper), min(ink, paper)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, selector  # WCAG 2, level AA


def test_figures_follow_when_it_gets_dark(visit, report):
    page = visit(report, color_scheme="light")
    ink = "document.querySelector('.plot').layout.font.color"
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
    widths = page.locator("figure:not([hidden])").evaluate_all(
        "all => all.map((f) => f.getBoundingClientRect().width)"
    )
    assert max(widths) <= 360


def many(root):
    """Ten suites of 50 problems and 20 optimizers, five seeds of 200 steps each."""
    rng = np.random.default_rng(0)
    n_steps, n_seeds = 200, 5
    passes = np.tile(np.arange(n_steps + 1.0), (n_seeds, 1))
    facts = {"n_parameters": 10, "has_saddle": True, "bounded_below": True, "measures": []}
    base = {"status": "ok", "steps": n_steps, "cost": float(n_steps), "seconds": 2.0}
    for s, i in np.ndindex(10, 50):
        with Store(root / f"suite {s}", create=True) as store:
            for o in range(20):
                problem, optimizer = (
                    Spec("p", f"problem {i}", {"n": i}, ""),
                    Spec("o", f"o{o}", {"m": o}, ""),
                )
                loss = np.exp(-np.cumsum(rng.random((n_seeds, n_steps + 1)), 1) / 20)
                series = {
                    "loss": loss,
                    "loss.step": passes,
                    "seconds": passes / 100,
                    "passes.grad": passes,
                }
                series |= {f"passes.{kind}": 0 * passes for kind in ("loss", "hvp", "hessian")}
                steps = rng.integers(1, n_steps, n_seeds).tolist()
                rows = [
                    {**base, "seed": seed, "final_loss": float(loss[seed, -1])}
                    for seed in range(n_seeds)
                ]
                for row, step in zip(rows, steps, strict=True):
                    row |= {
                        "escape_step": step,
                        "escape_cost": float(step),
                        "escape_seconds": step / 100,
                    }
                run = Run(f"suite {s}", "race", problem, optimizer, tuple(range(n_seeds)), {})
                store.put(Result(run, "ok", tuple(rows), series, {"problem": facts}))


@pytest.mark.slow
def test_ten_suites_of_ten_thousand_runs_open_in_three_seconds(visit, browser, tmp_path):
    """Seconds of the page's main thread, which other work on the machine does not lengthen."""
    many(tmp_path)
    write(*gather(sorted(tmp_path.iterdir())), tmp_path / "report.html")
    page = browser.new_page()
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#suite-0[data-drawn]")
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )  # and what is near is drawn
    spent = {
        each["name"]: each["value"] for each in client.send("Performance.getMetrics")["metrics"]
    }
    page.close()
    size = (tmp_path / "report.html").stat().st_size
    print(f"\n{size / 1e6:.1f} MB opened in {spent['TaskDuration']:.2f} s of the main thread")
    assert spent["TaskDuration"] < 3
    page = visit(tmp_path / "report.html")
    assert page.locator("#suite-9 table.sortable tbody tr").count() == 1000
    page.locator("#suite-9 table.sortable th button", has_text="final loss").click()
    assert page.locator("#suite-9 th[aria-sort=ascending]").count() == 1
