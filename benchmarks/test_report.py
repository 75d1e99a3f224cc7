"""A report of ten thousand runs opens at once: seconds of the main thread of Chromium."""

import os
import shutil

import numpy as np
import pytest

from sfnbench.records import Result, Run, Spec
from sfnbench.report.html import write_page
from sfnbench.report.sections import gather
from sfnbench.results.store import Store

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")


@pytest.fixture
def page():
    # Chromium's sandbox refuses root
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=root)
        yield browser.new_page()
        browser.close()


def many(root):
    """Ten suites of 50 problems and 20 optimizers, five seeds of 200 steps each."""
    rng = np.random.default_rng(0)
    n_steps, n_seeds = 200, 5
    passes = np.tile(np.arange(n_steps + 1.0), (n_seeds, 1))
    facts = {
        "n_parameters": 10,
        "has_saddle": True,
        "bounded_below": True,
        "measures": [],
    }
    base = {
        "status": "ok",
        "steps": n_steps,
        "cost": float(n_steps),
        "seconds": 2.0,
    }
    for s, i in np.ndindex(10, 50):
        with Store(root / f"suite {s}", create=True) as store:
            for o in range(20):
                problem, optimizer = (
                    Spec("p", f"problem {i}", {"n": i}, ""),
                    Spec("o", f"o{o}", {"m": o}, ""),
                )
                loss = np.exp(
                    -np.cumsum(rng.random((n_seeds, n_steps + 1)), 1) / 20
                )
                series = {
                    "loss": loss,
                    "loss.step": passes,
                    "seconds": passes / 100,
                    "passes.grad": passes,
                }
                series |= {
                    f"passes.{kind}": 0 * passes
                    for kind in ("loss", "hvp", "hessian")
                }
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
                run = Run(
                    f"suite {s}",
                    "race",
                    problem,
                    optimizer,
                    tuple(range(n_seeds)),
                    {},
                )
                store.put(
                    Result(run, "ok", tuple(rows), series, {"problem": facts})
                )


def test_ten_suites_of_ten_thousand_runs_open_in_three_seconds(page, tmp_path):
    """Seconds of the page's main thread, which other work on the machine does not lengthen."""
    many(tmp_path)
    write_page(*gather(sorted(tmp_path.iterdir())), tmp_path / "report.html")
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#suite-0[data-drawn]")
    # what is near is drawn by then
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )
    spent = {
        each["name"]: each["value"]
        for each in client.send("Performance.getMetrics")["metrics"]
    }
    size = (tmp_path / "report.html").stat().st_size
    print(
        f"\n{size / 1e6:.1f} MB opened in {spent['TaskDuration']:.2f} s of the main thread"
    )
    assert spent["TaskDuration"] < 3
    page.locator("#suite-9").scroll_into_view_if_needed()
    page.wait_for_selector("#suite-9[data-drawn]")
    assert page.locator("#suite-9 table.sortable tbody tr").count() == 1000
    page.locator("#suite-9 table.sortable th button", has_text="final loss").click()
    assert page.locator("#suite-9 th[aria-sort=ascending]").count() == 1
