"""`sfnbench report`: one page for everything.

Tables of critical points on paper, figures in a folder.
"""

import json
import math

import pytest
from typer.testing import CliRunner

from sfnbench import run_suite
from sfnbench.cli.main import app

SUITE = (
    "experiment: critical_points\nseeds: 3\nrandom: 3\n"
    "problems: [{use: spin_glass, dim: 10}]\nenergy: energy\n"
)


def test_tables_then_figures(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "glass.yaml"
    path.write_text(SUITE)
    folder = run_suite(path, engine="inline", out=tmp_path / "runs")
    out = CliRunner().invoke(
        app, ["report", str(folder.folder), "--figures", str(tmp_path / "figures")]
    )
    assert out.exit_code == 0
    for heading in (
        "Finders",
        "by cut-off",
        "controls",
        "by start",
        "distinct critical points",
    ):
        assert heading in out.output
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 3
    assert len(list((tmp_path / "figures").glob("*.png"))) == 3
    told = json.loads(
        CliRunner()
        .invoke(app, ["report", str(folder.folder), "--format", "json"])
        .stdout
    )
    assert told.keys() >= {"Finders", "findings"}
    assert "distinct critical points" in told["findings"][0]
    shown = CliRunner().invoke(app, ["show", str(folder.folder), "--format", "csv"])
    assert shown.output.startswith("problem,finder,starts,converged")


def test_how_escape_grows_is_printed_with_the_law(tmp_path, monkeypatch):
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    near = [f"distance radius={radius}" for radius in ("0.1", "0.01", "0.0001")]
    folder = run_suite(
        "escape",
        optimizers=["gradient_descent"],
        problems=near,
        engine="inline",
        out=tmp_path / "runs",
    )
    out = CliRunner().invoke(app, ["report", str(folder.folder), "--format", "csv"])
    assert out.exit_code == 0
    (line,) = [
        line for line in out.output.splitlines() if "steps an e-fold nearer" in line
    ]
    assert ",3 of 3," in line
    assert line.endswith(f",{1 / math.log1p(0.2 * 0.1):.4g}")


def test_a_race_has_its_page_and_no_such_tables(tmp_path, monkeypatch):
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    folder = run_suite(
        "smoke",
        optimizers=["sfn"],
        problems=["quadratic_saddle"],
        engine="inline",
        out=tmp_path / "runs",
    )
    out = CliRunner().invoke(app, ["report", str(folder.folder)])
    assert out.exit_code == 0
    assert "Finders" not in out.output
    assert "quadratic_saddle" in (tmp_path / "report.html").read_text()
