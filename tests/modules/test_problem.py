"""A module as a problem: against the hand-written network, autograd and torch's own modules."""

import pytest
import torch
from networks import (
    CE,
    IMAGES,
    WORDS,
    First,
    Pair,
    Tied,
    Words,
    X,
    Y,
    conv,
    net,
    rng,
)
from torch import nn
from torch.nn import functional

from sfnbench import ModelError, ModuleProblem
from sfnbench.core.linearise import linearise
from sfnbench.core.oracle import Oracle
from sfnbench.experiments.randomness import generator
from sfnbench.metrics.certificate import certify, certify_all
from sfnbench.metrics.measuring import BATCHED_DIM, measure
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories.layout import Layout


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 3, generator=rng(5)))

    def forward(self, x):
        z = x @ self.w
        return z if z.sum() > 0 else torch.sin(z)


KINDS = [
    (net, X),
    (conv, IMAGES),
    (Tied, X),
    (Branching, X),
    (lambda: Words("RNN"), WORDS),
    (lambda: Words("LSTM"), WORDS),
    (lambda: Words("GRU"), WORDS),
    (lambda: Words("attention"), WORDS),
]
NAMES = ["mlp", "conv", "tied", "branching", "RNN", "LSTM", "GRU", "attention"]


def by_torch(model, x):
    """Loss and gradient as torch's own loop takes them, in double precision, eval mode."""
    model = model.double().eval()
    loss = nn.CrossEntropyLoss()(
        model(x.double() if x.is_floating_point() else x), Y
    )
    kept = [each for each in model.parameters() if each.requires_grad]
    grads = torch.autograd.grad(loss, kept, allow_unused=True)
    parts = zip(kept, grads, strict=True)
    flat = [torch.zeros_like(p) if g is None else g for p, g in parts]
    return loss.detach(), torch.cat([each.reshape(-1) for each in flat])


@pytest.mark.parametrize(("build", "x"), KINDS, ids=NAMES)
def test_any_module_has_the_loss_and_gradient_of_torch_s_own_loop(build, x):
    model = build()
    problem = ModuleProblem(model, nn.CrossEntropyLoss(), (x, Y))
    theta = problem.start(rng())
    loss, grad = Oracle(problem, eager=True).loss_and_grad(theta)
    known = by_torch(model, x)
    torch.testing.assert_close(loss, known[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, known[1], rtol=1e-9, atol=1e-14)
    assert torch.equal(
        Layout.of(problem, theta.device).apart(theta)[0].ravel(),
        theta[: Layout.of(problem, theta.device).shapes[0].numel()],
    )


@pytest.mark.parametrize(("build", "x"), KINDS, ids=NAMES)
def test_any_module_can_be_differentiated_twice(build, x):
    problem = ModuleProblem(
        build(), nn.CrossEntropyLoss(), (x, Y), weight_decay=0.1
    )
    theta = problem.start(rng())
    v = torch.randn(problem.dim, generator=rng(7), dtype=torch.float64)
    v, h = v / v.norm(), 1e-5
    ask = Oracle(problem, eager=True)
    bend = (ask.grad(theta + h * v) - ask.grad(theta - h * v)) / (2 * h)
    product = ask.curvature(theta).hvp(v)
    torch.testing.assert_close(product, bend, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        problem.hessian(theta, None) @ v, product, rtol=1e-9, atol=1e-12
    )
    for kind in ("gauss_newton", "fisher"):
        linear = linearise(problem, theta, None, kind, eager=True)
        assert v @ linear.product(v) > 0


@pytest.mark.parametrize(
    ("build", "x"), KINDS[:3] + KINDS[4:], ids=NAMES[:3] + NAMES[4:]
)
def test_everything_is_on_theta_s_device(build, x):
    """The device meta has no numbers, and refuses tensors of others: as a GPU would."""
    weighted = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]))
    problem = ModuleProblem(build(), weighted, (x, Y), weight_decay=0.1)
    theta = problem.weights.theta().float().to("meta")
    for batch in (None, torch.tensor([1, 5])):
        loss, grad = Oracle(problem, (batch,), eager=True).loss_and_grad(theta)
        assert (loss.device.type, grad.device.type) == ("meta", "meta")
        assert (loss.dtype, grad.shape) == (torch.float32, theta.shape)
        for kind in ("hessian", "gauss_newton", "fisher"):
            linear = linearise(problem, theta, batch, kind, eager=True)
            assert linear.product(theta).device.type == "meta"


def test_it_is_the_hand_written_network_of_the_same_sizes():
    mlp = MultilayerPerceptron(size=3, n_examples=40, hidden=(4,), weight_decay=0.3)
    module = nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 10)).double()
    x, y = mlp.by_example(torch.zeros(0, dtype=torch.float64))
    own = ModuleProblem(
        module, nn.CrossEntropyLoss(), (x, y.argmax(1)), weight_decay=0.3
    )
    theta = mlp.start(rng())
    order = torch.cat(
        [t.reshape(-1) for t in mlp.tensors(torch.arange(mlp.dim)).values()]
    )
    batch = torch.tensor([3, 1, 3, 20])
    for places in (None, batch):
        loss = mlp.loss(theta, places)
        torch.testing.assert_close(
            own.loss(theta[order], places), loss, rtol=1e-12, atol=0
        )
        H = mlp.hessian(theta, places)[order][:, order]
        torch.testing.assert_close(
            own.hessian(theta[order], places), H, rtol=0, atol=1e-12
        )
        v = torch.randn(mlp.dim, generator=rng(1), dtype=torch.float64)
        for kind in ("gauss_newton", "fisher"):
            mine = linearise(own, theta[order], places, kind, eager=True).product(
                v[order]
            )
            hand = linearise(mlp, theta, places, kind, eager=True).product(v)[order]
            torch.testing.assert_close(mine, hand, rtol=0, atol=1e-12)


def test_a_module_that_branches_on_values_runs_point_by_point():
    branching = ModuleProblem(Branching(), nn.CrossEntropyLoss(), (X, Y))
    assert not branching.vmappable
    assert ModuleProblem(net(), nn.CrossEntropyLoss(), (X, Y)).vmappable


def test_convolutions_run_point_by_point_and_have_the_hessian_of_the_products():
    images = torch.randn(12, 1, 4, 4)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
    )
    problem = ModuleProblem(model, nn.CrossEntropyLoss(), (images, Y[:12]))
    assert not problem.vmappable
    theta = problem.weights.theta()
    by_torch = torch.func.hessian(lambda t: problem.loss(t, None))(theta)
    torch.testing.assert_close(problem.hessian(theta, None), by_torch)


def test_a_hessian_is_dear_by_the_products_in_it_and_lanczos_stands_in(monkeypatch):
    problem = ModuleProblem(nn.Linear(6, 3), nn.CrossEntropyLoss(), (X, Y))
    loss = 2 * len(X) * 6 * 3  # a multiplication and an addition for each weight
    limit = "sfnbench.modules.problem.MOST_HESSIAN_FLOPS"
    monkeypatch.setattr(limit, 6 * loss * problem.dim)
    assert problem.has_cheap_hessian
    dear = ModuleProblem(nn.Linear(6, 3), nn.CrossEntropyLoss(), (X, Y))
    monkeypatch.setattr(limit, 6 * loss * problem.dim - 1)
    assert not dear.has_cheap_hessian
    theta = problem.weights.theta()
    exact, estimated = certify(problem, theta), certify(dear, theta)
    assert exact.index_fraction is not None
    assert estimated.index_fraction is None
    assert estimated.end_point == "not certified"
    error = abs(estimated.min_eigenvalue - exact.min_eigenvalue)
    assert error <= estimated.min_eigenvalue_residual + 1e-9


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_an_end_point_has_its_hessian_taken_once(monkeypatch, kind):
    """By the metric, the certificate's search and its index; a minibatch's is another one."""
    build, x = KINDS[NAMES.index(kind)]
    problem = ModuleProblem(
        nn.Sequential(build(), nn.Linear(3, 12), nn.Linear(12, 3)), CE, (x, Y)
    )
    assert problem.dim > BATCHED_DIM  # points one at a time
    taken, take = [], ModuleProblem._taken_hessian

    def counted(self, theta, batch):
        taken.append((theta.clone(), batch))
        return take(self, theta, batch)

    monkeypatch.setattr(ModuleProblem, "_taken_hessian", counted)
    points = problem.weights.theta() + torch.tensor([[0.0], [1.0]])
    measure(problem, "min_eigenvalue", points)
    certify_all(problem, points, points - 0.1)
    for point in points:
        assert sum(torch.equal(theta, point) for theta, _ in taken) == 1
    half = torch.arange(12)
    assert not torch.equal(
        problem.hessian(points[0], half), problem.hessian(points[0], None)
    )


def test_starts_are_fresh_under_the_seed_or_round_the_weights():
    torch.manual_seed(0)
    fresh = ModuleProblem(lambda: nn.Linear(6, 3), nn.CrossEntropyLoss(), (X, Y))
    starts = [fresh.start(generator(seed, "start")) for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert 0.1 < starts[0].abs().max() < 6**-0.5  # torch's own bound
    model = nn.Linear(6, 3)
    there = ModuleProblem(
        model, nn.CrossEntropyLoss(), (X, Y), radius=0.2, escape_drop=0.1
    )
    weights = torch.cat([model.weight.ravel(), model.bias]).detach().double()
    for seed in (0, 1):
        assert torch.isclose(
            (there.start(rng(seed)) - weights).norm(), torch.tensor(0.2).double()
        )
    assert torch.equal(there.saddle.point, weights)
    loss = there.loss(weights, None)
    assert not there.escaped(weights, loss)
    assert there.escaped(weights, loss - 0.2)


def test_a_checkpoint_is_the_start(tmp_path):
    file = tmp_path / "start.pt"
    model = net()
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()},
        },
        file,
    )
    problem = ModuleProblem(net, nn.CrossEntropyLoss(), (X, Y), checkpoint=file)
    known = torch.cat(
        [each.detach().ravel() for each in model.parameters()]
    ).double()
    assert torch.equal(problem.start(rng()), known)


def test_the_module_of_its_owner_stays_as_it_is():
    model = conv().train()
    kept = {name: each.clone() for name, each in model.state_dict().items()}
    problem = ModuleProblem(model, nn.CrossEntropyLoss(), (IMAGES, Y))
    Oracle(problem, eager=True).curvature(problem.start(rng())).hvp(
        problem.start(rng())
    )
    assert model.training
    assert all(
        torch.equal(kept[name], each) for name, each in model.state_dict().items()
    )
    assert problem.notes == (
        "batch norm uses its running averages, as in eval mode",
        "dropout is off",
    )


def test_a_criterion_that_sums_is_divided_by_the_examples():
    mean = ModuleProblem(net(), nn.CrossEntropyLoss(), (X, Y))
    total = ModuleProblem(net(), nn.CrossEntropyLoss(reduction="sum"), (X, Y))
    theta = mean.start(rng())
    for batch in (None, torch.tensor([1, 5])):
        assert torch.isclose(mean.loss(theta, batch), total.loss(theta, batch))
    assert total.notes == (
        "the criterion sums over examples: it is divided by their number",
    )


def fit_by_name(model, batch):
    return CE(model(batch["x"])[0], batch["y"])


def total_by_name(model, batch):
    return fit_by_name(model, batch) * len(batch["y"])


def mean_and_size(model, batch):
    return fit_by_name(model, batch) + 0.1 * model.out.weight.square().sum()


def test_a_loss_of_model_and_batch_takes_tuples_and_dicts_and_minibatches():
    named = {"x": X, "y": Y}
    torch.manual_seed(0)
    model = Pair()
    own, total = (
        ModuleProblem(model, fit, named) for fit in (fit_by_name, total_by_name)
    )
    theta = own.weights.theta()
    first = ModuleProblem(First(model), CE, (X, Y))
    for batch in (None, torch.tensor([1, 5, 5])):
        loss = first.loss(theta, batch)
        assert torch.isclose(own.loss(theta, batch), loss, rtol=1e-12)
        assert torch.isclose(total.loss(theta, batch), loss, rtol=1e-12)
    v = torch.randn(own.dim, generator=rng(7), dtype=torch.float64)
    torch.testing.assert_close(
        linearise(own, theta, None, eager=True).product(v),
        first.hessian(theta, None) @ v,
    )
    assert own.notes == ()
    assert "divided by their number" in total.notes[0]


def test_a_loss_of_model_and_batch_has_no_gauss_newton_matrix():
    problem = ModuleProblem(Pair(), mean_and_size, {"x": X, "y": Y})
    assert not problem.knows_outputs
    assert problem.notes == ()
    misfit = KrylovSaddleFreeNewton(curvature="gauss_newton").misfit(problem)
    assert "outputs and criterion are known apart" in misfit
    with pytest.raises(ModelError, match="no outputs of its own"):
        problem.outputs(problem.weights.theta(), None)


class Cube(torch.autograd.Function):
    """A function of one's own as torch's first guides write it, which torch.func refuses."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0] ** 2 * grad


def test_an_autograd_function_of_one_s_own_is_certified_too():
    def by_hand(z, y):
        return CE(Cube.apply(z), y)

    def by_torch(z, y):
        return CE(z**3, y)

    own, known = (
        ModuleProblem(net(), each, (X, Y)) for each in (by_hand, by_torch)
    )
    assert not own.vmappable
    found, theirs = (certify(each, each.weights.theta()) for each in (own, known))
    assert found.min_eigenvalue == pytest.approx(theirs.min_eigenvalue, rel=1e-9)
    assert found.end_point == theirs.end_point


def test_a_sparse_embedding_has_the_derivatives_of_a_dense_one():
    def words(sparse):
        torch.manual_seed(0)
        embedding = nn.Embedding(9, 4, sparse=sparse)
        return nn.Sequential(embedding, nn.Flatten(), nn.Linear(16, 3))

    sparse, dense = (
        ModuleProblem(words(each), CE, (WORDS, Y)) for each in (True, False)
    )
    theta = dense.weights.theta()
    torch.testing.assert_close(
        sparse.hessian(theta, None), dense.hessian(theta, None)
    )


def test_the_weights_of_classes_come_in_theta_s_dtype():
    weights = torch.tensor([1.0, 2.0, 0.5])
    problem = ModuleProblem(net(), nn.CrossEntropyLoss(weights), (X, Y))
    z = problem.outputs(problem.start(rng()), None)
    known = functional.cross_entropy(z.mT, Y, weights.double())
    assert torch.isclose(problem.loss(problem.start(rng()), None), known)


def test_weights_in_bfloat16_are_taken_as_they_are():
    model = net().bfloat16()
    problem = ModuleProblem(model, nn.CrossEntropyLoss(), (X, Y))
    assert torch.equal(problem.start(rng())[:30], model[0].weight.double().ravel())
    assert "bfloat16" in problem.notes[0]
