"""|H|^-1 g by tridiagonal matrices against the plain formula on known eigenvectors.

Matrices that have no basis.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.linalg import LinAlgError

from sfnbench.linalg import absolute
from sfnbench.linalg.absolute import directions, eigenbasis, newton_directions

SPECTRA = {"absolute": torch.abs, "itself": lambda eigenvalues: eigenvalues}


def symmetric(eigenvalues, seed):
    """A matrix with these eigenvalues in a random basis, and the basis."""
    n = len(eigenvalues)
    Q = torch.linalg.qr(
        torch.randn(
            n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
    )[0]
    H = Q @ (eigenvalues[:, None] * Q.mT)
    return (H + H.mT) / 2, Q


@pytest.fixture(params=["tridiagonal", "torch"])
def way(request, monkeypatch):
    monkeypatch.setattr(
        absolute, "LARGE", 2 if request.param == "tridiagonal" else 10**6
    )
    return request.param


@pytest.mark.parametrize("kind", sorted(SPECTRA))
@pytest.mark.parametrize("n_zero", [0, 5])
@pytest.mark.parametrize("n", [2, 7, 60, 300])
def test_directions_are_those_of_the_plain_formula(way, n, n_zero, kind):
    """Undamped, in the range of a singular matrix; damped, anywhere.

    The eigenvalues are known: nothing is shared.
    """
    n_zero = min(n_zero, n - 1)
    eigenvalues = torch.linspace(-3.0, 5.0, n, dtype=torch.float64) + 0.013
    eigenvalues[:n_zero] = 0.0
    H, Q = symmetric(eigenvalues, n)
    g = torch.randn(
        n, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    in_range = Q[:, n_zero:] @ (Q[:, n_zero:].mT @ g)
    s = SPECTRA[kind](eigenvalues)
    for vector, damping in (
        (g, 0.5),
        (in_range, 1e-3),
        *([(in_range, 0.0)] if not n_zero else []),
    ):
        denominators = torch.where(s + damping == 0, 1.0, s + damping)
        expected = -(Q @ ((Q.mT @ vector) / denominators))
        found = directions(vector, H, SPECTRA[kind])(damping)
        assert (found - expected).norm() <= 1e-10 * expected.norm()


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=30), st.integers(0, 99))
@settings(max_examples=60)
def test_a_pseudo_inverse_where_the_matrix_is_singular(diagonal, seed):
    """Diagonal matrices, repeated and zero eigenvalues among them.

    What vanishes is left out, exactly, by either way.
    """
    eigenvalues = torch.tensor(diagonal, dtype=torch.float64)
    g = torch.randn(
        len(diagonal),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    expected = torch.where(
        eigenvalues == 0,
        0.0,
        -g / torch.where(eigenvalues == 0, 1.0, eigenvalues.abs()),
    )
    for large in (2, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(absolute, "LARGE", large)
            torch.testing.assert_close(
                directions(g, torch.diag(eigenvalues), torch.abs)(0.0),
                expected,
                rtol=1e-12,
                atol=1e-14,
            )


@given(n=st.integers(2, 40), rank=st.integers(0, 40), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_the_basis_is_orthonormal_and_diagonalises(n, rank, seed):
    factor = torch.randn(
        n,
        min(n, rank),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    H = factor @ factor.mT - torch.eye(n, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(absolute, "LARGE", 2)
        basis = eigenbasis(H)
    Q = torch.stack([basis.vector(e) for e in torch.eye(n, dtype=torch.float64)], 1)
    coordinates = torch.stack(
        [basis.coordinates(e) for e in torch.eye(n, dtype=torch.float64)], 1
    )
    eps = 1e-14 * n
    torch.testing.assert_close(
        Q.mT @ Q, torch.eye(n, dtype=torch.float64), rtol=0, atol=eps
    )
    torch.testing.assert_close(coordinates, Q.mT, rtol=0, atol=eps)
    torch.testing.assert_close(
        Q * basis.eigenvalues @ Q.mT,
        H,
        rtol=0,
        atol=eps * (1 + H.abs().max().item()),
    )
    torch.testing.assert_close(
        basis.eigenvalues,
        torch.linalg.eigvalsh(H),
        rtol=0,
        atol=eps * (1 + H.abs().max().item()),
    )


@pytest.mark.parametrize("power", [-1000, -500, 500, 1000])
def test_a_power_of_two_only_scales(monkeypatch, power):
    """To the bit: matrices far from 1 neither overflow nor lose digits on the way."""
    monkeypatch.setattr(absolute, "LARGE", 2)
    H, _ = symmetric(torch.linspace(-1.0, 2.0, 50, dtype=torch.float64), 0)
    g = torch.ones(50, dtype=torch.float64)
    scale = math.ldexp(1.0, power)
    assert torch.equal(
        eigenbasis(H * scale).eigenvalues, eigenbasis(H).eigenvalues * scale
    )
    assert torch.equal(
        eigenbasis(H * scale).coordinates(g), eigenbasis(H).coordinates(g)
    )


def test_of_the_zero_matrix_nothing_is_solvable(way):
    g = torch.ones(5, dtype=torch.float64)
    direction = directions(g, torch.zeros(5, 5, dtype=torch.float64), torch.abs)
    assert torch.equal(direction(0.0), torch.zeros_like(g))
    torch.testing.assert_close(direction(2.0), -g / 2, rtol=1e-14, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_matrix_that_is_not_finite_is_refused_as_torch_does(way, value):
    with pytest.raises(LinAlgError):
        eigenbasis(torch.full((5, 5), value, dtype=torch.float64))


def test_no_convergence_is_torch_s_error(monkeypatch):
    def broken(names, arrays):
        if names == ("stevd",):
            return [lambda d, e: (d, np.eye(len(d)), 3)]
        return get(names, arrays)

    get = absolute.scipy.linalg.get_lapack_funcs
    monkeypatch.setattr(absolute.scipy.linalg, "get_lapack_funcs", broken)
    monkeypatch.setattr(absolute, "LARGE", 2)
    with pytest.raises(LinAlgError, match="did not converge"):
        eigenbasis(torch.eye(4, dtype=torch.float64))


def test_the_matrix_is_left_as_it_was(way):
    H, _ = symmetric(torch.linspace(-1.0, 2.0, 20, dtype=torch.float64), 3)
    before = H.clone()
    directions(H[0], H, torch.abs)(0.1)
    assert torch.equal(H, before)


def test_inside_transforms_and_under_autograd_torch_does_it(monkeypatch):
    monkeypatch.setattr(
        absolute, "_tridiagonal", lambda H: pytest.fail("scipy was asked")
    )
    monkeypatch.setattr(absolute, "LARGE", 2)
    stack = torch.stack(
        [
            symmetric(torch.linspace(-1.0, 2.0, 6, dtype=torch.float64), seed)[0]
            for seed in range(3)
        ]
    )
    together = torch.func.vmap(lambda H: directions(H[0], H, torch.abs)(0.1))(stack)
    assert together.shape == (3, 6)
    traced = stack[0].clone().requires_grad_()
    assert directions(traced[0], traced, torch.abs)(0.1).requires_grad


@pytest.mark.parametrize("dampings", [(0.5,), (1.0, 0.5)], ids=str)
def test_a_vector_alone_may_be_traced_or_batched(monkeypatch, dampings):
    monkeypatch.setattr(absolute, "LARGE", 2)
    H, _ = symmetric(torch.linspace(-2.9, 2.0, 6, dtype=torch.float64), 0)
    damped = torch.stack([H + d * torch.eye(6, dtype=H.dtype) for d in dampings])

    def solved(g):
        return torch.stack(newton_directions(g, H, dampings))

    jacobian = torch.autograd.functional.jacobian(solved, H[0].clone())
    torch.testing.assert_close(jacobian, -torch.linalg.inv(damped))
    together = torch.func.vmap(solved)(H)
    torch.testing.assert_close(together, torch.stack([solved(g) for g in H]))
    by_abs = torch.func.vmap(lambda g: directions(g, H, torch.abs)(0.1))(H)
    assert by_abs.shape == (6, 6)


def test_single_precision_stays_single(way):
    H, _ = symmetric(torch.linspace(0.5, 2.0, 40, dtype=torch.float64), 0)
    found = directions(H[0].float(), H.float(), torch.abs)(0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), directions(H[0], H, torch.abs)(0.1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "dampings", [(0.0,), (0.5,), (3.5,), (3.5, 0.5, 0.0)], ids=str
)
def test_dampings_are_solved_and_give_what_the_eigenbasis_gives(
    monkeypatch, dtype, dampings
):
    monkeypatch.setattr(absolute, "LARGE", 2)
    eigenvalues = torch.linspace(-3.0, 5.0, 60, dtype=torch.float64) + 0.013
    H, Q = symmetric(eigenvalues, 3)
    rng = torch.Generator().manual_seed(1)
    g = torch.randn(60, generator=rng, dtype=torch.float64)
    kept = H.to(dtype).clone()
    monkeypatch.setattr(absolute, "_through", None)  # no eigenbasis is needed
    steps = newton_directions(g.to(dtype), kept, dampings)
    assert torch.equal(kept, H.to(dtype))
    tolerance = 1e4 * torch.finfo(dtype).eps
    for step, damping in zip(steps, dampings, strict=True):
        expected = -Q @ ((Q.mT @ g) / (eigenvalues + damping))
        torch.testing.assert_close(
            step.double(),
            expected,
            rtol=0,
            atol=tolerance * float(expected.abs().max()),
        )


@pytest.mark.parametrize("dampings", [(0.0,), (1.0, 0.0)], ids=str)
@pytest.mark.parametrize("n_zero", [1, 5, 60])
def test_a_singular_matrix_goes_through_its_eigenbasis(
    monkeypatch, n_zero, dampings
):
    monkeypatch.setattr(absolute, "LARGE", 2)
    eigenvalues = torch.linspace(-3.0, 5.0, 60, dtype=torch.float64) + 0.013
    eigenvalues[:n_zero] = 0.0
    H = symmetric(eigenvalues, 3)[0]
    g = torch.ones(60, dtype=torch.float64)
    expected = directions(g, H, SPECTRA["itself"])
    found = newton_directions(g, H, dampings)
    for step, damping in zip(found, dampings, strict=True):
        assert torch.equal(step, expected(damping))


@pytest.mark.parametrize("dampings", [(0.1,), (1.0, 0.1)], ids=str)
def test_a_matrix_that_is_not_finite_is_refused_by_the_solve_too(
    monkeypatch, dampings
):
    monkeypatch.setattr(absolute, "LARGE", 2)
    H = torch.eye(4, dtype=torch.float64)
    H[2, 1] = torch.nan
    with pytest.raises(LinAlgError):
        newton_directions(torch.ones(4, dtype=torch.float64), H, dampings)
