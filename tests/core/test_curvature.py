"""Products with curvature matrices against matrices made whole, and batches that memory
cannot hold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.core.linearise import linearise
from sfnbench.core.memory import Parts
from sfnbench.core.oracle import Oracle
from sfnbench.members.contract.shared import Waves
from sfnbench.problems.mlp import MultilayerPerceptron

SMALL = {"size": 3, "n_examples": 30}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def whole(product, d):
    return torch.stack([product(e) for e in torch.eye(d, dtype=torch.float64)])


def dense(problem, theta, batch, kind):
    """The matrix by its definition, from Jacobians of torch's own."""
    if kind == "hessian":
        return torch.autograd.functional.hessian(
            lambda t: problem.loss(t, batch), theta
        )
    z = problem.outputs(theta, batch)
    # J: (o, n, d)
    J = torch.autograd.functional.jacobian(
        lambda t: problem.outputs(t, batch), theta
    )
    decay = problem.weight_decay * torch.eye(len(theta), dtype=theta.dtype)
    if kind == "gauss_newton":
        # S: (o, n, o, n)
        S = torch.autograd.functional.hessian(lambda z: problem.fit(z, batch), z)
        return torch.einsum("and,anbm,bme->de", J, S, J) + decay
    n = z.shape[-1]
    examples = torch.arange(problem.population) if batch is None else batch
    F = torch.zeros_like(decay)
    for b in examples:
        one = b.reshape(1)
        (g,) = torch.autograd.grad(
            problem.fit(
                problem.outputs(at := theta.detach().requires_grad_(), one), one
            ),
            at,
        )
        F += torch.outer(g, g) / n
    return F + decay


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
@given(
    hidden=st.sampled_from([(), (2,), (2, 3)]),
    criterion=st.sampled_from(["cross_entropy", "squared_error"]),
    decay=st.sampled_from([0.0, 0.1]),
    batch=st.sampled_from([None, 7]),
    eager=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=15)
def test_products_are_those_of_the_matrix(
    kind, hidden, criterion, decay, batch, eager, seed
):
    problem = MultilayerPerceptron(
        hidden=hidden, criterion=criterion, weight_decay=decay, **SMALL
    )
    theta = torch.randn(problem.dim, generator=rng(seed), dtype=torch.float64)
    drawn = None if batch is None else problem.draw(rng(seed), batch)
    linear = linearise(problem, theta, drawn, kind, eager=eager)
    torch.testing.assert_close(linear.loss, problem.loss(theta, drawn))
    torch.testing.assert_close(
        linear.grad, torch.func.grad(problem.loss)(theta, drawn)
    )
    exact = dense(problem, theta, drawn, kind)
    torch.testing.assert_close(
        whole(linear.product, problem.dim), exact, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
def test_products_run_in_batches(kind):
    problem = MultilayerPerceptron(hidden=(2,), **SMALL)
    points = torch.stack([problem.start(rng(seed)) for seed in range(3)])
    v = torch.randn(problem.dim, generator=rng(1), dtype=torch.float64)
    together = torch.func.vmap(
        lambda t: linearise(problem, t, None, kind, eager=False).product(v)
    )(points)
    for i, theta in enumerate(points):
        alone = linearise(problem, theta, None, kind, eager=True).product(v)
        torch.testing.assert_close(together[i], alone, rtol=1e-9, atol=1e-12)


def test_for_squared_error_fisher_weighs_each_example_by_its_residual():
    """At a perfect fit the empirical Fisher vanishes, and Gauss-Newton is the Hessian."""
    problem = MultilayerPerceptron(
        hidden=(), criterion="squared_error", size=3, n_examples=5
    )
    x, y = problem.chosen(torch.zeros(0, dtype=torch.float64), None)
    # each class has 10 parameters for 5 examples
    W = y @ torch.linalg.pinv(torch.cat([x, torch.ones_like(x[:1])]))
    theta = W.reshape(-1)
    assert problem.loss(theta, None) < 1e-20
    v = torch.randn(problem.dim, generator=rng(2), dtype=torch.float64)
    products = {
        k: linearise(problem, theta, None, k, eager=True).product(v)
        for k in ("hessian", "gauss_newton", "fisher")
    }
    torch.testing.assert_close(products["hessian"], products["gauss_newton"])
    assert products["fisher"].norm() < 1e-9


# -- memory ----------------------------------------------------------------------------------------


class Tight(MultilayerPerceptron):
    """A network on a device that holds eight examples at a time, and fails as torch's
    allocators do."""

    limit = 8

    def outputs(self, theta, batch):
        if (self.population if batch is None else batch.shape[-1]) > self.limit:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough "
                "memory: you tried"
            )
        return super().outputs(theta, batch)


def test_what_memory_cannot_hold_is_taken_in_parts():
    tight, roomy = (
        Tight(hidden=(2,), weight_decay=0.1, **SMALL),
        MultilayerPerceptron(hidden=(2,), weight_decay=0.1, **SMALL),
    )
    theta = roomy.start(rng())
    v = torch.randn(roomy.dim, generator=rng(1), dtype=torch.float64)
    for kind in ("hessian", "gauss_newton", "fisher"):
        memory = Parts()
        ask, easy = (
            Oracle(tight, eager=True, memory=memory),
            Oracle(roomy, eager=True),
        )
        torch.testing.assert_close(ask.loss(theta), easy.loss(theta))
        assert memory.n == 4  # 30 examples in parts of 8
        torch.testing.assert_close(ask.grad(theta), easy.grad(theta))
        linear, exact = ask.curvature(theta, kind), easy.curvature(theta, kind)
        torch.testing.assert_close(linear.grad, exact.grad)
        torch.testing.assert_close(linear.hvp(v), exact.hvp(v))
        torch.testing.assert_close(ask.hessian(theta), easy.hessian(theta))
        # a product in parts made its graph again
        assert ask.calls.counts.tolist() == [1, 1 + 1 + 1, 1, 1]


def test_a_product_that_runs_out_of_memory_goes_on_in_parts():
    class Growing(MultilayerPerceptron):
        limit = 10**9

        def outputs(self, theta, batch):
            if (self.population if batch is None else batch.shape[-1]) > self.limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().outputs(theta, batch)

    problem = Growing(hidden=(2,), **SMALL)
    theta = problem.start(rng())
    v = torch.randn(problem.dim, generator=rng(1), dtype=torch.float64)
    oracle = Oracle(problem, eager=True)
    linear = oracle.curvature(theta)
    exact = linear.hvp(v)

    def fails(v):
        raise torch.OutOfMemoryError("CUDA out of memory")

    cell = next(
        c for c in linear._product.__closure__ if isinstance(c.cell_contents, list)
    )
    cell.cell_contents[0] = cell.cell_contents[0]._replace(product=fails)
    Growing.limit = 15
    torch.testing.assert_close(linear.hvp(v), exact)
    assert oracle.memory.n == 2


def test_memory_that_no_part_fits_in_and_other_errors_pass():
    tight = Tight(hidden=(2,), **SMALL)
    theta = tight.start(rng())
    Tight.limit = 0
    try:
        with pytest.raises(RuntimeError, match="not enough memory"):
            Oracle(tight, eager=True).loss(theta)
    finally:
        Tight.limit = 8
    with pytest.raises(RuntimeError, match="size"):
        Oracle(tight, eager=True).loss(theta[:-1])
    # here is nothing to divide
    assert (
        Oracle(Waves(), eager=True).memory.halve(Waves(), None, MemoryError())
        is False
    )
