"""Krylov subspaces against dense linear algebra, in both precisions, in batches, and where
the process ends early."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.linalg.lanczos import extreme_eigenvalues, lanczos


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def symmetric(d, seed=0, dtype=torch.float64):
    A = torch.randn(d, d, generator=rng(seed), dtype=torch.float64)
    return ((A + A.mT) / 2).to(dtype)


def stiff(d, seed=0):
    """Eigenvalues from 100 down to -1, most of them small: what a network's Hessian looks like."""
    eigenvalues = torch.cat(
        [
            torch.logspace(2, -3, d - 5, dtype=torch.float64),
            -torch.logspace(0, -2, 5, dtype=torch.float64),
        ]
    )
    Q = torch.linalg.qr(
        torch.randn(d, d, generator=rng(seed), dtype=torch.float64)
    )[0]
    return Q @ (eigenvalues[:, None] * Q.mT)


@given(
    d=st.integers(2, 12),
    share=st.floats(0.1, 1),
    seed=st.integers(0, 99),
    with_last=st.booleans(),
    full=st.booleans(),
)
@settings(max_examples=60)
def test_basis_is_orthonormal_and_the_matrix_is_the_restriction(
    d, share, seed, with_last, full
):
    H, k = symmetric(d, seed), max(1, int(share * d))
    start, last = torch.randn(2, d, generator=rng(seed + 1), dtype=torch.float64)
    space = lanczos(
        lambda v: H @ v,
        start,
        k,
        last=last if with_last else None,
        reorthogonalise=full,
    )
    used = space.basis.norm(dim=1) > 0.5
    identity = torch.diag(used.double())
    torch.testing.assert_close(
        space.basis @ space.basis.mT,
        identity,
        rtol=0,
        atol=1e-7 if not full else 1e-11,
    )
    torch.testing.assert_close(
        space.matrix,
        space.basis @ H @ space.basis.mT,
        rtol=0,
        atol=1e-6 if not full else 1e-10,
    )


@pytest.mark.parametrize("full", [True, False])
def test_the_span_is_the_krylov_space_and_the_last_vector(full):
    d, k = 30, 6
    H, start, last = (
        symmetric(d),
        *torch.randn(2, d, generator=rng(7), dtype=torch.float64),
    )
    powers = [start]
    for _ in range(k - 2):
        powers.append(H @ powers[-1])
    wanted = torch.stack([*powers, last])
    basis = lanczos(
        lambda v: H @ v, start, k, last=last, reorthogonalise=full
    ).basis
    outside = wanted - (wanted @ basis.mT) @ basis
    assert (outside.norm(dim=1) / wanted.norm(dim=1)).max() < 1e-9


def test_without_a_last_vector_the_matrix_is_tridiagonal():
    H = symmetric(20)
    matrix = lanczos(lambda v: H @ v, torch.ones(20, dtype=torch.float64), 8).matrix
    assert matrix.triu(2).abs().max() < 1e-12


@pytest.mark.parametrize("k", [20, 50, 100])
def test_in_float32_reorthogonalisation_keeps_the_basis_and_the_spectrum(k):
    H = stiff(300)
    single = H.float()
    start = torch.randn(300, generator=rng(3))
    space = lanczos(lambda v: single @ v, start, k)
    assert (space.basis @ space.basis.mT - torch.eye(k)).abs().max() < 1e-4
    values = torch.linalg.eigvalsh(space.matrix.double())
    assert values[-1] == pytest.approx(100, rel=1e-4)
    assert values[0] > -1 - 1e-3
    inside = space.basis.double()
    inside = torch.linalg.qr(inside.mT)[0]
    truth = torch.linalg.eigvalsh(inside.mT @ H @ inside)
    torch.testing.assert_close(values, truth, rtol=0, atol=100 * 1e-5)


@pytest.mark.parametrize("k", [20, 50, 100])
def test_without_it_the_gram_matrix_keeps_false_eigenvalues_away(k):
    """Lanczos' own recurrence loses orthogonality.

    What is made of it must still lie within the spectrum.
    """
    H = stiff(300)
    single = H.float()
    space = lanczos(
        lambda v: single @ v,
        torch.randn(300, generator=rng(3)),
        k,
        reorthogonalise=False,
    )
    values = torch.linalg.eigvalsh(space.matrix.double())
    assert 99 < values[-1] < 101
    assert values[0] > -1.1


def test_a_process_that_ends_early_goes_on_with_zeros():
    # two different eigenvalues make two dimensions
    H = torch.diag(torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64))
    space = lanczos(lambda v: H @ v, torch.ones(4, dtype=torch.float64), 4)
    assert (space.basis.norm(dim=1) > 0.5).tolist() == [True, True, False, False]
    assert torch.isfinite(space.matrix).all()
    nothing = lanczos(lambda v: H @ v, torch.zeros(4, dtype=torch.float64), 3)
    assert not nothing.basis.any()
    assert not nothing.matrix.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize(("d", "rank"), [(21, 14), (30, 5), (12, 12), (80, 40)])
def test_beyond_the_krylov_space_no_curvature_is_made_up(d, rank, is_mapped, dtype):
    """A convex loss whose Hessian has a null space, as each network's with a softmax: its lowest
    Ritz value was -4e-4 once, as vectors made of rounding lay in the basis."""
    for seed in range(40):
        factor = torch.randn(d, rank, generator=rng(seed), dtype=dtype)
        factor *= torch.logspace(0, -3, rank, dtype=dtype)
        H = factor @ factor.mT
        size = torch.linalg.matrix_norm(H, 2)
        start = torch.randn(d, generator=rng(seed + 99), dtype=dtype)

        def basis_and_lowest(start, H=H):
            space = lanczos(lambda v: H @ v, start, 60)
            ends = extreme_eigenvalues(lambda v: H @ v, start, 60)
            return space.basis, ends.lowest, ends.lowest_residual

        if is_mapped:
            basis, lowest, bound = torch.func.vmap(basis_and_lowest)(start[None])
        else:
            basis, lowest, bound = basis_and_lowest(start)
        overlaps = basis.squeeze(0) @ basis.squeeze(0).mT
        used = overlaps.diagonal() > 0.5
        rounding = 300 * torch.finfo(dtype).eps
        assert (overlaps - torch.diag(used.to(dtype))).abs().max() < rounding
        assert lowest >= -rounding * size
        off = (torch.linalg.eigvalsh(H) - lowest).abs().min()
        assert off <= bound + rounding * size


@pytest.mark.parametrize("full", [True, False])
def test_a_batch_is_what_each_alone_is(full):
    matrices = torch.stack([symmetric(9, seed) for seed in range(4)])
    starts, lasts = torch.randn(2, 4, 9, generator=rng(5), dtype=torch.float64)

    def one(H, start, last):
        return lanczos(lambda v: H @ v, start, 5, last=last, reorthogonalise=full)

    together = torch.func.vmap(one)(matrices, starts, lasts)
    for i in range(4):
        alone = one(matrices[i], starts[i], lasts[i])
        restricted = [
            basis.mT @ matrix @ basis
            for basis, matrix in (alone[:2], (together[0][i], together[1][i]))
        ]
        torch.testing.assert_close(*restricted, rtol=1e-8, atol=1e-8)


def test_not_a_number_spreads_and_raises_nothing_by_itself():
    H = torch.full((5, 5), torch.nan, dtype=torch.float64)
    assert (
        lanczos(lambda v: H @ v, torch.ones(5, dtype=torch.float64), 3)
        .matrix.isnan()
        .any()
    )


@given(d=st.integers(1, 40), k=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_extreme_eigenvalues_lie_within_their_residuals(d, k, seed):
    H = symmetric(d, seed)
    found = extreme_eigenvalues(
        lambda v: H @ v,
        torch.randn(d, generator=rng(seed), dtype=torch.float64),
        min(k, d),
    )
    truth = torch.linalg.eigvalsh(H)
    assert found.lowest >= truth[0] - 1e-9
    assert found.highest <= truth[-1] + 1e-9
    assert (truth - found.lowest).abs().min() <= found.lowest_residual + 1e-8
    assert (truth - found.highest).abs().min() <= found.highest_residual + 1e-8


def test_enough_products_find_the_lowest_eigenvalue():
    H = stiff(200)
    found = extreme_eigenvalues(
        lambda v: H @ v, torch.randn(200, generator=rng(2), dtype=torch.float64), 80
    )
    assert found.lowest.item() == pytest.approx(-1, abs=1e-3)
    assert found.lowest_residual < 0.05


def test_a_product_may_return_what_it_was_given():
    """As the identity's may, which ends the process at its first vector."""
    start = torch.arange(1.0, 5.0, dtype=torch.float64)
    space = lanczos(lambda v: v, start, 3)
    torch.testing.assert_close(space.basis[0], start / start.norm())
    assert not space.basis[1:].any()
    torch.testing.assert_close(
        space.matrix, torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    )
    assert torch.equal(start, torch.arange(1.0, 5.0, dtype=torch.float64))


def test_the_process_stops_where_the_lowest_value_is_resolved():
    H, products = stiff(200), []

    def product(v):
        products.append(v)
        return H @ v

    start = torch.randn(200, generator=rng(3), dtype=torch.float64)
    lowest = torch.linalg.eigvalsh(H)[0]
    found = extreme_eigenvalues(product, start, 120, tolerance=1e-2)
    assert len(products) < 120
    assert found.lowest_residual <= 1e-2 * found.lowest.abs()
    assert lowest <= found.lowest <= lowest + found.lowest_residual
    n = len(products)
    expected = extreme_eigenvalues(lambda v: H @ v, start, n)
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_no_product_is_spared_where_nothing_is_resolved():
    H, products = stiff(200), []

    def product(v):
        products.append(v)
        return H @ v

    start = torch.randn(200, generator=rng(3), dtype=torch.float64)
    found = extreme_eigenvalues(product, start, 12, tolerance=1e-9)
    assert len(products) == 12
    assert torch.equal(
        torch.stack(found),
        torch.stack(extreme_eigenvalues(lambda v: H @ v, start, 12)),
    )
