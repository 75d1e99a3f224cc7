"""Lennard-Jones clusters: rotations count in no index, atoms flown apart are no critical point."""

import pytest
import torch

from sfnbench import load_suite, plan
from sfnbench.errors import PluginError
from sfnbench.members import registry
from sfnbench.metrics.certificate import certify
from sfnbench.session.execute import execute

SUITE = """
experiment: critical_points
seeds: 3
energy: loss
problems: [{use: lennard_jones, n_atoms: 4, start_at: random}]
random: 4
cube: {count: 3, amplitude: 3.0}
"""
RACE = """
seeds: 1
budget: {steps: 3}
problems: [{use: lennard_jones, n_atoms: 4, start_at: random}]
optimizers: [sfn]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "cluster.yaml"
    path.write_text(SUITE)
    (run,) = plan(load_suite(path))
    return execute(run)


def test_converged_ends_have_a_known_energy_and_its_index(found):
    energies = registry.build("problem", "lennard_jones", {"n_atoms": 4}).energies
    converged = [row for row in found.points if row["converged"]]
    assert converged
    for row in converged:
        gaps = [abs(row["energy"] - each) for each in energies[row["index"]]]
        assert min(gaps) < 1e-5
        assert row["n_zero"] == 0
        n_rotations = 2 if row["index"] == 4 else 3  # of a straight chain two
        assert row["index"] + row["n_positive"] == 12 - 3 - n_rotations
        expected = "min-max saddle" if row["index"] else "minimum"
        assert row["end_point"] == expected


def test_atoms_flown_apart_ran_away(found):
    apart = [row for row in found.points if abs(row["energy"]) < 1e-9]
    assert len(apart) >= 3
    # their gradients are as small as one likes
    assert all(row["gradient_norm"] < 1e-10 for row in apart)
    assert {row["end_point"] for row in apart} == {"ran away"}
    assert not any(row["converged"] or row["distinct"] for row in apart)


@pytest.mark.parametrize("n_atoms", [3, 4, 6])
@pytest.mark.parametrize("reach", [10.0, 1e3])
@pytest.mark.parametrize("dense_limit", [4096, 0], ids=["dense", "products"])
def test_a_race_whose_atoms_fly_apart_ran_away(
    n_atoms, reach, dense_limit, monkeypatch
):
    """Its end is so many times larger, round the same centre, as gradients keep it."""
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", dense_limit)
    problem = registry.build(
        "problem", "lennard_jones", {"n_atoms": n_atoms, "start_at": "random"}
    )
    start = problem.start(torch.Generator().manual_seed(0))
    centre = start.view(-1, 3).mean(0).repeat(n_atoms)
    end = centre + reach * (start - centre)
    assert certify(problem, end, start).end_point == "ran away"


def test_the_minimum_of_a_cluster_is_a_minimum_wherever_it_is_turned():
    problem = registry.build("problem", "lennard_jones", {"n_atoms": 6})
    _, minimum, _ = problem.critical_points
    Q, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()
    )
    turned = (minimum.point.view(-1, 3) @ Q + 0.3).ravel()
    assert certify(problem, turned).end_point == "minimum"


def test_the_index_of_a_race_counts_no_rotation():
    problem = registry.build("problem", "lennard_jones", {"n_atoms": 6})
    assert certify(problem, problem.saddle.point).index_fraction == 1 / (18 - 6)


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        (lambda theta: torch.eye(len(theta), dtype=theta.dtype)[:1], "zero mode 0"),
        (lambda theta: torch.ones(2, 5), r"shape \(2, 5\), not \(n, 12\)"),
        (lambda theta: torch.full((1, 12), torch.nan), "not finite"),
    ],
    ids=["directions", "shape", "numbers"],
)
@pytest.mark.parametrize("suite", [SUITE, RACE], ids=["search", "race"])
def test_modes_that_are_no_symmetries_are_said_before_anything_runs(
    tmp_path, monkeypatch, suite, modes, said
):
    path = tmp_path / "cluster.yaml"
    path.write_text(suite)
    (run,) = plan(load_suite(path))
    cls = type(registry.build("problem", "lennard_jones", {"n_atoms": 4}))
    monkeypatch.setattr(cls, "zero_modes", lambda problem, theta: modes(theta))
    with pytest.raises(PluginError, match=f"lennard_jones: .*{said}"):
        execute(run)
