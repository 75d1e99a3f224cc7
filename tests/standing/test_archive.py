"""An archive: what is written comes back, and what is none is refused in a line."""

import math
import re
import sys
from dataclasses import replace

import pytest

from sfnbench import load_suite
from sfnbench.environment import install_hint
from sfnbench.errors import StoreError
from sfnbench.records import Result, Run, Spec
from sfnbench.results.encoding import to_json
from sfnbench.standing import archive

pq = pytest.importorskip("pyarrow.parquet")
BUDGET = {"steps": 9, "seconds": None, "cost": 100.0, "epochs": None}


def result(label="sfn", status="ok", **row):
    problem = Spec(
        "quadratic_saddle", "saddle", {"eigenvalues": [10.0, -2.0]}, "a1"
    )
    method = Spec("sfn", label, {"damping": 0.0}, "b2")
    settings = {"budget": BUDGET, "metrics": [["loss", {"steps": 1}]]}
    run = Run(
        "s", "race", problem, method, (0, 1), settings, code={"harness": "c3"}
    )
    rows = [
        {"seed": seed, "status": status, "escape_cost": 7.5, **row}
        for seed in (0, 1)
    ]
    facts = {"has_saddle": True, "bounded_below": False, "n_parameters": 2}
    return Result(
        run, status, tuple(rows), environment={"problem": facts, "commit": "d4"}
    )


def test_results_come_back_as_they_were(tmp_path):
    diverged = result(
        "b", "diverged", final_loss=math.inf, message="text", captured=True
    )
    broken = Result(replace(result("c").run), "error")
    by_rule = {
        "": [result(final_loss=-1.25), diverged, broken],
        "tuned": [result()],
    }
    assert archive.write_archive(tmp_path / "a.parquet", by_rule) == 8
    found = archive.load_archive(tmp_path / "a.parquet")
    assert [(each.rule, each.kind) for each in found] == [
        ("", "strict"),
        ("", "strict"),
        ("", "strict"),
        ("tuned", "strict"),
    ]
    given = [*by_rule[""], *by_rule["tuned"]]
    for each, before in zip(found, given, strict=True):
        after = each.result
        assert after.run == before.run
        assert after.run.id == before.run.id
        assert after.status == before.status
        assert after.facts == before.facts
    assert found[0].result.race_rows[1]["final_loss"] == -1.25
    assert found[1].result.race_rows[0]["final_loss"] == math.inf
    assert found[1].result.race_rows[0]["captured"] is True
    assert [row["status"] for row in found[2].result.rows] == ["error", "error"]


def test_no_second_is_kept(tmp_path):
    path = tmp_path / "a.parquet"
    archive.write_archive(path, {"": [result(seconds=3.0, escape_seconds=1.0)]})
    assert not [name for name in pq.read_schema(path).names if "seconds" in name]
    assert archive.load_archive(path)[0].result.race_rows[0]["seconds"] is None


def test_an_archive_of_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    with monkeypatch.context() as later:
        later.setattr(archive, "VERSION", 7)
        archive.write_archive(path, {"": [result()]})
    with pytest.raises(
        StoreError, match="an archive of version 7, this sfnbench reads version 1"
    ):
        archive.load_archive(path)


def test_other_files_are_no_archives(tmp_path):
    table = tmp_path / "table.parquet"
    pq.write_table(__import__("pyarrow").table({"a": [1]}), table)
    with pytest.raises(StoreError, match="no archive that `make standing` wrote"):
        archive.load_archive(table)
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(StoreError, match=r"text\.parquet: no archive \("):
        archive.load_archive(tmp_path / "text.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=re.escape(install_hint("parquet"))):
        archive.load_archive(tmp_path / "a.parquet")


def test_races_without_a_budget_of_cost_are_refused(tmp_path):
    run = replace(result().run, settings={"budget": {**BUDGET, "cost": None}})
    with pytest.raises(StoreError, match="have a budget of cost"):
        archive.write_archive(
            tmp_path / "a.parquet", {"": [replace(result(), run=run)]}
        )


def test_names_of_archives(tmp_path):
    with pytest.raises(StoreError, match=r"--with nowhere\.parquet: no such file"):
        archive.find_archive("nowhere.parquet")
    with pytest.raises(StoreError, match="--with toy: no archive has that name"):
        archive.find_archive("toy")


def test_the_archive_that_ships_is_of_the_suite_that_ships():
    path = archive.find_archive("standing")
    suite = load_suite("standing")
    found = archive.load_archive(path)
    assert path.stat().st_size <= 5e6
    assert {each.rule for each in found} == {"", "tuned"}
    problems = {(spec.use, to_json(spec.params)) for spec in suite.problems}
    methods = {(spec.label, to_json(spec.params)) for spec in suite.optimizers}
    for each in found:
        run = each.result.run
        assert (run.problem.use, to_json(run.problem.params)) in problems
        assert run.seeds == suite.seeds
        assert run.settings["budget"] == suite.settings["budget"]
        if not each.rule:
            assert (run.method.label, to_json(run.method.params)) in methods


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns("escape_cost"), "lacks escape_cost"),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("escape_cost"),
                "escape_cost",
                [["soon"] * table.num_rows],
            ),
            "has escape_cost 'soon', not a number",
        ),
        (lambda table: table.slice(0, 0), "an archive without results"),
    ],
)
def test_a_damaged_archive_is_one_line(tmp_path, change, said):
    file = tmp_path / "a.parquet"
    archive.write_archive(file, {"": [result(final_loss=1.0)]})
    pq.write_table(change(pq.read_table(file)), file)
    with pytest.raises(StoreError, match=said) as found:
        archive.load_archive(file)
    assert len(str(found.value).splitlines()) == 1
