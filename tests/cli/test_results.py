"""The commands that read results: what they print, and what they say of what is missing."""

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from sfnbench import Store


def test_whether_two_folders_are_the_same_to_the_bit(run, sfnbench):
    run("--out", "a")
    run("--out", "b")
    code, out, err = sfnbench("compare", "a", "b", "--bits")
    assert (code, out) == (0, "")
    assert "4 runs in both: 4 the same to the bit, 0 not" in err
    with Store("b", create=True) as store:
        result = next(r for r in store.results() if r.run.method.label == "sfn")
        loss = result.series["loss"].copy()
        loss[0, 2] *= 1 + 1e-15
        store.put(replace(result, series={**result.series, "loss": loss}))
    code, out, err = sfnbench("compare", "a", "b", "--bits")
    assert code == 3
    assert "series loss from entry 2 on" in out
    assert "4 runs in both: 3 the same to the bit, 1 not" in err


def test_other_seeds_differ_and_the_reason_is_given_once(run, sfnbench):
    run("--out", "a")
    run("--out", "c", "--seeds", 1, "-o", "sfn")
    code, out, err = sfnbench("compare", "a", "c", "--bits")
    assert code == 3
    assert "ok with 3 rows, ok with 1 rows" in out
    assert (
        "other ids, seeds was 0 to 2, is [0] (2 runs: sfn on quadratic_saddle"
        in out
    )
    assert (
        "2 runs in both: 0 the same to the bit, 2 not, 2 only in the first" in err
    )


def test_an_id_that_changed_with_the_code_leaves_its_numbers_comparable(
    run, sfnbench
):
    run("--out", "a", "-o", "sfn")
    with Store("a") as store, Store("b", create=True) as other:
        for result in store.results():
            method = replace(result.run.method, source="another")
            other.put(replace(result, run=replace(result.run, method=method)))
    code, out, err = sfnbench("compare", "a", "b", "--bits")
    assert code == 0
    assert out.startswith("other ids, its source changed (2 runs: ")
    assert "2 runs in both: 2 the same to the bit, 0 not" in err


def test_folders_of_other_suites_have_no_bits_in_common(run, sfnbench, here):
    run("--out", "a", "-o", "sfn")
    (here / "suites" / "other.yaml").write_text(
        (here / "suites" / "tiny.yaml").read_text()
    )
    sfnbench("run", "other", "--engine", "inline", "--out", "b", "-o", "sfn")
    code, _, err = sfnbench("compare", "a", "b", "--bits")
    assert code == 2
    assert "no run of the same suite, problem and method in common" in err


def test_the_table_is_filtered_sorted_and_grouped(run, sfnbench):
    run()
    code, out, _ = sfnbench("show", "-o", "s*", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert (code, {row["optimizer"] for row in rows}) == (0, {"sfn"})
    code, out, _ = sfnbench("show", "--sort=-cost_in_gradients", "--format", "csv")
    costs = [
        float(row["cost in gradients"].split()[0])
        for row in csv.DictReader(out.splitlines())
    ]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) > 1
    code, out, err = sfnbench("show", "--by", "problem")
    assert code == 0
    assert [line for line in out.splitlines() if line.endswith("_saddle")] == [
        "quadratic_saddle",
        "monkey_saddle",
    ]
    assert (
        "<p>monkey_saddle</p>"
        in sfnbench("show", "--by", "problem", "--format", "html")[1]
    )
    assert out.count("gradient_descent") == 2
    code, out, err = sfnbench("show", "--by", "kind")
    assert (code, out.splitlines()[0]) == (0, "strict")
    code, out, err = sfnbench("show", "--by", "kind", "--format", "csv")
    kinds = {row["kind"] for row in csv.DictReader(out.splitlines())}
    assert (code, kinds) == (
        0,
        {"strict", "degenerate of order 3, with zero modes"},
    )
    for words in (
        ["--by", "kind", "--at", "steps=3"],
        ["-o", "sfm"],
        ["--sort", "loss"],
        ["--by", "problem", "--format", "json"],
    ):
        code, out, err = sfnbench("show", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_export_gives_a_row_per_run_and_seed(run, sfnbench, here, suffix):
    run()
    file = here / f"rows.{suffix}"
    assert sfnbench("export", "runs/tiny", file)[0] == 0
    if suffix == "csv":
        rows = list(csv.DictReader(file.read_text().splitlines()))
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
    assert len(rows) == 2 * 2 * 3
    sfn = [
        row
        for row in rows
        if row["optimizer"] == "sfn" and row["problem"] == "quadratic_saddle"
    ]
    assert [int(row["seed"]) for row in sfn] == [0, 1, 2]
    assert all(
        int(row["n_hessian"]) == int(row["escape_step"]) == int(row["steps"])
        for row in sfn
    )
    assert json.loads(sfn[0]["optimizer_params"])["damping"] == 0
    assert {
        row["escape_step"] for row in rows if row["optimizer"] == "gradient_descent"
    } <= {
        "",
        None,
    }


@pytest.mark.parametrize(
    "style", ["plain", "github", "latex", "html", "tsv", "csv", "json"]
)
def test_tables_come_in_every_format(run, sfnbench, style):
    run("-o", "sfn")
    code, out, _ = sfnbench("show", "--format", style)
    assert code == 0
    assert "quadratic" in out
    assert "sfn" in out


@pytest.mark.parametrize(
    ("style", "legend"),
    [("github", "\n* best"), ("latex", "% * best"), ("html", "<p>* best")],
)
def test_what_people_read_has_its_best_marked_and_its_signs_explained(
    run, sfnbench, style, legend
):
    run()
    out = sfnbench("show", "--format", style)[1]
    assert " *" in out
    assert legend in out
    assert "best" not in sfnbench("show", "--format", "tsv")[1]


def test_where_nothing_can_be_compared_that_is_an_error(sfnbench, here):
    suite = (here / "suites" / "tiny.yaml").read_text()
    sfnbench("run", "tiny", "--engine", "inline", "--out", "a")
    (here / "suites" / "tiny.yaml").write_text(f"dtype: float32\n{suite}")
    sfnbench("run", "tiny", "--engine", "inline", "--out", "b")
    code, out, err = sfnbench("compare", "a", "b")
    assert code == 2
    assert "dtype" in out
    assert err.splitlines()[-1] == "nothing of a and b can be compared"


def test_figures_cannot_go_where_a_file_is(run, sfnbench, here):
    pytest.importorskip("matplotlib")
    run("-o", "sfn")
    (here / "taken").write_text("")
    code, _, err = sfnbench("report", "runs/tiny", "--figures", "taken")
    assert (
        code,
        err.splitlines()[-1].startswith("taken: figures cannot be written there"),
    ) == (
        2,
        True,
    )


def test_report_writes_one_file_and_says_what_is_missing(run, sfnbench, here):
    pytest.importorskip(
        "plotly", reason="plotly is not installed: pip install 'sfnbench[report]'"
    )
    run()
    code, _, err = sfnbench(
        "report",
        "runs/tiny",
        "nothing",
        "-o",
        "sub/page.html",
        "--figures",
        "drawn",
        "--axis",
        "steps",
    )
    assert code == 0
    assert "no results in nothing" in err
    assert "The report is in sub/page.html" in err
    assert "quadratic_saddle" in (here / "sub" / "page.html").read_text()
    assert (here / "drawn" / "tiny_monkey_saddle.svg").exists()
    assert sfnbench("report", "nothing")[0] == 2
    assert "The report is in report.html" in sfnbench("report")[2]


def test_a_corrupt_store_is_one_line_and_is_not_overwritten(run, sfnbench, here):
    run("-o", "sfn")
    file = here / "runs" / "tiny" / "results.sqlite"
    file.write_bytes(b"not a database at all" * 100)
    for words in (
        ["show", "runs/tiny"],
        ["export", "runs/tiny", "x.csv"],
        ["run", "tiny", "--engine", "inline"],
    ):
        code, _, err = sfnbench(*words)
        assert code == 2
        assert len(err.strip().splitlines()) == 1
        assert str(file.relative_to(here)) in err
    assert file.read_bytes().startswith(b"not a database")


def test_one_damaged_result_is_named_and_the_rest_is_there(run, sfnbench, here):
    run()
    with closing(sqlite3.connect("runs/tiny/results.sqlite")) as db, db:
        db.execute("UPDATE runs SET rows = '[' WHERE label = 'sfn'")
    why = "Expecting value: line 1 column 2 (char 1)"
    told = f"damaged ({why}): sfn on quadratic_saddle, sfn on monkey_saddle; if it is a copy"
    code, out, err = sfnbench("show", "runs/tiny", "--format", "csv")
    assert (
        code,
        {row["optimizer"] for row in csv.DictReader(out.splitlines())},
    ) == (
        0,
        {"gradient_descent"},
    )
    assert err.startswith(f"runs/tiny/results.sqlite: {told}, copy it again")
    assert err.count("\n") == 1
    code, out, err = sfnbench("export", "runs/tiny", "rows.csv")
    assert (code, out) == (0, "rows.csv: 6 rows\n")
    assert told in err
    assert len((here / "rows.csv").read_text().splitlines()) == 1 + 6
    with closing(sqlite3.connect("runs/tiny/results.sqlite")) as db, db:
        db.execute("UPDATE runs SET rows = '['")
    code, out, err = sfnbench("show", "runs/tiny")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sfnbench("export", "runs/tiny", "none.csv")[0] == 2
    code, out, err = sfnbench("compare", "runs/tiny", "runs/tiny")
    assert (code, err.count("\n"), "sfn on quadratic_saddle" in err) == (2, 2, True)


def test_half_a_copy_says_what_to_do(run, sfnbench, here):
    run()
    whole = (here / "runs" / "tiny" / "results.sqlite").read_bytes()
    (here / "half").mkdir()
    (here / "half" / "results.sqlite").write_bytes(whole[: len(whole) // 2])
    for words in (
        ["show", "half"],
        ["export", "half", "x.csv"],
        ["run", "tiny", "--out", "half"],
    ):
        code, _, err = sfnbench(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert "if it is a copy, copy it again" in err
