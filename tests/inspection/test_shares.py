"""Shares of spectra that are known: what the intervals say holds as often as they say."""

import numpy as np
import pytest
import torch
from torch import nn

import sfnbench
from sfnbench.inspection import inspect as inspection
from sfnbench.inspection.shares import dense_nodes, krylov_nodes
from sfnbench.linalg.lanczos import lanczos

N_SEEDS = 40


def spread_out():
    """Zeros, and sizes over nine decades on both sides: no rule tells all of these apart."""
    rng = np.random.default_rng(0)
    signed = -(10.0 ** rng.uniform(-9, 0, 24)), 10.0 ** rng.uniform(-8, 1, 56)
    return np.concatenate([np.zeros(120), *signed])


def half_dead():
    """A network most of whose units are dead, and its data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    model[0].bias.data[:10] = -100.0
    return model, (torch.randn(60, 16), torch.randint(0, 4, (60,)))


CE = nn.CrossEntropyLoss()
SPECTRA = {
    "spread out": spread_out(),
    "even": np.linspace(-1.0, 2.0, 200),
    "three values": np.repeat([0.0, -1.0, 2.0], [150, 20, 30]),
}


def seen(L, seed, n_probes=4, k=25):
    rng, H = np.random.default_rng(seed), torch.from_numpy(L)
    starts = torch.from_numpy(rng.standard_normal((n_probes, len(L))))
    return krylov_nodes([lanczos(lambda v: H * v, start, k) for start in starts])


@pytest.mark.parametrize("name", SPECTRA)
def test_an_interval_holds_the_share_as_often_as_it_says(name):
    L = SPECTRA[name]
    unit = np.abs(L).max()
    hits = []
    for seed in range(N_SEEDS):
        nodes = seen(L, seed)
        edge = nodes.resolved_edge(unit) * unit
        exact = dense_nodes(L)
        found = (*nodes.shares(edge), nodes.negative_weight())
        known = (*exact.shares(edge), exact.negative_weight())
        pairs = zip(found, known, strict=True)
        hits.append([abs(a.value - b.value) <= a.error + 1e-12 for a, b in pairs])
    share, near_zero, weight = np.mean(hits, axis=0)
    # 95 % and what quadrature leaves open, within three standard deviations of a binomial
    assert min(share, near_zero, weight) >= 0.95 - 3 * np.sqrt(
        0.95 * 0.05 / N_SEEDS
    )
    # the rule is exact: the probes' spread is all that is left
    if name == "three values":
        assert share < 1


def test_the_bounds_are_those_of_chebyshev_markov_and_stieltjes():
    """With one vector both hold for every edge, and a measure that is known has no width."""
    L = SPECTRA["spread out"]
    H = torch.from_numpy(L)
    start = torch.from_numpy(np.random.default_rng(1).standard_normal(len(L)))
    measure = (start.square() / start.square().sum()).numpy()
    (matrix,) = krylov_nodes([lanczos(lambda v: H * v, start, 12)]).matrices
    for edge in np.linspace(-1.2, 11, 60):
        least, most = matrix.below(edge)
        assert least - 1e-12 <= measure[edge > L].sum() <= most + 1e-12
    (known,) = krylov_nodes(
        [lanczos(lambda v: torch.tensor([-1.0, 0.0, 2.0]) * v, torch.ones(3), 6)]
    ).matrices
    assert known.is_exact
    assert known.below(-0.5) == pytest.approx([1 / 3, 1 / 3], abs=1e-6)


def test_an_edge_at_a_node_is_no_trouble():
    (matrix,) = seen(SPECTRA["even"], 0, n_probes=1, k=9).matrices
    nodes, weights = matrix.rule()
    for place, node in enumerate(nodes):
        least, most = matrix.below(node)
        assert least == pytest.approx(weights[:place].sum(), abs=1e-6)
        assert most == pytest.approx(weights[: place + 1].sum(), abs=1e-6)


def test_dead_units_are_near_zero_and_not_half_of_them_negative(monkeypatch):
    """In both precisions, and the interval of a network's own products is that of its spectrum."""
    model, data = half_dead()
    problem = sfnbench.ModuleProblem(model, CE, data)
    L = torch.linalg.eigvalsh(
        problem.hessian(problem.weights.theta(), None)
    ).numpy()
    assert (np.abs(L) < 1e-12).mean() > 0.5
    monkeypatch.setattr(inspection, "DENSE", 0)
    for dtype in (torch.float64, torch.float32):
        found = sfnbench.inspect(
            model, CE, data, dtype=dtype, n_products=140, progress=False
        )
        for estimate, known in (
            (found.negative_share, (-found.edge > L).mean()),
            (found.near_zero_share, (np.abs(L) <= found.edge).mean()),
        ):
            assert abs(estimate.value - known) <= estimate.error < 0.1
        assert found.negative_share.value < 0.1
        assert f"below -{found.edge:.2g}" in str(found)
