"""Saddle-free Newton in a Krylov subspace against the dense method, the paper's claims on a
saddle, and misuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfnbench.core.oracle import Oracle
from sfnbench.errors import SuiteError
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.session.execute import execute

MLP = {"size": 4, "n_examples": 60, "hidden": [3]}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def first_step(optimizer, problem, theta):
    oracle = Oracle(problem, eager=True, theta=theta)
    return (*optimizer.step(oracle, theta, optimizer.init(theta)), oracle)


@given(seed=st.integers(0, 99), damping=st.sampled_from([0.1, 1.0, "paper"]))
@settings(max_examples=25)
def test_in_the_whole_space_it_is_the_dense_method(seed, damping):
    """With as many vectors as parameters, the last one standing in for the update that is
    not there yet."""

    class Wide(Waves):
        dim = 6

    theta = Wide().start(rng(seed))
    dense, _, _ = first_step(SaddleFreeNewton(damping=damping), Wide(), theta)
    # k = d spans everything only without a previous update: make that one the missing direction
    optimizer = KrylovSaddleFreeNewton(damping=damping, k=6)
    state = optimizer.init(theta)._replace(
        update=torch.randn(6, generator=rng(seed + 1), dtype=torch.float64)
    )
    krylov, _ = optimizer.step(
        Oracle(Wide(), eager=True, theta=theta), theta, state
    )
    # the damping "paper" refuses what does not help
    if damping != "paper" or Wide().loss(dense, None) < Wide().loss(theta, None):
        torch.testing.assert_close(krylov, dense, rtol=1e-7, atol=1e-8)
    else:
        assert torch.equal(krylov, theta)


@pytest.mark.parametrize(
    "curvature", ["absolute", "hessian", "gauss_newton", "fisher"]
)
def test_each_curvature_is_the_restriction_of_its_matrix(curvature):
    problem = MultilayerPerceptron(**{**MLP, "hidden": (3,)})
    theta = problem.start(rng())
    after, state, oracle = first_step(
        KrylovSaddleFreeNewton(curvature=curvature, k=5, damping=0.1),
        problem,
        theta,
    )
    kind = "hessian" if curvature == "absolute" else curvature
    linear = Oracle(problem).curvature(theta, kind)
    A = torch.stack(
        [linear.hvp(e) for e in torch.eye(problem.dim, dtype=torch.float64)]
    )
    g = linear.grad
    powers = torch.stack([torch.linalg.matrix_power(A, i) @ g for i in range(4)])
    V = torch.linalg.qr(powers.mT)[0]  # no previous update: four vectors
    eigenvalues, Q = torch.linalg.eigh(V.mT @ A @ V)
    s = eigenvalues.abs() if curvature == "absolute" else eigenvalues
    step = -(V @ Q) @ ((Q.mT @ (V.mT @ g)) / (s + 0.1))
    torch.testing.assert_close(after - theta, step, rtol=1e-6, atol=1e-9)
    assert oracle.calls.counts.tolist() == [0, 1, 5, 0]
    if curvature in ("gauss_newton", "fisher"):
        assert state.n_negative == 0


def test_on_a_saddle_the_absolute_value_leaves_and_the_hessian_is_caught(make_run):
    saddle = {"eigenvalues": [10.0, 3.0, -0.5, -2.0], "radius": 1e-3}
    for curvature, escapes in (("absolute", True), ("hessian", False)):
        params = {"curvature": curvature, "k": 4, "damping": 1e-3}
        result = execute(
            make_run(
                "quadratic_saddle", saddle, "krylov_sfn", params, seeds=4, steps=60
            )
        )
        assert all(
            (row["escape_step"] is not None) is escapes for row in result.rows
        )
        if not escapes:
            assert {row["end_point"] for row in result.rows} == {"min-max saddle"}


def test_inner_steps_take_new_gradients_in_the_old_subspace():
    problem = MultilayerPerceptron(**{**MLP, "hidden": (3,)})
    theta = problem.start(rng())
    once, _, _ = first_step(KrylovSaddleFreeNewton(k=6), problem, theta)
    more, _, oracle = first_step(
        KrylovSaddleFreeNewton(k=6, inner_steps=4), problem, theta
    )
    # 6 losses an inner step, a gradient each, 6 products
    assert oracle.calls.counts.tolist() == [24, 4, 6, 0]
    start, one, four = (problem.loss(t, None) for t in (theta, once, more))
    assert four < one < start


def test_a_refused_step_stays_and_is_counted_and_twice_is_stuck(make_run):
    """Plain H at a point of strong negative curvature, with dampings too small to make it
    positive."""
    saddle = {"eigenvalues": [1.0, -50.0], "start_at": [1e-8, 1e-3]}
    params = {"curvature": "hessian", "k": 2, "damping": "paper"}
    result = execute(
        make_run("quadratic_saddle", saddle, "krylov_sfn", params, seeds=1, steps=5)
    )
    (row,) = result.rows
    assert (row["status"], row["n_refused"], row["steps"]) == ("stuck", 5, 5)
    assert result.series["n_negative"][0, 1] == 1
    assert result.series["damping"].shape == (1, 6)
    # a grid whose top exceeds |lambda_min| is not stuck
    wide = {**params, "damping": [1e3, 1e2, 1e1, 1.0]}
    (row,) = execute(
        make_run("quadratic_saddle", saddle, "krylov_sfn", wide, seeds=1, steps=200)
    ).rows
    assert row["n_refused"] == 0
    assert row["escape_step"] is not None


def test_curvature_may_have_a_batch_of_its_own(make_run):
    params = {"k": 4, "batch_size": 30, "curvature_batch_size": 10}
    result = execute(make_run("mlp", MLP, "krylov_sfn", params, seeds=2, steps=3))
    for row in result.rows:
        assert row["status"] == "ok"
        # a step: 4 products and their gradient on 10 of 60 examples, one gradient and 6 losses on
        # 30
        assert row["cost"] == pytest.approx(
            3 * ((4 * 2 + 1) * 10 / 60 + (1 + 6 / 3) * 30 / 60)
        )
    assert result.series["loss"][0, -1] < result.series["loss"][0, 0]


def test_seeds_share_a_batch_and_do_what_each_does_alone(make_run):
    params = {"k": 4, "inner_steps": 2}
    together = execute(
        make_run("mlp", MLP, "krylov_sfn", params, seeds=3, steps=2)
    ).series["loss"]
    for seed in range(3):
        alone = execute(
            make_run("mlp", MLP, "krylov_sfn", params, seeds=[seed], steps=2)
        ).series["loss"]
        assert together[seed] == pytest.approx(alone[0], rel=1e-7)


def test_curvature_that_is_not_a_number_diverges_alone(make_run, plugin):
    plugin(
        "problems",
        "blind",
        '''
from dataclasses import dataclass
import torch
from sfnbench import Problem, register

@register("blind")
@dataclass(frozen=True)
class Blind(Problem):
    """Its second derivative is not a number at zero, where its slope is."""
    dim = 2
    def start(self, rng):
        return torch.tensor([0.0, 1.0], dtype=torch.float64)
    def loss(self, theta, batch):
        return theta[0].abs().pow(1.5) + theta[0] + theta[1] ** 2
''',
    )
    (row,) = execute(make_run("blind", {}, "krylov_sfn", {}, seeds=1, steps=3)).rows
    assert row["status"] == "diverged"


@pytest.mark.parametrize(
    ("problem", "params", "message"),
    [
        (
            "quadratic_saddle",
            {"k": 3},
            "k = 3 Krylov vectors were asked for, but the problem has only 2 parameters",
        ),
        (
            "quadratic_saddle",
            {"curvature": "fisher"},
            "curvature fisher needs a network",
        ),
        (
            "mlp",
            {"batch_size": 5000},
            "a batch of 5000 was asked for, but the problem has only 1797 examples",
        ),
        ("mlp", {"curvature_batch_size": 1798}, "a batch of 1798 was asked for"),
        ("monkey_saddle", {"batch_size": 2}, "the problem has no minibatches"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    tmp_path, problem, params, message
):
    import yaml

    from sfnbench import load_suite, plan

    path = tmp_path / "s.yaml"
    path.write_text(
        yaml.safe_dump(
            {"problems": [problem], "optimizers": [{"use": "krylov_sfn", **params}]}
        )
    )
    with pytest.raises(SuiteError, match=message) as raised:
        plan(load_suite(path))
    assert str(raised.value).startswith(f"krylov_sfn on {problem}: ")
