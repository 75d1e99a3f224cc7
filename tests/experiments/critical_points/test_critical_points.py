"""The experiment.

Every start has its row, known answers are found, and what is no critical point is not called one.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench import Store, load_suite, plan, run_suite
from sfnbench.cli import new
from sfnbench.core.symmetry import ZERO_EIGENVALUE
from sfnbench.errors import SuiteError
from sfnbench.experiments.critical_points.keys import Keys
from sfnbench.experiments.critical_points.starts import starts
from sfnbench.experiments.critical_points.views import Restricted, UpsideDown
from sfnbench.members import contract, registry
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.problems.spin_glass import SphericalSpinGlass
from sfnbench.session.execute import execute
from sfnbench.theory.landscapes import theory_of

AUTOENCODER = """
experiment: critical_points
seeds: 3
same: 1e-3
problems: [{use: linear_autoencoder, n_inputs: 4, n_hidden: 2, radius: 0.5}]
paths:
  - optimizer: {use: gradient_descent, lr: 0.05}
    steps: 40
    every: 10
    count: 2
    noise: [0.1, 0.01]
  - {optimizer: {use: sfn, damping: 0.1}, steps: 4, count: 1, up: true}
random: 1
cube: {count: 2, amplitude: 0.7}
"""


def suite(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_suite(path)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    (run,) = plan(suite(tmp_path_factory.mktemp("suite"), AUTOENCODER))
    return execute(run)


def test_a_row_for_every_start(autoencoder):
    rows = autoencoder.rows
    assert len(rows) == 3 * (2 + 1 + 1 + 2)
    assert [row["start"] for row in rows].count("path") == 9
    assert {row["noise"] for row in rows if row["start"] == "path"} <= {
        0.1,
        0.01,
        0.0,
    }
    assert {row["path_step"] for row in rows if row["path"] == 0} <= {
        0,
        10,
        20,
        30,
        40,
    }
    assert autoencoder.series["points"].shape == (18, 16)
    assert all(row["n_hessian"] == row["steps"] for row in rows)


def test_every_converged_point_has_a_loss_and_an_index_of_the_table(autoencoder):
    converged = [row for row in autoencoder.rows if row["converged"]]
    assert len(converged) >= 9
    assert all(row["known"] and row["index_sure"] for row in converged)
    assert all(row["gradient_norm"] ** 2 < 1e-20 for row in converged)


def test_what_has_not_converged_is_there_and_marked(autoencoder):
    for row in autoencoder.rows:
        assert row["converged"] == (row["gradient_norm"] ** 2 < 1e-20)
        assert (row["status"] == "ok") == row["converged"]
        if not row["converged"]:
            assert row["end_point"] in ("gradient-flat", "not critical")
            assert not row["distinct"]


def test_distinct_points_have_different_subsets_of_components(autoencoder):
    points = autoencoder.series["points"]
    subsets = []
    for row, point in zip(autoencoder.rows, points, strict=True):
        if row["distinct"]:
            A, Bt = point.reshape(2, 2, 4)
            subsets.append(tuple(np.diag(Bt.T @ A).round().astype(int)))
    assert len(subsets) == len(set(subsets)) >= 2


def test_zero_is_by_default_the_size_that_certificates_use():
    assert Keys.model_fields["zero"].default == ZERO_EIGENVALUE


def test_eigenvalues_and_what_is_read_off_them(autoencoder):
    for row, L in zip(
        autoencoder.rows, autoencoder.series["eigenvalues"], strict=True
    ):
        L = L[~np.isnan(L)]  # without the zero modes
        zero = 1e-6 * np.abs(L).max()
        assert row["index"] == (-zero > L).sum()
        assert row["alpha"] == row["index"] / len(L)
        assert row["n_zero"] + row["n_positive"] + row["index"] == len(L)
        assert row["centre"] == pytest.approx(L.mean())


def test_a_density_agrees_with_the_eigenvalues(autoencoder, tmp_path):
    """The index by inertia is the one by eigenvalues.

    The quadrature's moments are the spectrum's.
    """
    by_density = execute(
        plan(suite(tmp_path, AUTOENCODER + "spectrum: density\n"))[0]
    )
    for i, (row, other) in enumerate(
        zip(autoencoder.rows, by_density.rows, strict=True)
    ):
        if row["converged"]:
            names = (
                "index",
                "n_zero",
                "n_positive",
                "alpha",
                "end_point",
                "distinct",
                "known",
            )
            assert [row[name] for name in names] == [other[name] for name in names]
            assert other["residual"] is other["gap"] is None
        # 16 nodes of 16 dimensions make these exact
        for name in ("min_eigenvalue", "max_eigenvalue", "centre", "spread"):
            assert other[name] == pytest.approx(row[name], rel=1e-6, abs=1e-6)
        nodes, weights = (
            by_density.series[name][i] for name in ("eigenvalues", "weights")
        )
        assert np.nansum(weights) == pytest.approx(1)
        assert np.nansum(weights * nodes) == pytest.approx(
            row["centre"], abs=2 * row["spread"]
        )


def test_one_seed_gives_the_same_starts_to_every_finder(tmp_path):
    both = AUTOENCODER + "finders: [levenberg_marquardt, newton_mr]\n"
    first, second = (execute(run) for run in plan(suite(tmp_path, both), seeds=1))
    assert [row["start_loss"] for row in first.rows] == [
        row["start_loss"] for row in second.rows
    ]


def test_a_spin_glass_leaves_the_length_out_of_its_spectrum(tmp_path):
    text = (
        "experiment: critical_points\nseeds: 2\nrandom: 3\nenergy: energy\n"
        "problems: [{use: spin_glass, dim: 8}]\n"
    )
    result = execute(plan(suite(tmp_path, text))[0])
    converged = [i for i, row in enumerate(result.rows) if row["converged"]]
    assert converged
    for i in converged:
        L, row = result.series["eigenvalues"][i], result.rows[i]
        assert np.isfinite(L).sum() == 7
        assert row["alpha"] == row["index"] / 7
        assert row["multiplier"] == pytest.approx(3 * row["energy"], abs=1e-12)
        # points are pulled back onto the sphere
        assert (result.series["points"][i] ** 2).sum() == pytest.approx(8)
        assert row["energy"] > SphericalSpinGlass(dim=8).theory.lowest_energy() * 2


def test_the_ladder_of_dead_units_has_the_index_foretold(tmp_path):
    text = """
experiment: critical_points
seeds: 1
energy: training_error
zero: 1e-8
subspaces: true
paths: [{optimizer: {use: sfn, damping: 0.01}, steps: 8, count: 2}]
problems: [{use: mlp, dataset: digits, size: 3, n_examples: 200, hidden: [2], weight_decay: 1e-2}]
"""
    result = execute(plan(suite(tmp_path, text))[0])
    padded = [row for row in result.rows if row["subspace"] and row["converged"]]
    assert {row["subspace"] for row in padded} == {"0 units", "1 unit"}
    for row in padded:
        assert row["index_strict"] == row["predicted_index"] > 0
        assert row["gradient_norm"] < 1e-10  # in the whole network


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(0, 2**31),
    st.sampled_from([0.01, 0.1]),
)
def test_dead_units_add_the_index_foretold_wherever_the_others_are(
    hidden, seed, weight_decay
):
    problem = MultilayerPerceptron(
        dataset="digits",
        size=3,
        n_examples=50,
        hidden=tuple(hidden),
        weight_decay=weight_decay,
        criterion="squared_error",
    )
    for rung in problem.subspaces:
        room, rng = Restricted(problem, rung), torch.Generator().manual_seed(seed)
        theta = 3 * torch.randn(room.dim, generator=rng, dtype=torch.float64)
        whole = room.embedded(theta)
        within, index = (
            int((torch.linalg.eigvalsh(H) < 0).sum())
            for H in (room.hessian(theta, None), problem.hessian(whole, None))
        )
        assert index == within + rung.normal_index(whole)


def test_a_restricted_problem_is_the_problem_on_its_coordinates():
    problem = MultilayerPerceptron(
        dataset="digits", size=3, n_examples=50, hidden=(3,), weight_decay=0.1
    )
    narrow = MultilayerPerceptron(
        dataset="digits", size=3, n_examples=50, hidden=(2,), weight_decay=0.1
    )
    room = Restricted(problem, problem.subspaces[2])
    assert room.dim == narrow.dim
    theta = narrow.start(torch.Generator().manual_seed(0))
    at_large = Restricted(problem, replace(problem.subspaces[2], narrower=None))
    assert room.subspace.narrower == narrow
    torch.testing.assert_close(room.loss(theta, None), at_large.loss(theta, None))
    torch.testing.assert_close(
        room.hessian(theta, None), at_large.hessian(theta, None)
    )
    whole = torch.func.grad(lambda t: problem.loss(t, None))(room.embedded(theta))
    outside = torch.ones(problem.dim, dtype=torch.bool)
    outside[problem.subspaces[2].places] = False
    assert whole[outside].abs().max() == 0


def test_a_path_up_climbs(tmp_path):
    (run,) = plan(suite(tmp_path, AUTOENCODER))
    problem = SphericalSpinGlass(dim=10)
    text = """
experiment: critical_points
seeds: 2
problems: [{use: spin_glass, dim: 10}]
paths:
  - {optimizer: {use: gradient_descent, lr: 0.05}, steps: 30, every: 30, count: 4}
  - {optimizer: {use: gradient_descent, lr: 0.05}, steps: 30, every: 30, count: 4, up: true}
"""
    (run,) = plan(suite(tmp_path, text))
    begun = list(starts(run, problem))
    means = {}
    for path in (0, 1):
        late = [
            s.point
            for s in begun
            if s.facts["path"] == path and s.facts["path_step"] == 30
        ]
        means[path] = float(
            torch.stack([problem.loss(point, None) for point in late]).mean()
        )
    assert means[0] < -1 < 1 < means[1]
    theta = begun[0].point
    assert UpsideDown(problem).loss(theta, None) == -problem.loss(theta, None)


def test_a_start_that_is_no_number_is_kept_as_diverged(tmp_path, plugin):
    source = '''
from dataclasses import dataclass
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sfnbench import Problem, register


@register("cliff")
@dataclass(frozen=True, kw_only=True)
class Cliff(Problem):
    """A square root: no number left of 0, a minimum at 1."""

    dim = 2

    def start(self, rng):
        return torch.randn(2, generator=rng, dtype=torch.float64)

    def loss(self, theta, batch):
        return (theta - 2 * theta.sqrt()).sum()
'''
    plugin("problems", "cliff", source)
    text = "experiment: critical_points\nseeds: 8\nrandom: 2\nproblems: [cliff]\n"
    result = execute(plan(suite(tmp_path, text))[0])
    kinds = {row["end_point"] for row in result.rows}
    assert kinds >= {"diverged", "minimum"}
    for row in result.rows:
        if row["end_point"] == "diverged":
            assert row["index"] is row["alpha"] is None
            assert row["status"] == "diverged"
            assert not row["converged"]


def test_export_and_show_have_a_row_per_point(tmp_path):
    folder = run_suite(
        suite(tmp_path, AUTOENCODER),
        seeds=1,
        engine="inline",
        out=tmp_path / "runs",
    )
    from sfnbench.experiments.summary import summary
    from sfnbench.results.export import flat_rows

    with Store(folder) as store:
        flat = flat_rows(store)
        table = summary(store.summaries())
    assert len(flat) == 6
    stated = {
        "energy",
        "loss",
        "alpha",
        "index",
        "gradient_norm",
        "residual",
        "converged",
    }
    assert stated <= set(flat[0])
    assert table[0]["starts"] == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("random: 0\n", "no starts: give paths, random or cube"),
        ("energy: temperature\nrandom: 1\n", "unknown metric 'temperature'"),
        ("random: 1\nfinders: [levenberg]\n", r"unknown finder 'levenberg'"),
        ("random: 1\noptimizers: [sfn]\n", "unknown key 'optimizers'"),
        (
            "paths: [{optimizer: sfnn}]\n",
            r"unknown optimizer 'sfnn' \(did you mean 'sfn'\?\)",
        ),
        ("paths: [{steps: 3}]\n", "missing key 'optimizer'"),
        ("paths: [{optimizer: sfn, noise: [-1]}]\n", "at least 0"),
        (
            "paths: [{optimizer: {use: msgd, lr: {grid: [1, 2]}}}]\n",
            "one optimizer is wanted here, not the 2 of a grid",
        ),
        ("random: 1\ncut_off: 0\n", "cut_off must be greater than 0"),
        ("cube: {amount: 3}\n", "unknown key 'amount'"),
    ],
)
def test_misuse_is_found_before_anything_runs(tmp_path, change, message):
    with pytest.raises(SuiteError, match=message):
        suite(
            tmp_path,
            f"experiment: critical_points\nproblems: [monkey_saddle]\n{change}",
        )


@pytest.mark.parametrize(
    ("problem", "path"),
    [
        (
            "{use: spin_glass, dim: 40}",
            "{optimizer: {use: gradient_descent, lr: 0.04}, steps: 60, count: 6}",
        ),
        (
            "{use: gaussian_field, dim: 32, features: 2048}",
            "{optimizer: {use: gradient_descent, lr: 0.1}, steps: 60, count: 6}",
        ),
    ],
    ids=["spin_glass", "gaussian_field"],
)
def test_index_and_spectrum_are_what_theory_says(tmp_path, problem, path):
    """Distinct points over a range of energies.

    At N = 32 and 40 an eigenvalue more or less is 0.03 of alpha.
    """
    text = f"experiment: critical_points\nseeds: 5\nenergy: energy\nproblems: [{problem}]\n"
    text += f"paths: [{path}, {path[:-1]}, up: true}}]\n"
    result = execute(plan(suite(tmp_path, text))[0])
    theory = theory_of(result.run.problem.use, result.run.problem.params)
    found = [row for row in result.rows if row["distinct"]]
    energies, alphas = (
        np.array([row[name] for row in found]) for name in ("energy", "alpha")
    )
    assert len(found) >= 8
    assert np.ptp(energies) > 1.5
    assert np.sqrt(np.mean((alphas - theory.alpha(energies)) ** 2)) < 0.04
    assert np.mean([row["spread"] for row in found]) == pytest.approx(
        theory.radius / 2, rel=0.05
    )


def test_a_plugin_adds_a_finder(tmp_path, monkeypatch):
    """What `sfnbench new finder` writes keeps the contract and runs beside the shipped ones."""
    monkeypatch.chdir(tmp_path)
    new.write_template("finder", "my_finder")
    member = registry.find("finder", "my_finder")
    try:
        assert not {
            name: wrong
            for name, wrong in contract.failures(registry.load(member)).items()
            if wrong
        }
        (run,) = plan(
            suite(tmp_path, AUTOENCODER), optimizers=["my_finder"], seeds=1
        )
        assert any(row["converged"] and row["known"] for row in execute(run).rows)
    finally:
        registry._registered.pop(("finder", "my_finder"))
