"""First and second derivatives against those of polynomials, known in closed form."""

import pytest
import torch

from sfnbench.core.derivatives import (
    linearise_eagerly,
    linearise_in_transforms,
    loss_and_grad,
    pull_back,
)

X = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
HESSIAN = torch.tensor(
    [[12.0, 6.0, 0.0], [6.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64
)
LINEAR = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


def polynomial(x):
    """3 x0^2 x1 + x1 x2: at X its gradient is (12, 2, 2)."""
    return 3 * x[0] ** 2 * x[1] + x[1] * x[2]


@pytest.mark.parametrize("eager", [True, False])
def test_loss_and_gradient(eager):
    loss, grad = loss_and_grad(polynomial, X, eager=eager)
    assert loss.item() == 4
    assert grad.tolist() == [12, 2, 2]
    assert not loss.requires_grad
    assert not grad.requires_grad


@pytest.mark.parametrize("linearise", [linearise_eagerly, linearise_in_transforms])
def test_products_are_those_of_the_hessian(linearise):
    linear = linearise(polynomial, X)
    assert linear.loss.item() == 4
    assert linear.grad.tolist() == [12, 2, 2]
    columns = [linear.product(e) for e in torch.eye(3, dtype=torch.float64)]
    assert torch.equal(torch.stack(columns), HESSIAN)


@pytest.mark.parametrize("linearise", [linearise_eagerly, linearise_in_transforms])
def test_a_linear_loss_has_no_curvature(linearise):
    linear = linearise(lambda x: LINEAR @ x, X)
    assert linear.grad.tolist() == LINEAR.tolist()
    assert linear.product(X).tolist() == [0, 0, 0]


def test_many_vectors_go_back_at_once_into_several_inputs():
    """The gradient of x0^2 x1 in both; a third input is in no loss."""
    a, b, unused = (torch.tensor(2.0, requires_grad=True) for _ in range(3))
    first = torch.autograd.grad(a**2 * b, (a, b), create_graph=True)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = pull_back(torch.stack(first), (a, b, unused), rows)
    # by a: 2 b, 2 a; by b: 2 a, 0
    assert [each.tolist() for each in found] == [[4, 4], [4, 0], [0, 0]]
