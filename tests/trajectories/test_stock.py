"""Stock optimizers: checked by name and parameters, and set off in the way that each wants."""

import numpy as np
import pytest
import torch

from sfnbench.members.contract.shared import Waves
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.problems.quadratic_saddle import QuadraticSaddle
from sfnbench.trajectories import stock
from sfnbench.trajectories.torch_entry import ELEMENTWISE
from sfnbench.trajectories.torch_stock import Asking, Separate, Stacked

MLP = MultilayerPerceptron(size=3, n_examples=40, hidden=(3,))
WAVES = {"waves": Waves()}


def lifted(use, params, problem=MLP, seeds=(0, 1, 2)):
    starts = [problem.start(torch.Generator().manual_seed(seed)) for seed in seeds]
    return stock.lift_stock(problem, use, params, torch.stack(starts), seeds)


def advanced(use, params, problem=MLP, seeds=(0, 1, 2), n_steps=10):
    """Thetas (S, d) of the seeds after some steps."""
    trajectories = lifted(use, params, problem, seeds)
    for _ in range(n_steps):
        trajectories.step([(None,)] * len(seeds), None)
    return trajectories.theta


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        ("torch.optim.Adam", Stacked),
        ("torch.optim.Adafactor", Separate),
        ("prodigyopt.Prodigy", Separate),
        ("pytorch_optimizer.AliG", Asking),
    ],
)
def test_seeds_share_tensors_only_where_updates_take_each_number_by_itself(
    use, kind
):
    assert type(lifted(use, {}, seeds=(0,))) is kind
    assert stock.shares_batches(MLP, use, {}, torch.float64) == (kind is not Asking)


@pytest.mark.parametrize(
    ("use", "params"),
    [
        ("torch.optim.SGD", {"lr": 0.1, "momentum": 0.9, "clip": 0.5}),
        ("torch.optim.AdamW", {"groups": {"vectors": {"weight_decay": 0.0}}}),
        ("torch.optim.ASGD", {"schedule": {"use": "cosine", "steps": 8}}),
        *(
            (f"torch.optim.{name}", {})
            for name in sorted(c.__name__ for c in ELEMENTWISE)
        ),
        ("torch.optim.Adafactor", {}),
        ("torch.optim.Muon", {"groups": {"vectors": {"use": "torch.optim.AdamW"}}}),
        ("prodigyopt.Prodigy", {}),
        ("pytorch_optimizer.DAdaptSGD", {}),
        ("pytorch_optimizer.Magma", {}),  # draws a mask
        ("lion_pytorch:Lion", {}),
    ],
)
def test_a_seed_does_alone_what_it_does_among_others_in_any_order(use, params):
    together = advanced(use, params)
    backwards = advanced(use, params, seeds=(2, 1, 0)).flip(0)
    for i in range(3):
        alone = advanced(use, params, seeds=(i,))[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(backwards[i], alone, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cls", sorted(ELEMENTWISE, key=lambda cls: cls.__name__))
def test_no_number_has_a_say_in_another_s_update(cls):
    """Seeds may share tensors: other gradients of one row leave the other rows' bits alone."""
    rng = torch.Generator().manual_seed(0)
    ours = torch.randn(6, 3, 4, generator=rng, dtype=torch.float64)
    theirs = ours.clone()
    theirs[:, 0] *= -100
    ends = []
    for grads in (ours, theirs):
        leaf = torch.nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
        optimizer = cls([leaf], lr=0.1)
        for grad in grads:
            leaf.grad = grad.clone()
            optimizer.step()
        ends.append(leaf.detach())
    assert torch.equal(ends[0][1:], ends[1][1:])
    assert not torch.equal(ends[0][0], ends[1][0])


def test_dadaptsgd_escapes_when_it_does_alone():
    """It was coupled: seed 0 of a quadratic saddle escaped at step 28 among eight, alone at 18."""
    problem = QuadraticSaddle(eigenvalues=(10.0, -2.0), radius=1e-3)

    def escape(seeds):
        trajectories = lifted("pytorch_optimizer.DAdaptSGD", {}, problem, seeds)
        for step in range(1, 60):
            trajectories.step([(None,)] * len(seeds), None)
            theta = trajectories.theta[0]
            if problem.escaped(theta, problem.loss(theta, None)):
                return step
        return None

    assert escape(range(8)) == escape((0,)) is not None


@pytest.mark.parametrize("use", ["torch.optim.Adam", "torch.optim.Adafactor"])
def test_a_parked_trajectory_has_no_say_in_the_others(use):
    free, held = lifted(use, {}), lifted(use, {})
    held.park(np.array([False, True, False]))
    for _ in range(5):
        free.step([(None,)] * 3, None)
        held.step([(None,)] * 3, None)
    assert torch.equal(held.theta[[0, 2]], free.theta[[0, 2]])
    assert torch.equal(held.theta[1], held.starts[1])
    assert held.calls[:, 1].tolist() == [5, 0, 5]
    assert free.calls[:, 1].tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("use", "params", "path", "message"),
    [
        ("torch.optim.Adm", {}, (), "did you mean 'Adam'"),
        ("torch.optim.Adam", {"lrr": 0.1}, ("lrr",), "did you mean 'lr'"),
        (
            "torch.optim.Adam",
            {"lr": -1},
            ("lr",),
            "torch.optim.Adam: Invalid learning rate: -1",
        ),
        ("torch.optim.Adam", {"capturable": True}, ("capturable",), "capturable"),
        (
            "torch.optim.LBFGS",
            {"history_size": 7.5},
            ("history_size",),
            "whole number, not 7.5",
        ),
        (
            "torch.optim.SGD",
            {"batch_size": 0},
            ("batch_size",),
            "whole number of at least 1",
        ),
        ("torch.optim.Muon", {}, (), "it is for matrices, and there are none"),
        (
            "pytorch_optimizer.Muon",
            {},
            (),
            "it is for matrices, and there are none",
        ),
        (
            "pytorch_optimizer.LOMO",
            {},
            (),
            "pytorch_optimizer.LOMO: it has no step of its own",
        ),
        ("pytorch_optimizer.AdaLOMO", {}, (), "AdaLOMO: it has no step of its own"),
        (
            "pytorch_optimizer.SAM",
            {},
            (),
            "write base: {use: torch.optim.SGD, lr: 0.1}",
        ),
        ("pytorch_optimizer.FAdam", {}, (), "expected dtype float"),
    ],
)
def test_what_a_class_says_of_a_first_step_is_one_fault(use, params, path, message):
    ((found, said),) = stock.find_faults(use, params, WAVES)
    assert found == path
    assert message in said
    assert "\n" not in said


def test_a_class_that_fails_on_one_problem_alone_says_on_which():
    problems = {**WAVES, "mlp": MLP}
    entry = {"groups": {"vectors": {"use": "torch.optim.AdamW"}}}
    ((path, said),) = stock.find_faults("torch.optim.Muon", entry, problems)
    assert path == ()
    assert said.endswith("(on waves, float64)")
    assert stock.find_faults("torch.optim.Muon", entry, {"mlp": MLP}) == []
    assert (
        stock.find_faults("pytorch_optimizer.FAdam", {}, WAVES, ["float32"]) == []
    )


def test_right_names_and_parameters_pass():
    for use, params in [
        ("torch.optim.Adam", {"lr": 0.1, "betas": [0.9, 0.99]}),
        ("torch.optim:LBFGS", {"max_iter": 5}),
        ("scipy.optimize.L-BFGS-B", {"maxcor": 5, "tol": 1e-9}),
        ("lion_pytorch:Lion", {}),
    ]:
        assert stock.find_faults(use, params, WAVES) == []
