"""The page as text: whole, escaped, and honest about what is missing."""

import gzip
import html
import json
import math
import re
import sqlite3
import sys
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest

from sfnbench import load_suite, plan
from sfnbench.errors import NoResultsError, StoreError
from sfnbench.experiments.critical_points import analysis as cp
from sfnbench.experiments.critical_points.table import findings
from sfnbench.report import draw_plotly
from sfnbench.report.figure import MOST_IN_COLOUR
from sfnbench.report.html import write_page
from sfnbench.report.sections import gather
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

TUNED = """
tune: {trials: 8}
tuned:
- {problem: saddle, optimizer: sfn, params: {damping: 0.00123456}, final_loss: 0.5, trials: 8,
   failed: 1, remarks: [damping is at the low end], expected_best: {1: 0.7}, spread: []}
- {problem: saddle, optimizer: msgd, broken: no trial has a finite loss, params: null,
   final_loss: .inf, trials: 8, failed: 8, expected_best: {1: .inf}, spread: []}
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
    found, notes = gather(folders)
    return write_page(found, notes, tmp_path / "report.html").read_text(), notes


def unpacked(text):
    """The panels and arrays of each section."""
    packed = re.findall(r'<script type="text/plain">(.*?)</script>', text, re.S)
    return [json.loads(gzip.decompress(b64decode(each))) for each in packed]


def drawn(text):
    """The panels of each section, by name."""
    return [
        {panel["name"]: panel for panel in each["panels"]}
        for each in unpacked(text)
    ]


def traces(panel):
    return list(dict.fromkeys(trace["meta"] for trace in panel["plot"]["data"]))


def cells(text, title=None):
    """The body of a table, of the first or of the folded one with that title."""
    start = text.index(f"<summary>{title}</summary>" if title else "<details open>")
    body = text[start:].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
    found = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in rows]
    return [
        [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row]
        for row in found
    ]


def labelled(result, optimizer, problem="saddle", suite="toy"):
    run = result.run
    chosen = replace(run.method, label=optimizer, params={"of": optimizer})
    return replace(
        result,
        run=replace(
            run,
            suite=suite,
            method=chosen,
            problem=replace(run.problem, label=problem),
        ),
    )


def test_everything_is_in_the_one_file(tmp_path, folder, race):
    text, notes = page(
        tmp_path, folder("a", labelled(race, "sfn"), labelled(race, "other"))
    )
    assert notes == []
    (panels,) = drawn(text)
    assert {"loss", "escape"} <= panels.keys()
    assert traces(panels["escape"]) == ["sfn", "other"]
    head = text[: text.index("<main>")]
    assert "Content-Security-Policy" in head
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text)
    packed = re.search(r'id="plotly">([^<]*)<', text)[1]
    unpacked = gzip.decompress(b64decode(packed)).decode()
    assert unpacked == plotly.offline.get_plotlyjs()
    assert len(text.encode()) < 2 * 2**20


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        "</script><b>x",
        "<!--",
        "a & b",
        'say "it"',
        "$title",
    ],
)
def test_labels_stay_text(tmp_path, folder, race, label):
    text, _ = page(
        tmp_path,
        folder(
            "a", labelled(race, label, label, "suite " + label.replace("/", ""))
        ),
    )
    (panels,) = drawn(text)
    assert traces(panels["escape"]) == [label]
    assert cells(text)[0][:2] == [label, label]
    if "<" in label:
        assert label not in text


def test_numbers_that_broke_are_valid_json(tmp_path, folder, race):
    rows = tuple(
        {**row, "final_loss": math.nan, "status": "diverged"} for row in race.rows
    )
    text, _ = page(tmp_path, folder("a", replace(labelled(race, "sfn"), rows=rows)))
    assert drawn(text)
    assert cells(text, "Statuses") == [["saddle", "6 diverged"]]


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
    first, last = drawn(text)
    assert traces(first["escape"]) == ["sfn"]
    assert traces(last["escape"]) == ["sfn", "other"]  # its rows are there
    assert traces(last["loss"]) == ["other"]


def test_members_that_are_no_longer_installed_are_shown_all_the_same(
    tmp_path, folder, race
):
    gone = labelled(race, "gone")
    gone = replace(
        gone,
        run=replace(gone.run, method=replace(gone.run.method, use="was_a_plugin")),
    )
    text, notes = page(tmp_path, folder("a", gone), folder("b", gone))
    assert notes == [
        "no longer installed: the optimizer was_a_plugin;"
        " their results are shown, but cannot be re-run"
    ]
    assert traces(drawn(text)[0]["escape"]) == ["gone"]


def test_a_report_is_called_html(tmp_path, folder, race):
    with pytest.raises(StoreError, match=r"r\.pdf: the report is an HTML file"):
        write_page(
            *gather([folder("a", labelled(race, "sfn"))]), tmp_path / "r.pdf"
        )
    assert not (tmp_path / "r.pdf").exists()


def test_nothing_at_all_is_an_error(tmp_path):
    with pytest.raises(NoResultsError, match="no results in"):
        gather([tmp_path / "nothing"])


def test_without_plotly_it_says_what_to_install(
    tmp_path, folder, race, monkeypatch
):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(StoreError, match=r"pip install .*\[report\]'"):
        page(tmp_path, folder("a", labelled(race, "sfn")))
    assert not (tmp_path / "report.html").exists()


def test_escape_against_one_factor_has_its_figure_and_its_table(
    tmp_path, folder, make_run
):
    label, made = "<b>descent</b>", []
    for radius in (1e-1, 1e-3):
        run = make_run("quadratic_saddle", {"radius": radius}, "sfn", {}, seeds=6)
        made.append(labelled(execute(run), label, f"at {radius:g}"))
    text, _ = page(tmp_path, folder("a", *made))
    assert label not in text
    (panels,) = drawn(text)
    layout = panels["scaling"]["plot"]["layout"]
    assert layout["xaxis"]["title"]["text"] == "distance from the saddle"
    (row,) = cells(text, "Escape against one factor")
    assert row[1:3] == [label, "2 of 2"]


def test_critical_points_have_their_figures_tables_and_findings(tmp_path, folder):
    (tmp_path / "glass.yaml").write_text(GLASS)
    (run,) = plan(load_suite(tmp_path / "glass.yaml"))
    result = execute(run)
    text, _ = page(tmp_path, folder("a", result))
    (panels,) = drawn(text)
    assert {"points", "controls", "lowest", "middle", "highest"} <= panels.keys()
    for what in ("by cut-off", "controls", "by start"):
        assert cells(text, f"{cp.run_title(result)}: {what}")
    assert f"{cp.run_title(result)}: {findings(result)}" in html.unescape(text)


def test_tuned_values_are_shown(tmp_path, folder, race):
    made = folder("a", labelled(race, "sfn"))
    (made / "tuned.yaml").write_text(TUNED)
    text, _ = page(tmp_path, made)
    assert cells(text, "Tuned values") == [
        [
            "saddle",
            "sfn",
            "damping=0.001235",
            "0.5",
            "8",
            "1",
            "damping is at the low end",
        ],
        ["saddle", "msgd", "", "inf", "8", "8", "no trial has a finite loss"],
    ]


@pytest.mark.parametrize("content", ["", "tuned: 3", "{", "tuned: [{problem: p}]"])
def test_tuned_values_that_cannot_be_read_are_named(
    tmp_path, folder, race, content
):
    made = folder("a", labelled(race, "sfn"))
    (made / "tuned.yaml").write_text(content)
    text, _ = page(tmp_path, made)
    assert cells(text, "Tuned values") == [
        [f"{made / 'tuned.yaml'} cannot be read"]
    ]


def test_an_array_that_occurs_twice_is_written_once(tmp_path, folder, race):
    text, _ = page(tmp_path, folder("a", labelled(race, "sfn")))
    (data,) = unpacked(text)
    arrays = [tuple(each) for each in data["arrays"]]
    assert len(set(arrays)) == len(arrays)


def test_numbers_have_four_digits_and_no_more_characters_than_they_need():
    """By Python's own formatting."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(500) * 10.0 ** rng.uniform(-40, 40, 500)
    values = [*values, 9999.5, 0.99999, 1e15, 1e22, 0.0, -3.0]
    found = draw_plotly.numbers(values)
    assert found == [float(f"{each:.4g}") for each in values]
    assert repr(found[-2:]) == "[0, -3]"
    assert draw_plotly.numbers([math.nan, math.inf, -math.inf]) == [None] * 3


def test_more_methods_than_colours_have_their_legend_beside(tmp_path, folder, race):
    made = folder(
        "a", *(labelled(race, f"sfn {i}") for i in range(MOST_IN_COLOUR + 1))
    )
    text, _ = page(tmp_path, made)
    assert '<div class="beside">' in text
    legend = text.partition('<nav id="legend"')[2].partition("</nav>")[0]
    samples = re.findall(r"<svg.*?</svg>", legend, re.S)
    assert len(set(samples)) == len(samples) == MOST_IN_COLOUR + 1
    assert (
        "best 12 of 25 methods are in colour" in drawn(text)[0]["escape"]["caption"]
    )
    # a column for each method would be cut off on paper
    assert cells(text, "Statuses") == [[f"sfn {i}", "6 ok"] for i in range(25)]


def test_a_long_entry_of_a_legend_is_folded():
    name = "Adam: -0.43 [-0.433, -0.429], no power law: off by up to 1.5 %"
    lines = draw_plotly._in_lines(name).split("<br>")
    assert " ".join(lines) == name
    assert max(map(len, lines)) <= draw_plotly.MOST_IN_LINE
