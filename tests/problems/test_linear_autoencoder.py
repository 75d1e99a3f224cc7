"""The linear autoencoder.

Every critical point against its closed form, and the loss against data.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.core.symmetry import counted_directions
from sfnbench.problems.linear_autoencoder import LinearAutoencoder


def normal(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def measured(problem, point):
    """Gradient length, loss and index of a point, the Hessian by automatic differentiation."""
    gradient = torch.func.grad(lambda t: problem.loss(t, None))
    spectrum = torch.linalg.eigvalsh(torch.func.jacrev(gradient)(point))
    index = int((spectrum < -1e-8 * spectrum.abs().max()).sum())
    return gradient(point).norm().item(), problem.loss(point, None).item(), index


def agree(problem, known):
    slope, loss, index = measured(problem, known.point)
    return (
        slope < 1e-13
        and abs(loss - known.loss) < 1e-13 * sum(problem.spectrum)
        and index == known.index
    )


def test_all_42_critical_points():
    problem = LinearAutoencoder(n_inputs=6, n_hidden=3)
    assert len(problem.critical_points) == 42
    assert (
        len({tuple(known.point.tolist()) for known in problem.critical_points})
        == 42
    )
    for known in problem.critical_points:
        assert agree(problem, known), known


@pytest.mark.parametrize(("k", "p"), [(8, 2), (5, 5), (3, 5), (1, 1)])
def test_other_sizes(k, p):
    problem = LinearAutoencoder(n_inputs=k, n_hidden=p)
    assert len(problem.critical_points) == sum(
        math.comb(k, m) for m in range(p + 1)
    )
    for known in problem.critical_points:
        assert agree(problem, known), known


def test_the_published_size():
    """Frye et al.: 16 inputs, 4 hidden units.

    2,517 classes, and at 0 a loss of 8.5 with 64 of 128 directions down.
    """
    problem = LinearAutoencoder(n_inputs=16, n_hidden=4)
    known = problem.critical_points
    assert len(known) == 2517
    assert (problem.dim, problem.saddle.loss, problem.saddle.index) == (
        128,
        8.5,
        64,
    )
    for place in range(0, 2517, 129):
        assert agree(problem, known[place]), known[place]


@pytest.mark.parametrize(("k", "p"), [(4, 2), (6, 3), (3, 4), (1, 1)])
def test_its_zero_modes_are_the_kernel_of_the_hessian_at_every_critical_point(k, p):
    problem = LinearAutoencoder(n_inputs=k, n_hidden=p)
    G = torch.eye(p).double() + 0.3 * normal(p, p, seed=1) / p
    most = 0
    for known in problem.critical_points:
        A, Bt = known.point.view(2, p, k)
        moved = torch.cat([(G @ A).ravel(), (torch.linalg.inv(G).mT @ Bt).ravel()])
        for point in (known.point, moved):
            H = torch.func.hessian(lambda t: problem.loss(t, None))(point)
            L = torch.linalg.eigvalsh(H)
            assert (L.abs() < 1e-9).sum() == known.n_zero <= problem.n_zero_modes
            basis = counted_directions(problem, point, H)
            left = torch.linalg.eigvalsh(basis.mT @ H @ basis)
            assert left.abs().min() > 1e-3
            assert (left < 0).sum() == known.index
        most = max(most, known.n_zero)
    assert problem.n_zero_modes == most


@given(data=st.data())
@settings(max_examples=25)
def test_any_variances_in_any_order(data):
    k, p = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    tenths = data.draw(
        st.lists(st.integers(1, 60), min_size=k, max_size=k, unique=True)
    )
    places = st.lists(st.integers(0, k - 1), max_size=min(k, p), unique=True)
    problem = LinearAutoencoder(
        n_inputs=k,
        n_hidden=p,
        variances=tuple(s / 10 for s in tenths),
        saddle_at=tuple(data.draw(places)),
    )
    known = problem.critical_point(problem.saddle_at)
    assert agree(problem, known)
    assert (problem.saddle is None) == (known.index == 0)


def test_the_default_variances_are_1_to_k_however_many():
    given = LinearAutoencoder(n_inputs=5, variances=(1.0, 2.0, 3.0, 4.0, 5.0))
    default = LinearAutoencoder(n_inputs=5)
    for one, other in zip(
        given.critical_points, default.critical_points, strict=True
    ):
        assert one.point.equal(other.point)
        assert (one.loss, one.index) == (other.loss, other.index)
    k = 10**7
    huge = LinearAutoencoder(n_inputs=k, n_hidden=2)
    assert huge.saddle.loss == (k + 1) / 2  # the mean of 1..k
    assert huge.lowest == (k * (k + 1) / 2 - 2 * k + 1) / k
    assert huge.saddle.index == 2 * k


def test_the_only_minimum_keeps_the_largest_components():
    problem = LinearAutoencoder(variances=(3.0, 1.0, 9.0, 4.0, 5.0, 2.0))
    (minimum,) = [known for known in problem.critical_points if known.index == 0]
    assert torch.equal(minimum.point, problem.critical_point((2, 3, 4)).point)
    assert (
        minimum.loss
        == min(known.loss for known in problem.critical_points)
        == (3 + 1 + 2) / 6
    )


def test_the_loss_is_the_mean_squared_error_over_data_of_that_covariance():
    problem = LinearAutoencoder(
        n_inputs=4, n_hidden=2, variances=(0.5, 3.0, 1.0, 2.0)
    )
    n = 50
    rows = torch.linalg.qr(normal(n, 4)).Q.mT  # (4, n) orthonormal
    X = (
        rows
        * (n * torch.tensor(problem.spectrum, dtype=torch.float64)).sqrt()[:, None]
    )
    A, Bt = theta = normal(2, 2, 4, seed=1)
    by_data = (Bt.mT @ A @ X - X).square().mean()
    torch.testing.assert_close(
        problem.loss(theta.ravel(), None), by_data, rtol=1e-12, atol=0
    )


@given(seed=st.integers(0, 999))
def test_the_loss_depends_on_the_product_alone(seed):
    problem = LinearAutoencoder(n_inputs=5, n_hidden=3)
    A, Bt = normal(2, 3, 5, seed=seed)
    G = torch.eye(3, dtype=torch.float64) + 0.1 * normal(3, 3, seed=seed + 1)
    moved = torch.stack([G @ A, torch.linalg.solve(G.mT, Bt)])
    here, there = (
        problem.loss(theta.ravel(), None) for theta in (torch.stack([A, Bt]), moved)
    )
    torch.testing.assert_close(here, there, rtol=1e-10, atol=0)


@pytest.mark.parametrize("saddle_at", [(), (0,), (5, 2, 0), (3, 1)])
def test_starts_at_the_radius_from_the_stated_saddle(saddle_at):
    problem = LinearAutoencoder(saddle_at=saddle_at, radius=0.01)
    start = problem.start(torch.Generator().manual_seed(4))
    assert (start - problem.saddle.point).norm().item() == pytest.approx(0.01)
    assert abs(problem.loss(start, None).item() - problem.saddle.loss) < 0.01
    assert not problem.escaped(start, problem.loss(start, None))


def test_any_single_exchange_for_the_better_counts_as_escaped():
    for k in (6, 19):
        problem = LinearAutoencoder(
            n_inputs=k, n_hidden=2, saddle_at=(k - 1, k - 3)
        )
        better = problem.critical_point((k - 1, k - 2))
        assert problem.escaped(better.point, problem.loss(better.point, None))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"variances": (1.0, 2.0)},
            "must be n_inputs = 6 different positive numbers",
        ),
        ({"variances": (1.0, 2.0, 3.0, 4.0, 5.0, 5.0)}, "different"),
        ({"variances": (1.0, 2.0, 3.0, 4.0, 5.0, 0.0)}, "positive"),
        ({"variances": (1.0, 2.0, 3.0, 4.0, 5.0, math.nan)}, "positive"),
        ({"variances": ()}, "must be n_inputs = 6"),
        (
            {"saddle_at": (6,)},
            r"at most n_hidden = 3 different places in 0\.\.5, got \[6\]",
        ),
        ({"saddle_at": (-1,)}, "different places"),
        ({"saddle_at": (1, 1)}, "different places"),
        ({"saddle_at": (0, 1, 2, 3)}, "at most n_hidden = 3"),
    ],
)
def test_misuse(fields, message):
    with pytest.raises(ValueError, match=message):
        LinearAutoencoder(**fields)
