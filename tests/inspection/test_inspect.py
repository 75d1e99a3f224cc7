"""Inspections: against the dense Hessian, known spectra, and what interrupts them."""

import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import sfnbench
from sfnbench import ModelError, ModuleProblem, Problem
from sfnbench.inspection import inspect as inspection
from sfnbench.inspection.inspect import inspect_point
from sfnbench.linalg.newton_krylov import MOST_PRODUCTS
from sfnbench.problems.mlp import MultilayerPerceptron


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(40, 6, generator=rng(1))
Y = torch.randint(0, 3, (40,), generator=rng(2))
CE = nn.CrossEntropyLoss()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def all_eigenvalues(model):
    """Of the dense Hessian, by torch's own functional transforms."""
    names = {
        name: each.detach().double() for name, each in model.named_parameters()
    }
    shapes = [each.shape for each in names.values()]
    theta = torch.cat([each.ravel() for each in names.values()])

    def loss(t):
        parts = t.split([shape.numel() for shape in shapes])
        own = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return CE(torch.func.functional_call(model, own, (X.double(),)), Y)

    return torch.linalg.eigvalsh(torch.func.hessian(loss)(theta)), torch.func.grad(
        loss
    )(theta)


@pytest.mark.parametrize("dense", [1000, 0], ids=["dense", "products"])
def test_it_agrees_with_the_dense_hessian(monkeypatch, dense):
    monkeypatch.setattr(inspection, "DENSE", dense)
    known, grad = all_eigenvalues(net())
    found = sfnbench.inspect(
        net(), CE, (X, Y), dtype=torch.float64, n_products=7 * 53, progress=False
    )
    assert found.lowest == pytest.approx(float(known[0]), abs=1e-8)
    assert found.highest == pytest.approx(float(known[-1]), abs=1e-8)
    assert max(found.lowest_residual, found.highest_residual) < 1e-8
    assert found.gradient_norm == pytest.approx(float(grad.norm()), rel=1e-9)
    negative = known < -1e-6 * known.abs().max()
    share = float(negative.double().mean())
    weight = float(-known[negative].sum() / known.abs().sum())
    spread = max(4 * found.negative_share.error, 1e-9)
    assert found.negative_share.value == pytest.approx(share, abs=spread)
    spread = max(4 * found.negative_weight.error, 1e-6)
    assert found.negative_weight.value == pytest.approx(weight, abs=spread)
    assert sum(layer.lowest_share for layer in found.layers) == pytest.approx(1)
    trace = sum(
        layer.n_parameters * layer.curvature.value for layer in found.layers
    )
    error = sum(
        layer.n_parameters * layer.curvature.error for layer in found.layers
    )
    assert trace == pytest.approx(float(known.sum()), abs=4 * error + 1e-9)
    assert found.losses[len(found.losses) // 2] == pytest.approx(found.loss)


def test_a_residual_bounds_the_way_to_an_eigenvalue(monkeypatch):
    monkeypatch.setattr(inspection, "DENSE", 0)
    known, _ = all_eigenvalues(net())
    for n_products in (18, 30, 60):
        found = sfnbench.inspect(
            net(),
            CE,
            (X, Y),
            dtype=torch.float64,
            n_products=n_products,
            progress=False,
        )
        for end, bound in (
            (found.lowest, found.lowest_residual),
            (found.highest, found.highest_residual),
        ):
            assert (known - end).abs().min() <= bound + 1e-12


def test_a_saddle_is_certified_and_its_way_down_found():
    theta = torch.full((3,), 1.001, dtype=torch.float64)
    found = inspect_point(Shifted(), theta, "shifted")
    assert found.end_point == "min-max saddle"
    assert found.lowest == pytest.approx(-0.5)
    assert found.negative_share.value == pytest.approx(1 / 3)
    assert found.negative_weight.value == pytest.approx(0.5 / 13.5)
    assert found.root_distance < 0.01
    assert "min-max saddle" in found.verdict
    assert found.losses.min() < found.loss


@pytest.mark.parametrize(
    ("at", "kind"), [(1.001, "min-max saddle"), (3.0, "not certified")]
)
def test_products_alone_find_the_critical_point_and_its_kind(by_products, at, kind):
    theta = torch.full((3,), at, dtype=torch.float64)
    found = inspect_point(Shifted(), theta, "shifted")
    assert found.end_point == kind
    if at == 1.001:
        assert kind in found.verdict
        away = 0.001 * 3**0.5 / float(theta.norm())
        assert found.root_distance == pytest.approx(away, rel=1e-6)
    else:
        assert "no critical point was found near" in found.verdict
        leads = float((theta - 1).norm() / theta.norm())
        assert found.newton_step == pytest.approx(leads, rel=1e-9)
        assert f"Newton's step leads {leads:.2g} |theta| away" in str(found)


@pytest.fixture
def by_products(monkeypatch):
    """No Hessian is taken, neither for the spectrum nor for the certificate."""
    monkeypatch.setattr(inspection, "DENSE", 0)
    monkeypatch.setattr("sfnbench.metrics._hessian.DENSE_LIMIT", 0)


@dataclass(frozen=True)
class Diagonal(Problem):
    """A quadratic bowl with eigenvalues from 1e-12 to 1, far too many for 200 products."""

    dim: int = 1000

    def start(self, rng):
        return torch.ones(self.dim, dtype=torch.float64)

    def loss(self, theta, batch):
        values = torch.logspace(-12, 0, self.dim, dtype=torch.float64)
        return (values * theta.square() + theta).sum()


def test_a_step_that_products_do_not_solve_for_certifies_nothing(by_products):
    found = inspect_point(Diagonal(), torch.ones(1000).double(), "diagonal")
    assert found.end_point == "not certified"
    assert found.verdict.startswith("not certified; ")
    assert 1e-3 < found.unsolved < 1
    said = f"200 products leave {found.unsolved:.2g} of the gradient"
    assert said in str(found)
    assert "no critical point" not in str(found)
    json.dumps(found.to_dict())


def test_up_to_4096_parameters_newton_has_the_hessian(monkeypatch):
    monkeypatch.setattr(inspection, "DENSE", 0)
    theta = torch.full((3,), 1.001, dtype=torch.float64)
    found = inspect_point(Shifted(), theta, "shifted")
    assert (found.end_point, found.unsolved) == ("min-max saddle", None)


def test_a_slope_without_an_end_is_said_by_products_too(by_products):
    theta = torch.full((3,), 15.0, dtype=torch.float64)
    found = inspect_point(Tail(), theta, "tail")
    assert found.end_point == "ran away"
    assert "falls away from every critical point" in found.verdict


class Tail(Problem):
    """Sums of log(1 + exp(-x))."""

    dim = 3

    def start(self, rng):
        return torch.zeros(3, dtype=torch.float64)

    def loss(self, theta, batch):
        return nn.functional.softplus(-theta).sum()


class Shifted(Problem):
    """A quadratic saddle at (1, 1, 1), turned."""

    dim = 3

    def start(self, rng):
        return torch.ones(3, dtype=torch.float64)

    def loss(self, theta, batch):
        Q = torch.linalg.qr(
            torch.arange(9.0).view(3, 3).to(theta) + torch.eye(3).to(theta)
        )[0]
        z = Q @ (theta - 1)
        return (torch.tensor([10.0, 3.0, -0.5]).to(theta) * z**2).sum() / 2 + 1


def test_the_dead_net_is_a_degenerate_saddle_with_the_known_index():
    problem = MultilayerPerceptron(size=3, n_examples=60, hidden=(3,))
    (dead,) = problem.critical_points
    found = inspect_point(problem, dead.point, "dead")
    assert found.end_point == "min-max saddle"
    assert round(found.negative_share.value * problem.dim) == dead.index


def test_a_large_network_has_its_lowest_eigenvalue_within_the_stated_bound():
    problem = MultilayerPerceptron(size=5, n_examples=100, hidden=(30,))
    theta = problem.start(rng())
    assert problem.dim > inspection.DENSE
    found = inspect_point(problem, theta, "large")
    known = torch.linalg.eigvalsh(problem.hessian(theta, None))
    assert (known - found.lowest).abs().min() <= found.lowest_residual + 1e-12
    assert found.lowest == pytest.approx(float(known[0]), rel=1e-3)


def test_text_page_numbers_and_figures():
    found = sfnbench.inspect(net(), CE, (X, Y), progress=False)
    assert f"{found.lowest:.6g}" in str(found)
    assert str(found).startswith("Sequential: ")
    assert "\n" not in repr(found)
    page = found._repr_html_()
    assert "<table>" in page
    assert "2.weight" in page
    numbers = json.loads(json.dumps(found.to_dict()))
    assert numbers["lowest"] == found.lowest
    assert numbers["layers"][0]["curvature"]["error"] == 0
    assert numbers["verdict"] == found.verdict
    (density,) = found.spectrum().figure.panels[0].traces
    inside = np.nan_to_num(density.y)
    assert np.trapezoid(inside, density.x) == pytest.approx(1, rel=1e-3)
    loss, second = found.along().figure.panels[0].traces
    assert loss.y[10] == second.y[10]


def test_figures_show_themselves_and_are_saved(tmp_path):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    found = sfnbench.inspect(net(), CE, (X, Y), progress=False)
    for drawing in (found.spectrum(), found.along()):
        assert drawing._repr_png_().startswith(b"\x89PNG")
        assert drawing.svg().startswith("<svg")
        file = drawing.save(tmp_path / "figure.pdf")
        assert file.read_bytes().startswith(b"%PDF")
    with pytest.raises(
        sfnbench.SfnbenchError, match=r"ends with \.svg, \.pdf, \.png"
    ):
        found.along().save(tmp_path / "figure.doc")


def test_without_matplotlib_a_figure_is_its_name_and_saving_says_why(
    monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = sfnbench.inspect(net(), CE, (X, Y), progress=False)
    assert found.along()._repr_png_() is None
    assert "<svg" not in found._repr_html_()
    with pytest.raises(sfnbench.SfnbenchError, match="pip install"):
        found.along().save(tmp_path / "figure.png")


def test_an_interrupt_keeps_what_is_there(monkeypatch):
    monkeypatch.setattr(inspection, "DENSE", 0)
    calls = []

    def stop(self, seed):
        calls.append(seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection._Work, "probe", stop)
    found = sfnbench.inspect(net(), CE, (X, Y), progress=False)
    assert calls == [0]
    assert not found.is_complete
    assert found.loss is not None
    assert found.lowest is None
    assert "interrupted" in str(found)
    assert found.spectrum() is None


def test_the_number_of_products_is_known_before(by_products):
    problem = ModuleProblem(net(), CE, (X, Y))
    theta = problem.start(rng())
    work = inspection._Work(problem, theta, "net", 60)
    asked = []
    work.advance = asked.append
    for stage in work.stages():
        stage()
    in_spectrum = work.n_products - MOST_PRODUCTS - 2
    assert in_spectrum <= 62
    assert in_spectrum < sum(asked) <= work.n_products


def test_weights_of_bfloat16_are_looked_at_in_more_digits():
    found = sfnbench.inspect(net().bfloat16(), CE, (X, Y), progress=False)
    assert found.dtype == "float64"
    assert any("bfloat16" in note for note in found.notes)


class TwoOutputs(nn.Module):
    """A network that returns its hidden layer too."""

    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        return self.inner(x), self.inner[0](x)


def loss_with_hidden(model, batch):
    x, y = batch
    outputs, _ = model(x)
    return CE(outputs, y)


def test_a_loss_of_model_and_batch_finds_what_a_criterion_does():
    model = TwoOutputs()
    by_batch = sfnbench.inspect(model, loss_with_hidden, (X, Y)).to_dict()
    by_criterion = sfnbench.inspect(model.inner, CE, (X, Y)).to_dict()
    assert by_batch["loss"] == pytest.approx(by_criterion["loss"], rel=1e-12)
    assert by_batch["lowest"] == pytest.approx(by_criterion["lowest"], abs=1e-12)
    assert by_batch["end_point"] == by_criterion["end_point"]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (
            lambda model, batch: model(batch[0])[0],
            "one real number, such as a mean",
        ),
        (lambda model, batch: model(batch[1])[0].mean(), "model and batch fails"),
        (
            lambda model, batch: (model(batch[0])[0] * torch.rand(())).mean(),
            "no function of the weights",
        ),
    ],
    ids=["matrix", "targets as inputs", "random"],
)
def test_a_loss_of_model_and_batch_that_does_not_fit_is_one_line(loss, said):
    with pytest.raises(ModelError, match=said) as caught:
        sfnbench.inspect(TwoOutputs(), loss, (X, Y))
    assert "\n" not in str(caught.value)


class Once(torch.autograd.Function):
    """A function that has no second derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


def squared_once(z, y):
    return CE(Once.apply(z), y)


def test_a_function_without_a_second_derivative_is_said():
    """torch goes past one that is differentiable once, and gives another matrix."""
    said = "not what gradients differ by"
    found = sfnbench.inspect(net(), squared_once, (X, Y), progress=False)
    assert said in found.notes[-1]
    assert sfnbench.inspect(net(), CE, (X, Y), progress=False).notes == ()


def log_of_less(z, y):
    return torch.log(z.sum(1).mean() - 100)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: sfnbench.inspect(net(), CE, torch.utils.data.DataLoader([])),
            "the loader is empty",
        ),
        (
            lambda: sfnbench.inspect(net(), log_of_less, (X, Y)),
            "the loss of the first examples is nan",
        ),
        (
            lambda: sfnbench.inspect(net(), CE, (X, Y), dtype=torch.bfloat16),
            "dtype must be torch.float32 or torch.float64, got torch.bfloat16",
        ),
        (
            lambda: sfnbench.inspect(net().to("meta"), CE, (X, Y)),
            "'0.weight' is on the device meta",
        ),
    ],
    ids=["empty", "nan", "dtype", "meta"],
)
def test_bad_input_is_one_line(call, said):
    with pytest.raises(ModelError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_batches_by_name_and_a_loss_of_the_model_are_the_same_point():
    def loss(model, batch):
        return CE(model(batch["x"]), batch["y"])

    named = sfnbench.inspect(net(), loss, {"x": X, "y": Y}, progress=False)
    paired = sfnbench.inspect(net(), CE, (X, Y), progress=False)
    assert named.loss == pytest.approx(paired.loss, rel=1e-12)
    assert named.lowest == pytest.approx(paired.lowest, abs=1e-12)
