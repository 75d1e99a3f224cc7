"""The page as text: whole, escaped, and honest about what is missing."""

import json
import math
import re
import sqlite3
import sys
from dataclasses import replace

import numpy as np
import pytest

from sfnbench import load_suite, plan
from sfnbench.errors import NoResultsError, StoreError
from sfnbench.experiments.critical_points import analysis as cp
from sfnbench.experiments.critical_points.table import findings
from sfnbench.report.gathered import gather
from sfnbench.report.html import write
from sfnbench.results.store import FILE, Store
from sfnbench.session.execute import execute

plotly = pytest.importorskip(
    "plotly", reason="plotly is not installed: pip install 'sfnbench[report]'"
)

GLASS = """
experiment: critical_points
seeds: 2
energy: energy
problems: [{use: spin_glass, dim: 12}]
random: 8
"""


@pytest.fixture(scope="module")
def race(make_run):
    return execute(make_run("quadratic_saddle", {}, "sfn", {}, seeds=6, steps=15))


@pytest.fixture
def folder(tmp_path):
    def make(name, *results):
        with Store(tmp_path / name, create=True) as store:
            for result in results:
                store.put(result)
        return tmp_path / name

    return make


def page(tmp_path, *folders):
    gathered, notes = gather(folders)
    return write(gathered, notes, tmp_path / "report.html").read_text(), notes


def sections(text):
    return [
        json.loads(found)
        for found in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    ]


def labelled(result, optimizer, problem="saddle", suite="toy"):
    run = result.run
    chosen = replace(run.method, label=optimizer, params={"of": optimizer})
    return replace(
        result,
        run=replace(run, suite=suite, method=chosen, problem=replace(run.problem, label=problem)),
    )


def test_everything_is_in_the_one_file(tmp_path, folder, race):
    text, notes = page(tmp_path, folder("a", labelled(race, "sfn"), labelled(race, "other")))
    assert notes == []
    (data,) = sections(text)
    assert data["optimizers"] == ["sfn", "other"]
    assert {"loss", "escape"} <= data["drawn"][0].keys()
    head = text[: text.index("<main>")]
    assert "Content-Security-Policy" in head
    assert not re.search(
        r"<(script|link|img)[^>]*(src|href)=", text.replace(plotly.offline.get_plotlyjs(), "")
    )


@pytest.mark.parametrize(
    "label", ["<script>alert(1)</script>", "</script><b>x", "<!--", "a & b", 'say "it"', "$title"]
)
def test_labels_stay_text(tmp_path, folder, race, label):
    text, _ = page(
        tmp_path, folder("a", labelled(race, label, label, "suite " + label.replace("/", "")))
    )
    (data,) = sections(text)
    assert data["optimizers"] == data["problems"] == [label]
    own = text.replace(plotly.offline.get_plotlyjs(), "")
    if "<" in label:
        assert label not in own


def test_numbers_that_broke_are_valid_json(tmp_path, folder, race):
    rows = tuple({**row, "final_loss": math.nan, "status": "diverged"} for row in race.rows)
    text, _ = page(tmp_path, folder("a", replace(labelled(race, "sfn"), rows=rows)))
    (data,) = sections(text)
    assert data["statuses"] == [[0, 0, {"diverged": 6}]]


def test_what_is_missing_is_said_and_the_rest_shown(tmp_path, folder, race):
    good = folder(
        "good",
        labelled(race, "sfn"),
        replace(labelled(race, "slow"), status="timeout", rows=(), series={}),
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    old = folder("old", labelled(race, "sfn"))
    with sqlite3.connect(old / FILE) as db:
        db.execute("PRAGMA user_version = 1")
    half = folder("half", labelled(race, "sfn"))
    content = (half / FILE).read_bytes()
    (half / FILE).write_bytes(content[: len(content) // 2])
    damaged = folder("damaged", labelled(race, "sfn"), labelled(race, "other"))
    with sqlite3.connect(damaged / FILE) as db:
        db.execute("UPDATE series SET npz = x'00' WHERE rowid = 1")
    db.close()
    text, notes = page(tmp_path, good, empty, old, half, damaged)
    for said in (
        f"no results in {empty}",
        "has format 1",
        f"{half / FILE}",
        "damaged (",
        "timeout: no reason given (slow on saddle)",
    ):
        assert any(said in note for note in notes), (said, notes)
        assert said in text
    first, last = sections(text)
    assert first["optimizers"] == ["sfn", "slow"]
    assert last["optimizers"] == ["sfn", "other"]  # its rows are there
    assert ["loss" in run for run in last["drawn"]] == [False, True]


def test_members_that_are_no_longer_installed_are_shown_all_the_same(tmp_path, folder, race):
    gone = labelled(race, "gone")
    gone = replace(gone, run=replace(gone.run, method=replace(gone.run.method, use="was_a_plugin")))
    text, notes = page(tmp_path, folder("a", gone), folder("b", gone))
    assert notes == [
        "no longer installed: the optimizer was_a_plugin; what they did is shown, but cannot be run again"
    ]
    assert sections(text)[0]["optimizers"] == ["gone"]


def test_a_report_is_called_html(tmp_path, folder, race):
    with pytest.raises(StoreError, match=r"r\.pdf: the report is an HTML file"):
        write(*gather([folder("a", labelled(race, "sfn"))]), tmp_path / "r.pdf")
    assert not (tmp_path / "r.pdf").exists()


def test_nothing_at_all_is_an_error(tmp_path):
    with pytest.raises(NoResultsError, match="no results in"):
        gather([tmp_path / "nothing"])


def test_without_plotly_it_says_what_to_install(tmp_path, folder, race, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(StoreError, match=r"pip install 'sfnbench\[report\]'"):
        page(tmp_path, folder("a", labelled(race, "sfn")))
    assert not (tmp_path / "report.html").exists()


def test_networks_of_several_widths_are_a_family(tmp_path, folder, make_run):
    made = []
    for width in (2, 3):
        run = make_run(
            "mlp", {"size": 4, "n_examples": 30, "hidden": [width]}, "msgd", {}, seeds=2, steps=2
        )
        made.append(labelled(execute(run), "msgd", f"mlp {width}"))
    text, _ = page(tmp_path, folder("a", *made))
    (family,) = sections(text)[0]["families"]
    assert (family["x"], family["o"]) == ([2, 3], 0)
    errors = [sorted(row["training_error"] for row in result.rows) for result in made]
    assert family["low"] == pytest.approx([low for low, _ in errors], rel=1e-3)
    assert family["high"] == pytest.approx([high for _, high in errors], rel=1e-3)


def test_escape_against_one_factor_has_its_figure_and_its_table(tmp_path, folder, make_run):
    label, made = "<b>descent</b>", []
    for radius in (1e-1, 1e-3):
        run = make_run("quadratic_saddle", {"radius": radius}, "sfn", {}, seeds=6)
        made.append(labelled(execute(run), label, f"at {radius:g}"))
    text, _ = page(tmp_path, folder("a", *made))
    assert label not in text
    (data,) = sections(text)
    (figure,) = data["scaling"]
    assert figure["x"] == "distance from the saddle"
    (series,) = figure["series"]
    assert (series["name"], series["o"], series["p"], series["x"]) == (label, 0, None, [1e-3, 1e-1])
    medians = [np.median([row["escape_step"] for row in result.rows]) for result in made]
    assert series["y"] == medians[::-1]
    (row,) = data["tables"]["Escape against one factor"]
    assert (row["of"], row["medians"], row["slope, 95 % over seeds"]) == (
        label,
        "2 of 2",
        series["said"],
    )


def test_critical_points_have_their_curve_and_theory(tmp_path, folder):
    (tmp_path / "glass.yaml").write_text(GLASS)
    (run,) = plan(load_suite(tmp_path / "glass.yaml"))
    result = execute(run)
    text, _ = page(tmp_path, folder("a", result))
    (data,) = sections(text)
    (drawn,) = data["drawn"]
    distinct = [row for row in result.rows if row["distinct"]]
    assert drawn["points"]["x"] == pytest.approx([row["alpha"] for row in distinct], rel=1e-3)
    assert drawn["points"]["y"] == pytest.approx([row["energy"] for row in distinct], rel=1e-3)
    assert len(drawn["spectra"]["levels"]) == 3
    assert "theory" in drawn
    lowest = drawn["spectra"]["theory"][0]
    assert max(lowest["y"]) == pytest.approx(
        2 / (math.pi * 2 * 6**0.5), rel=1e-2
    )  # of radius 2 sqrt(p (p - 1))
    assert np.mean(lowest["x"]) == pytest.approx(
        -3 * min(row["energy"] for row in distinct), rel=1e-3
    )
    assert list(data["tables"]) == [
        f"{cp.title(result)}: {what}" for what in ("by cut-off", "controls", "by start")
    ]
    assert data["said"] == [f"{cp.title(result)}: {findings(result)}"]


def test_throughput_is_a_bar_a_dtype(tmp_path, folder, race):
    row = {
        "seed": 0,
        "status": "ok",
        "steps_per_s": 10.0,
        "steps_per_s_q1": 9.0,
        "steps_per_s_q3": 12.0,
    }
    rows = (
        {**row, "dtype": "float32"},
        {**row, "dtype": "float64"},
        {"seed": 0, "status": "oom", "dtype": "bfloat16"},
    )
    timed = labelled(replace(race, rows=rows, series={}), "sfn")
    text, _ = page(
        tmp_path, folder("a", replace(timed, run=replace(timed.run, experiment="throughput")))
    )
    (drawn,) = sections(text)[0]["drawn"]
    bars = {"x": ["float32", "float64"], "low": [9, 9], "y": [10, 10], "high": [12, 12]}
    assert drawn["rates"] == {
        **bars,
        "share": [None, None],
        "roof": [None, None],
    }  # no FLOPs were counted
    assert "escape" not in drawn
