"""Figures for papers: there, and the same each time."""

from dataclasses import replace

import pytest

from sfnbench.experiments import execute
from sfnbench.report.figures import FORMATS
from sfnbench.report.gathered import gather
from sfnbench.report.race_figures import draw_races
from sfnbench.store import Store

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'sfnbench[report]'")


@pytest.fixture(scope="module")
def sections(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    metrics = ("loss", "gradient_norm", "min_eigenvalue")
    quick = {"lr": 0.05}
    stall = {"first": {"use": "msgd", **quick}, "then": {"use": "sfn"}, "window": 3, "gain": 0.5}
    made = [execute(make_run("quadratic_saddle", {}, "gradient_descent", quick, seeds=6, metrics=metrics))]
    made.append(execute(make_run("linear_autoencoder", {}, "switch", stall, seeds=6, steps=30, metrics=metrics)))
    for width in (2, 3):
        run = make_run("mlp", {"size": 4, "n_examples": 30, "hidden": [width]}, "msgd", {}, seeds=2, steps=2)
        made.append(execute(replace(run, problem=replace(run.problem, label=f"mlp $_{width} <b>"))))
    with Store(folder, create=True) as store:
        for result in made:
            store.put(result)
    return gather([folder])[0]


def test_each_problem_has_its_figure_in_each_format(sections, tmp_path):
    written = draw_races(sections, tmp_path / "new" / "folder", "steps")
    assert {path.suffix[1:] for path in written} == set(FORMATS)
    names = {path.stem for path in written}
    assert names == {"test_quadratic_saddle", "test_linear_autoencoder", "test_mlp_2_b", "test_mlp_3_b", "test_mlp_widths"}
    assert all(path.stat().st_size > 1000 for path in written)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_results_make_the_same_file(sections, tmp_path, suffix):
    first, second = ([path for path in draw_races(sections, tmp_path / name) if path.suffix[1:] == suffix] for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_escape_against_one_factor_is_drawn_as_often_as_there_are_factors(make_run, tmp_path):
    with Store(tmp_path / "results", create=True) as store:
        for radius in (1e-1, 1e-3):
            for noise in (0.1, 1.0):
                run = make_run("quadratic_saddle", {"radius": radius}, "noisy_gradient_descent", {"noise": noise}, seeds=5)
                problem = replace(run.problem, label=f"$_{radius} <b>")
                store.put(execute(replace(run, problem=problem, optimizer=replace(run.optimizer, label=f"_{noise}"))))
    sections, _ = gather([tmp_path / "results"])
    written = draw_races(sections, tmp_path / "figures")
    names = {path.stem for path in written if "against" in path.stem}
    by_distance = "test_quadratic_saddle_escape_against_distance_from_the_saddle"
    assert names == {by_distance, "test_noisy_gradient_descent_escape_against_noise_of_the_gradient"}
    assert {path.suffix[1:] for path in written if path.stem == by_distance} == set(FORMATS)


def test_switches_are_marked(sections):
    (switched,) = [run for run in sections[0].drawn if "switch" in run]
    assert 0 < switched["switch"]["steps"] <= 30
