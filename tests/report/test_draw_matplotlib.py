"""Figures for papers: there, and the same each time."""

from dataclasses import replace

import pytest

from sfnbench.records import Result, Run, Spec
from sfnbench.report.draw_matplotlib import PICTURE_FORMATS, paint, write_figures
from sfnbench.report.looks import looks
from sfnbench.report.sections import gather
from sfnbench.results.store import Store
from sfnbench.session.execute import execute

pytest.importorskip(
    "matplotlib",
    reason="matplotlib is not installed: pip install 'sfnbench[report]'",
)


@pytest.fixture(scope="module")
def sections(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    metrics = ("loss", "gradient_norm", "min_eigenvalue")
    quick = {"lr": 0.05}
    stall = {
        "first": {"use": "msgd", **quick},
        "then": {"use": "sfn"},
        "window": 3,
        "gain": 0.5,
    }
    made = [
        execute(
            make_run(
                "quadratic_saddle",
                {},
                "gradient_descent",
                quick,
                seeds=6,
                metrics=metrics,
            )
        )
    ]
    made.append(
        execute(
            make_run(
                "linear_autoencoder",
                {},
                "switch",
                stall,
                seeds=6,
                steps=30,
                metrics=metrics,
            )
        )
    )
    for width in (2, 3):
        run = make_run(
            "mlp",
            {"size": 4, "n_examples": 30, "hidden": [width]},
            "msgd",
            {},
            seeds=2,
            steps=2,
        )
        made.append(
            execute(
                replace(
                    run, problem=replace(run.problem, label=f"mlp $_{width} <b>")
                )
            )
        )
    with Store(folder, create=True) as store:
        for result in made:
            store.put(result)
    return gather([folder])[0]


@pytest.fixture(scope="module")
def written(sections, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures") / "new" / "folder"
    return write_figures(sections, folder, "steps")


def test_each_problem_has_its_figure_in_each_format(written):
    assert {path.suffix[1:] for path in written} == set(PICTURE_FORMATS)
    names = {path.stem for path in written}
    panels = {
        "test_quadratic_saddle",
        "test_linear_autoencoder",
        "test_mlp_2_b",
        "test_mlp_3_b",
    }
    whole = {"test_escaped", "test_mlp_widths"}
    assert names == {*panels, *whole, "test_quadratic_saddle_trajectories"}
    assert all(path.stat().st_size > 1000 for path in written)


@pytest.mark.slow
def test_the_same_results_make_the_same_files(sections, written, tmp_path):
    again = write_figures(sections, tmp_path, "steps")
    assert {path.name: path.read_bytes() for path in again} == {
        path.name: path.read_bytes() for path in written
    }


def canvas_of(section, panel):
    """The figure of the first problem that has such a panel."""
    named = (
        f for f in section.figures if any(each.name == panel for each in f.panels)
    )
    return paint(next(named), looks(section.methods))


def test_what_diverges_does_not_flatten_the_others(make_run, tmp_path):
    with Store(tmp_path / "results", create=True) as store:
        for lr in (0.01, 0.02, 5.0):
            run = make_run(
                "linear_autoencoder",
                {"n_inputs": 3, "n_hidden": 1},
                "gradient_descent",
                {"lr": lr},
                steps=8,
            )
            store.put(
                execute(
                    replace(run, method=replace(run.method, label=f"lr={lr:g}"))
                )
            )
    ((section,), _) = gather([tmp_path / "results"])
    axes = canvas_of(section, "loss").axes[0]
    assert axes.get_title() == "Loss\nOff the scale: lr=5."
    assert axes.get_ylim()[1] < 1000 < max(axes.get_lines()[2].get_ydata())


@pytest.mark.slow
def test_escape_against_one_factor_is_drawn_as_often_as_there_are_factors(
    make_run, tmp_path
):
    with Store(tmp_path / "results", create=True) as store:
        for radius in (1e-1, 1e-3):
            for noise in (0.1, 1.0):
                run = make_run(
                    "quadratic_saddle",
                    {"radius": radius},
                    "noisy_gradient_descent",
                    {"noise": noise, "lr": 0.2},
                    seeds=5,
                    steps=100,
                )
                problem = replace(run.problem, label=f"$_{radius} <b>")
                store.put(
                    execute(
                        replace(
                            run,
                            problem=problem,
                            method=replace(run.method, label=f"_{noise}"),
                        )
                    )
                )
    sections, _ = gather([tmp_path / "results"])
    written = write_figures(sections, tmp_path / "figures")
    names = {path.stem for path in written if "against" in path.stem}
    by_distance = "test_quadratic_saddle_escape_against_distance_from_the_saddle"
    assert names == {
        by_distance,
        "test_noisy_gradient_descent_escape_against_noise_of_the_gradient",
    }
    assert {path.suffix[1:] for path in written if path.stem == by_distance} == set(
        PICTURE_FORMATS
    )


def bars(problem, optimizer, rows):
    run = Run(
        "fast",
        "throughput",
        Spec(problem, problem, {}, ""),
        Spec(optimizer, optimizer, {}, ""),
        (0,),
        {},
    )
    return Result(run, "ok", tuple(rows))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_bars_have_their_roof_and_say_where_there_is_none(tmp_path):
    row = {
        "seed": 0,
        "status": "ok",
        "steps_per_s": 20.0,
        "steps_per_s_q1": 19.0,
        "steps_per_s_q3": 21.0,
    }
    made = [
        bars(
            "p",
            "one",
            [
                {**row, "dtype": "float32", "flops_share": 0.25},
                {**row, "dtype": "float64"},
            ],
        )
    ]
    made.append(
        bars("p", "other", [{**row, "dtype": "float64", "flops_share": 0.5}])
    )
    with Store(tmp_path / "a", create=True) as store:
        for result in made:
            store.put(result)
    sections, _ = gather([tmp_path / "a"])
    canvas = canvas_of(sections[0], "rates")
    assert sorted(texts(canvas)) == ["25 %", "50 %", "no FLOPs"]
    heights = {y for line in canvas.axes[0].get_lines() for y in line.get_ydata()}
    assert {80.0, 40.0} <= heights  # 20 steps a second over their shares
    assert [path.stem for path in write_figures(sections, tmp_path / "b")] == [
        "fast_p_throughput"
    ] * 3


def test_two_problems_and_two_optimizers_have_profiles(make_run, tmp_path):
    with Store(tmp_path / "a", create=True) as store:
        for problem in ("quadratic_saddle", "monkey_saddle"):
            for optimizer, params in (("sfn", {}), ("msgd", {"lr": 0.05})):
                store.put(
                    execute(make_run(problem, {}, optimizer, params, steps=60))
                )
    written = {
        path.stem
        for path in write_figures(gather([tmp_path / "a"])[0], tmp_path / "b")
    }
    assert "test_profiles" in written
    assert {
        f"test_{problem}_trajectories"
        for problem in ("quadratic_saddle", "monkey_saddle")
    } <= written


def test_labels_that_are_alike_in_a_files_name_each_have_their_figures(
    make_run, tmp_path
):
    labels = ("größe", "gräße", "x + 1", "x - 1", "x - 1 2")
    with Store(tmp_path / "runs", create=True) as store:
        for label in labels:
            run = make_run("quadratic_saddle", {}, "gradient_descent", {"lr": 0.1})
            problem = replace(run.problem, label=label)
            store.put(execute(replace(run, problem=problem)))
    written = write_figures(gather([tmp_path / "runs"])[0], tmp_path / "figures")
    assert len(written) == len(set(written)) >= len(labels) * len(PICTURE_FORMATS)
    drawn = [path.read_text() for path in written if path.suffix == ".svg"]
    for label in labels:
        assert any(f"<!-- test: {label}" in picture for picture in drawn), label
