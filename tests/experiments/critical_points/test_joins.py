"""Which minima a saddle joins: what the literature has, and the tree that follows."""

import numpy as np
import pytest
import torch

from sfnbench import load_suite, plan
from sfnbench.experiments.critical_points.figures import tree
from sfnbench.experiments.critical_points.joins import joined
from sfnbench.experiments.critical_points.search import search
from sfnbench.finders.sfn_k import SaddleFreeNewtonOfIndex
from sfnbench.members import registry
from sfnbench.report.draw_matplotlib import paint
from sfnbench.report.looks import looks
from sfnbench.session.execute import execute

# Energies of index 1 of seven atoms, and the places of the minima that each one joins, by energy
MINIMA = (-16.505384, -15.935043, -15.593211, -15.533060)
SEVEN = {
    -15.444734: "AB",
    -15.319864: "BC",
    -15.283421: "BD",
    -15.097846: "BB",
    -15.033384: "AC",
    -15.026438: "AD",
    -14.816400: "DD",
    -14.811130: "DD",
    -14.596946: "AD",
    -14.568061: "CC",
    -14.548573: "DD",
    -12.548938: "CC",
}


def row(loss, index=1, distinct=True):
    return {"loss": loss, "index": index, "distinct": distinct}


def test_the_saddles_of_mueller_brown_join_their_neighbours():
    problem = registry.build("problem", "mueller_brown", {})
    known = problem.critical_points
    rows = [row(point.loss, point.index) for point in known]
    found = joined(rows, [point.point.numpy() for point in known], problem)
    assert np.isnan(found[2:]).all()
    expected = [[-146.69952, -80.76782], [-108.16672, -80.76782]]
    assert found[:2] == pytest.approx(np.array(expected), abs=1e-5)
    rows[0]["distinct"] = False
    again = joined(rows, [point.point.numpy() for point in known], problem)
    assert np.isnan(again[0]).all()


def test_the_saddles_of_seven_atoms_join_what_the_table_has():
    problem = registry.build(
        "problem", "lennard_jones", {"n_atoms": 7, "start_at": "random"}
    )
    rng = torch.Generator().manual_seed(0)
    starts = torch.stack([problem.start(rng) for _ in range(16)])
    finder = SaddleFreeNewtonOfIndex(index=1, longest=0.2, floor=1e-3)
    ends = search(problem, finder, starts, batched=True)
    losses = [float(problem.loss(theta, None)) for theta in ends.theta]
    points = {}
    for loss, theta in zip(losses, ends.theta, strict=True):
        for energy in SEVEN:
            if abs(loss - energy) < 1e-5 and energy not in points:
                points[energy] = theta.numpy()
    points = dict(list(points.items())[:4])
    assert len(points) == 4
    found = joined(
        [row(energy) for energy in points], list(points.values()), problem
    )
    for energy, sides in zip(points, found, strict=True):
        named = "".join(
            "ABCD"[int(np.abs(np.array(MINIMA) - side).argmin())] for side in sides
        )
        assert named == SEVEN[energy]


def test_where_the_flow_has_no_end_nothing_is_joined():
    problem = registry.build("problem", "quadratic_saddle", {})
    found = joined([row(0.0)], [np.zeros(2)], problem)
    assert np.isnan(found).all()


def test_the_tree_of_seven_atoms():
    joins = [
        (loss, *(MINIMA["ABCD".index(side)] for side in sides))
        for loss, sides in SEVEN.items()
    ]
    (root,) = tree.trees(joins)
    A, B, C, D = (tree.Branch(loss) for loss in MINIMA)
    first = tree.Branch(-15.444734, (A, B))
    second = tree.Branch(-15.319864, (first, C))
    assert root == tree.Branch(-15.283421, (second, D))
    assert list(root.minima) == list(MINIMA)


def test_minima_that_differ_by_rounding_are_one_and_others_stay_apart():
    two = tree.trees([(-1.0, -2.0, -2.0 - 1e-9), (-1.5, -4.0, -3.0)])
    assert two == [
        tree.Branch(-1.5, (tree.Branch(-4.0), tree.Branch(-3.0))),
        tree.Branch(-2.0),
    ]


SUITE = """
experiment: critical_points
seeds: 1
random: 20
index: 1
problems: [{use: mueller_brown, start_at: box}]
finders: [sfn_k]
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "plane.yaml"
    path.write_text(f"{SUITE}joins: true\n")
    (run,) = plan(load_suite(path))
    return execute(run)


def test_a_figure_shows_the_tree(result):
    found = tree.extract(result)
    assert found is not None
    (figure,) = tree.figures([(result, found)])
    (panel,) = figure.panels
    lines, minima = panel.traces
    assert minima.y == pytest.approx([-146.69952, -108.16672, -80.76782], abs=1e-5)
    heights = {round(y, 3) for y in lines.y if np.isfinite(y)}
    assert heights >= {-72.249, -40.665}
    assert any(
        "-72.2489 joins -108.167 and -80.7678" in line for line in panel.findings
    )
    assert paint(figure, looks(["sfn_k"])).axes


def test_a_suite_that_does_not_ask_has_none_and_keeps_its_ids(tmp_path, result):
    path = tmp_path / "plane.yaml"
    path.write_text(SUITE)
    (run,) = plan(load_suite(path))
    assert "joins" not in run.settings
    assert run.id != result.run.id
    assert tree.extract(execute(run)) is None
