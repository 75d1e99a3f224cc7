"""Landscapes of chemistry, valleys and small networks: their points, levels and plateaus."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from sfnbench.core.symmetry import zero_mode_rank
from sfnbench.members import contract, registry

CLASSES = {
    name: registry.load(registry.find("problem", name))
    for name in (
        "induction",
        "lennard_jones",
        "mueller_brown",
        "parity",
        "rosenbrock",
    )
}
VARIANTS = [
    ("induction", {"n_tokens": 4, "n_repeated": 3, "width": 4, "n_sequences": 20}),
    *(("lennard_jones", {"n_atoms": n}) for n in (3, 4, 5, 6)),
    ("lennard_jones", {"n_atoms": 13, "start_at": "random"}),
    ("mueller_brown", {"saddle_at": 1}),
    ("mueller_brown", {"start_at": "box"}),
    ("parity", {"n": 4, "k": 2}),
    ("rosenbrock", {"n": 2, "start_at": "classic"}),
    *(("rosenbrock", {"n": n, "start_at": "saddle"}) for n in (4, 5, 6, 7)),
]


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@pytest.mark.parametrize(
    "check", contract.PROBLEM_CHECKS, ids=lambda check: check.__name__
)
def test_variants_keep_the_contract(name, params, check):
    check(CLASSES[name](**params))


@pytest.mark.parametrize(
    ("n_atoms", "losses"),
    [
        (3, [-3.0, -2.031124]),
        (4, [-5.073421, -6.0, -3.065136]),
        (5, [-8.480620, -9.103852, -4.099658]),
        (6, [-12.079031, -12.712062, -5.134312]),
        (7, [-15.444734, -16.505384, -6.169010]),
        (13, [-44.326801]),
    ],
)
def test_clusters_have_the_energies_of_the_literature(n_atoms, losses):
    problem = CLASSES["lennard_jones"](n_atoms=n_atoms, start_at="random")
    found = [point.loss for point in problem.critical_points]
    assert found[: len(losses)] == pytest.approx(losses, abs=1e-6)
    for point in problem.critical_points:
        stated = problem.energies.get(point.index, ())
        assert not stated or min(abs(point.loss - e) for e in stated) < 1e-6


def test_a_pair_of_atoms_is_deepest_at_its_bond():
    """Two far from the third: -1 at distance 2^(1/6)."""
    problem = CLASSES["lennard_jones"](n_atoms=3)
    places = torch.tensor(
        [0, 0, 0, 2 ** (1 / 6), 0, 0, 1e3, 0, 0], dtype=torch.float64
    )
    assert float(problem.loss(places, None)) == pytest.approx(-1, abs=1e-12)


def test_moved_and_turned_clusters_are_the_same():
    problem = CLASSES["lennard_jones"](n_atoms=5)
    x = problem.start(torch.Generator().manual_seed(0)).view(5, 3)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    moved = (x[torch.tensor([3, 1, 4, 0, 2])] @ turn + 2).ravel()
    for f in (problem.invariants, lambda t: problem.loss(t, None)):
        torch.testing.assert_close(f(x.ravel()), f(moved), rtol=1e-10, atol=1e-10)
    assert zero_mode_rank(problem.zero_modes(x.ravel())) == 6


def test_random_atoms_keep_apart():
    problem = CLASSES["lennard_jones"](n_atoms=13, start_at="random")
    x = problem.start(torch.Generator().manual_seed(1))
    assert problem.invariants(x)[0] > 0.85


def test_mueller_browns_points_are_the_known_ones():
    problem = CLASSES["mueller_brown"]()
    losses = [point.loss for point in problem.critical_points]
    known = [-40.66484, -72.24894, -146.69952, -108.16672, -80.76782]
    assert losses == pytest.approx(known, abs=1e-5)
    H = problem.hessian(problem.critical_points[2].point, None)
    assert torch.linalg.eigvalsh(H)[-1] < 4069


def test_rosenbrock_is_scipys():
    problem = CLASSES["rosenbrock"](n=6)
    x = np.random.default_rng(0).normal(size=6)
    loss = float(problem.loss(torch.from_numpy(x), None))
    assert loss == pytest.approx(optimize.rosen(x))
    found = problem.hessian(torch.from_numpy(x), None).numpy()
    np.testing.assert_allclose(found, optimize.rosen_hess(x))


@pytest.mark.parametrize(
    ("n", "minimum", "saddle"),
    [(4, 3.70143, 3.70824), (5, 3.93084, 4.65737), (7, 3.98360, 6.63626)],
)
def test_the_second_valley_of_rosenbrock(n, minimum, saddle):
    points = CLASSES["rosenbrock"](n=n).critical_points
    assert [points[1].loss, points[2].loss] == pytest.approx(
        [minimum, saddle], abs=1e-5
    )


def test_from_the_saddle_of_rosenbrock_descent_leads_to_both_minima():
    problem = CLASSES["rosenbrock"](n=4)
    best, second, saddle = problem.critical_points
    _, Q = torch.linalg.eigh(problem.hessian(saddle.point, None))
    ends = {
        round(
            optimize.minimize(
                optimize.rosen,
                (saddle.point + sign * 0.02 * Q[:, 0]).numpy(),
                jac=optimize.rosen_der,
                hess=optimize.rosen_hess,
                method="trust-exact",
                options={"initial_trust_radius": 0.05, "max_trust_radius": 0.06},
            ).fun,
            4,
        )
        for sign in (1, -1)
    }
    assert ends == {round(best.loss, 4), round(second.loss, 4)}


@pytest.mark.parametrize(("n", "k"), [(3, 3), (4, 2), (5, 4)])
def test_the_zero_network_falls_at_its_order(n, k):
    """Along the best of many directions the fall is the order's power of the length."""
    problem = CLASSES["parity"](n=n, k=k, n_hidden=2**k)
    signs, _ = problem.signs(torch.zeros((), dtype=torch.float64))
    # one unit for each pattern of the k inputs: v its parity, W the pattern, b a bias
    patterns = signs[:k, :: 2 ** (n - k)].mT
    W = torch.cat([patterns, torch.zeros(2**k, n - k, dtype=torch.float64)], 1)
    b = torch.ones(2**k, dtype=torch.float64) * (k % 2 == 0)
    degree = k if k % 2 else k + 1  # of tanh's term that makes the parity: its sign
    v = patterns.prod(1) if degree % 4 == 1 else -patterns.prod(1)
    along = torch.cat([W.ravel(), b, v, torch.zeros(1, dtype=torch.float64)])
    lengths = torch.tensor([0.04, 0.02], dtype=torch.float64)
    falls = [0.5 - float(problem.loss(t * along, None)) for t in lengths]
    assert falls[1] > 0
    assert math.log2(falls[0] / falls[1]) == pytest.approx(
        problem.saddle_order, abs=0.1
    )


def test_induction_is_learnt_after_a_plateau():
    problem = CLASSES["induction"](
        n_tokens=16, n_repeated=8, width=32, n_sequences=512
    )
    theta = problem.start(torch.Generator().manual_seed(0)).float()
    assert float(problem.loss(theta, None)) > 0.8 * math.log(16)
    theta.requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=3e-3)
    rng, losses = torch.Generator().manual_seed(0), []
    for _ in range(250):
        optimizer.zero_grad()
        loss = problem.loss(theta, problem.draw(rng, 32))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[40:50]) > 0.6 * math.log(16)  # still on the plateau
    assert losses[-1] < 0.5


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "lennard_jones",
            {"n_atoms": 8},
            "start_at: saddle needs 3 to 7 atoms, got 8",
        ),
        ("mueller_brown", {"saddle_at": 2}, "saddle_at must be 0 or 1, got 2"),
        (
            "rosenbrock",
            {"start_at": "saddle"},
            "saddle needs n = 4, 5, 6 or 7, got 10",
        ),
        ("parity", {"k": 4}, "k must be at most n = 3, got 4"),
        ("parity", {"escape_drop": 0.5}, r"escape_drop must be below 0\.5"),
        ("induction", {"n_repeated": 9}, "n_repeated must be at most n_tokens = 8"),
    ],
)
def test_misuse(name, params, message):
    with pytest.raises(ValueError, match=message):
        CLASSES[name](**params)
