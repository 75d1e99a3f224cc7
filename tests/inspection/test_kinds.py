"""Inspections of networks of all kinds, against the dense Hessian that torch's own loop takes."""

import pytest
import torch
from networks import IMAGES, WORDS, Tied, Words, X, Y, conv, net
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import sfnbench
from sfnbench.inspection import inspect as inspection
from sfnbench.inspection.spectra import end_of

CE = nn.CrossEntropyLoss()
KINDS = {
    "mlp": (net, X),
    "conv, batch norm, dropout": (conv, IMAGES),
    "tied, frozen, unused": (Tied, X),
    "RNN": (lambda: Words("RNN"), WORDS),
    "LSTM": (lambda: Words("LSTM"), WORDS),
    "GRU": (lambda: Words("GRU"), WORDS),
    "attention": (lambda: Words("attention"), WORDS),
    "bfloat16": (lambda: net().bfloat16(), X),
}


def by_torch(model, x):
    """Gradient (d,) and Hessian (d, d) of the parameters that require gradients, row by row."""
    model = model.double().eval()
    kept = [each for each in model.parameters() if each.requires_grad]

    def slope(scalar):
        grads = torch.autograd.grad(
            scalar, kept, create_graph=True, materialize_grads=True
        )
        return torch.cat([each.reshape(-1) for each in grads])

    torch.backends.mha.set_fastpath_enabled(False)
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=None),
    ):
        grad = slope(CE(model(x.double() if x.is_floating_point() else x), Y))
        rows = [
            slope(each) if each.requires_grad else torch.zeros_like(grad)
            for each in grad
        ]
    torch.backends.mha.set_fastpath_enabled(True)
    return grad.detach(), torch.stack(rows).detach()


def seeded(kind):
    torch.manual_seed(3)
    build, x = KINDS[kind]
    return build(), x


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_and_shares_are_those_of_the_dense_hessian(kind):
    grad, H = by_torch(*seeded(kind))
    L = torch.linalg.eigvalsh(H)
    model, x = seeded(kind)
    found = sfnbench.inspect(model, CE, (x, Y), progress=False)
    assert found.n_parameters == found.n_products == len(L)
    assert found.lowest == pytest.approx(float(L[0]), abs=1e-8)
    assert found.highest == pytest.approx(float(L[-1]), abs=1e-8)
    assert max(found.lowest_residual, found.highest_residual) < 1e-8
    assert found.gradient_norm == pytest.approx(float(grad.norm()), rel=1e-8)
    share = float((-found.edge > L).double().mean())
    assert found.negative_share == (pytest.approx(share, abs=1e-12), 0.0)
    weight = float(-L[L < 0].sum() / L.abs().sum())
    assert found.negative_weight == (pytest.approx(weight, abs=1e-8), 0.0)


@pytest.mark.parametrize("kind", ["conv, batch norm, dropout", "GRU", "attention"])
def test_products_find_both_ends_within_their_bounds(monkeypatch, kind):
    monkeypatch.setattr(inspection, "DENSE", 0)
    _, H = by_torch(*seeded(kind))
    L = torch.linalg.eigvalsh(H)
    model, x = seeded(kind)
    found = sfnbench.inspect(
        model, CE, (x, Y), n_products=7 * 15, dtype=torch.float64, progress=False
    )
    assert (
        found.lowest - found.lowest_residual - 1e-12 <= L[0] <= found.lowest + 1e-12
    )
    end = found.highest + found.highest_residual
    assert found.highest - 1e-12 <= L[-1] <= end + 1e-12
    assert found.lowest == pytest.approx(float(L[0]), abs=1e-6)


def test_an_end_of_millions_of_float32_numbers_is_within_its_residual():
    """Their sums in float32 are off by more than that."""
    d = 3_000_000
    entries = torch.linspace(-1.0, 2.0, d)
    vector = torch.zeros(d)
    vector[:1000] = 1.0
    vector[1000:] = 1e-4
    found = end_of(lambda v: entries * v, vector)
    y, exact = vector.double(), entries.double()
    mean = float(y.square() @ exact / y.square().sum())
    spread = float((y.square() @ (exact - mean).square() / y.square().sum()).sqrt())
    assert found.value == pytest.approx(mean, abs=1e-9)
    assert found.residual == pytest.approx(spread, rel=1e-6)
