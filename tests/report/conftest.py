"""The page in a real browser, for tests of the report: Chromium, headless, without a network."""

from dataclasses import replace

import pytest
from labels import EVIL, MARKED

from sfnbench.report.html import write_page
from sfnbench.report.sections import gather
from sfnbench.results.store import Store
from sfnbench.session.execute import execute


@pytest.fixture(scope="session")
def browser(browser):
    """A browser for pages whose figures are plotly's."""
    pytest.importorskip(
        "plotly", reason="plotly is missing: pip install 'sfnbench[report]'"
    )
    return browser


@pytest.fixture(scope="session")
def wait_for_figures():
    """Scroll to each figure of a suite, so that it is drawn."""

    def wait(page, i):
        for figure in page.locator(f"#suite-{i} figure").all():
            figure.scroll_into_view_if_needed()
            figure.locator(".js-plotly-plot .main-svg").first.wait_for()

    return wait


@pytest.fixture
def visit(browser, wait_for_figures):
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
                complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url) if outside(request.url) else None
            ),
        )
        page.goto(file.as_uri())
        for i in range(page.locator(".suite").count()):
            page.locator(f"#suite-{i}").scroll_into_view_if_needed()
            page.wait_for_selector(f"#suite-{i}[data-drawn]")
            wait_for_figures(page, i)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def outside(url):
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="session")
def report(make_run, tmp_path_factory):
    """Two suites of two problems and two optimizers whose labels are HTML."""
    root = tmp_path_factory.mktemp("report")
    metrics = ("loss", "gradient_norm", "min_eigenvalue")
    for suite in ("one", EVIL):
        with Store(root / f"folder {len(suite)}", create=True) as store:
            for problem in ("quadratic_saddle", "monkey_saddle"):
                for use, label in (("gradient_descent", EVIL), ("sfn", MARKED)):
                    result = execute(
                        make_run(
                            problem, {}, use, {}, seeds=6, steps=30, metrics=metrics
                        )
                    )
                    run = replace(
                        result.run,
                        suite=suite,
                        method=replace(result.run.method, label=label),
                    )
                    store.put(replace(result, run=run))
    return write_page(*gather(sorted(root.iterdir())), root / "report.html")
