"""Symmetries that problems state: as many as leave what the loss looks at as it is, and no more."""

import pytest
import torch

from sfnbench.core.symmetry import counted_directions, zero_mode_rank
from sfnbench.members import contract, registry
from sfnbench.metrics.certificate import certify

ALL = [
    member.name
    for member in registry.members("problem").values()
    if member.where == "shipped"
]


def build(name, **params):
    return registry.build("problem", name, params)


def attention_scores(problem, theta):
    """The scores of all keys beside the first, and the rows of W beside the first."""
    W_Q, W_K, W = problem.tensors(theta).values()
    scores = W_Q.mT @ W_K
    return torch.cat([(scores - scores[:, :1]).ravel(), (W - W[:1]).ravel()])


def overlaps(problem, theta):
    J = problem.tensors(theta)["J"]
    return torch.cat([(J @ J.mT).ravel(), J[:, : problem.n_hidden].ravel()])


def directions(problem, theta):
    v = theta.view(-1, problem.n)
    return (v / v.norm(dim=1, keepdim=True)).ravel()


def products(problem, theta):
    d = len(problem.singular_values)
    product = torch.eye(d, dtype=theta.dtype)
    for W in theta.view(-1, d, d):
        product = W @ product
    return product.ravel()


def factors(problem, theta):
    parts = problem.tensors(theta)
    return (parts["U"] @ parts["V"].mT).ravel()


def reconstructions(problem, theta):
    parts = problem.tensors(theta)
    return (parts["decoder.weight"] @ parts["encoder.weight"]).ravel()


def lengths(problem, theta):
    return torch.stack([theta @ theta, theta[0]])


def logits(problem, theta):
    z = problem.outputs(theta, None)
    return (z - z[:, :1]).ravel()


SEEN = [
    ("linear_attention", {}, lambda problem, theta: problem.attention(theta)),
    (
        "linear_attention",
        {"n_heads": 2},
        lambda problem, theta: problem.attention(theta),
    ),
    (
        "linear_attention",
        {"heads": "merged"},
        lambda problem, theta: problem.attention(theta),
    ),
    ("attention_recall", {"n_keys": 3, "width": 2}, attention_scores),
    ("attention_recall", {"n_keys": 3, "width": 6}, attention_scores),
    ("attention_recall", {"n_keys": 4, "width": 4}, attention_scores),
    ("committee_machine", {}, overlaps),
    ("committee_machine", {"n_inputs": 9}, overlaps),
    ("committee_machine", {"n_hidden": 3, "n_inputs": 4}, overlaps),
    ("tensor_decomposition", {}, directions),
    ("tensor_decomposition", {"objective": "one"}, directions),
    ("deep_linear", {}, products),
    ("matrix_factorization", {}, factors),
    ("linear_autoencoder", {}, reconstructions),
    ("phase_retrieval", {}, lengths),
    ("induction", {"n_tokens": 5, "n_repeated": 3, "width": 4}, logits),
]


@pytest.mark.parametrize(("name", "params", "seen"), SEEN)
def test_as_many_as_leave_what_the_loss_looks_at_as_it_is(name, params, seen):
    """At a point in general position, the kernel of the derivative of what the loss looks at."""
    problem = build(name, **params)
    theta = torch.randn(problem.dim, generator=torch.Generator().manual_seed(3))
    theta = theta.double() / 2
    slopes = torch.func.jacrev(lambda t: seen(problem, t).ravel())(theta)
    sizes = torch.linalg.svdvals(slopes)
    n_fixed = problem.dim - int((sizes > 1e-9 * sizes[0]).sum())
    modes = problem.zero_modes(theta)
    n_stated = problem.n_zero_modes if modes is None else zero_mode_rank(modes)
    assert n_stated == n_fixed
    if modes is not None:
        assert float((slopes @ modes.mT).abs().max()) < 1e-12


@pytest.mark.parametrize("name", ALL)
def test_no_stated_minimum_is_degenerate(name):
    problem = build(name)
    for known in problem.critical_points:
        if problem.lowest is None or known.loss > problem.lowest + 1e-9:
            continue
        H = problem.hessian(known.point, None)
        basis = counted_directions(problem, known.point, H)
        if basis is not None:
            H = basis.mT @ H @ basis
        assert float(torch.linalg.eigvalsh(H).min()) > 1e-9


def test_the_minimum_of_linear_attention_is_a_minimum():
    for problem in (
        build("linear_attention"),
        build("linear_attention", heads="merged"),
    ):
        assert (
            certify(problem, problem.critical_points[-1].point).end_point
            == "minimum"
        )
    origin = build("linear_attention").critical_points[0].point
    assert certify(build("linear_attention"), origin).end_point == "degenerate"


@pytest.mark.parametrize("change", ["scale", "more"])
def test_modes_that_are_no_symmetries_are_refused(change):
    class Wrong(registry.load(registry.find("problem", "committee_machine"))):
        def zero_modes(self, theta):
            modes = super().zero_modes(theta)
            if change == "scale":
                return torch.cat([modes, theta[None]])
            return torch.cat([modes, modes[:1]])

    message = {
        "scale": "along zero mode 3 the loss has",
        "more": "3 of 4 zero modes",
    }
    with pytest.raises(contract.CheckError, match=message[change]):
        contract.problems.zero_modes_are_symmetries(Wrong())
