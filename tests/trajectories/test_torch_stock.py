"""Optimizers of torch and like it, against the same classes run by hand on plain modules."""

import random

import numpy as np
import pytest
import pytorch_optimizer
import schedulefree
import torch
from torch.nn import functional
from torch.optim import lr_scheduler

from sfnbench.datasets import load
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories import stock
from sfnbench.trajectories.chance import lent_generators, reseed

PROBLEM = MultilayerPerceptron(size=3, n_examples=40, hidden=(3,))
N_STEPS = 8
CPU = torch.device("cpu")
PACKAGES = {
    "torch.optim": torch.optim,
    "pytorch_optimizer": pytorch_optimizer,
    "schedulefree": schedulefree,
}
ADAMW = {"use": "torch.optim.AdamW", "lr": 0.01}


def start(seed=0):
    return PROBLEM.start(torch.Generator().manual_seed(seed))


def by_sfnbench(use, params, n_steps=N_STEPS, seed=0):
    trajectories = stock.lift_stock(
        PROBLEM, use, params, start(seed)[None], (seed,)
    )
    for _ in range(n_steps):
        trajectories.step([(None,)], None)
    return trajectories


class ByHand:
    """A plain module with the start of a seed, its loss, and what is counted of it."""

    def __init__(self, seed=0):
        images = load("digits", size=3, n_examples=40)
        self.x = torch.from_numpy(images.x).flatten(1)
        self.y = torch.from_numpy(images.y).long()
        n_in, n_hidden, n_out = PROBLEM.widths
        layers = [
            torch.nn.Linear(n_in, n_hidden),
            torch.nn.Tanh(),
            torch.nn.Linear(n_hidden, n_out),
        ]
        self.net = torch.nn.Sequential(*layers).double()
        tensors = PROBLEM.tensors(start(seed)).values()
        for parameter, tensor in zip(self.net.parameters(), tensors, strict=True):
            parameter.data.copy_(tensor)
        self.n_grads, self.optimizer = 0, None

    @property
    def params(self):
        return list(self.net.parameters())

    @property
    def matrices(self):
        return [parameter for parameter in self.params if parameter.dim() == 2]

    @property
    def vectors(self):
        return [parameter for parameter in self.params if parameter.dim() == 1]

    def loss(self):
        return functional.cross_entropy(self.net(self.x), self.y)

    @torch.enable_grad()
    def backward(self, create_graph=False):
        self.n_grads += 1
        self.net.zero_grad()
        loss = self.loss()
        loss.backward(create_graph=create_graph)
        return loss

    def theta(self):
        theta = torch.empty(PROBLEM.dim, dtype=torch.float64)
        tensors = PROBLEM.tensors(theta).values()
        for tensor, parameter in zip(tensors, self.params, strict=True):
            tensor.copy_(parameter.detach())
        return theta


def agree(trajectories, hand):
    torch.testing.assert_close(
        trajectories.theta[0], hand.theta(), rtol=1e-9, atol=1e-11
    )
    assert trajectories.calls[0, 1] == hand.n_grads


# -- what a step wants -----------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["Adam", "Adafactor", "LBFGS"])
def test_tensors_have_the_shapes_of_the_network(use):
    hand = ByHand()
    settings = {"lr": 0.05, "max_iter": 3} if use == "LBFGS" else {"lr": 0.05}
    optimizer = getattr(torch.optim, use)(hand.params, **settings)
    for _ in range(3):
        if use == "LBFGS":
            optimizer.step(hand.backward)
        else:
            hand.backward()
            optimizer.step()
    agree(by_sfnbench(f"torch.optim.{use}", settings, n_steps=3), hand)


def test_a_step_that_takes_a_gradient_before_its_closure_gets_one():
    hand = ByHand()
    optimizer = pytorch_optimizer.SAM(
        hand.params, torch.optim.SGD, lr=0.1, rho=0.02
    )
    for _ in range(N_STEPS):
        hand.backward()
        optimizer.step(hand.backward)
    params = {"base": {"use": "torch.optim.SGD", "lr": 0.1}, "rho": 0.02}
    agree(by_sfnbench("pytorch_optimizer.SAM", params), hand)
    assert hand.n_grads == 2 * N_STEPS


def test_a_closure_that_is_wanted_at_run_time_alone_is_given():
    hand = ByHand()
    optimizer = pytorch_optimizer.AliG(hand.params)
    for _ in range(N_STEPS):
        optimizer.step(hand.backward)
    agree(by_sfnbench("pytorch_optimizer.AliG", {}), hand)
    assert hand.n_grads == N_STEPS


# torch warns about the plain loop
@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize(
    ("name", "n_products"), [("AdaHessian", 3), ("SophiaH", 3)]
)
def test_gradients_have_their_graph_and_products_are_counted(name, n_products):
    hand = ByHand()
    settings = {"lr": 0.01, "update_period": 3}
    optimizer = getattr(pytorch_optimizer, name)(hand.params, **settings)
    with lent_generators(CPU):
        for step in range(1, N_STEPS + 1):
            reseed(0, step, CPU)
            hand.backward(create_graph=True)
            optimizer.step()
    trajectories = by_sfnbench(f"pytorch_optimizer.{name}", settings)
    agree(trajectories, hand)
    # the products are asked for in steps 1, 4 and 7
    assert trajectories.calls[0].tolist() == [0, N_STEPS, n_products, 0]


@pytest.mark.parametrize(
    "use", ["schedulefree.AdamWScheduleFree", "pytorch_optimizer.SPlus"]
)
def test_a_method_with_modes_is_measured_at_its_own_result(use):
    package, _, name = use.rpartition(".")
    hand = ByHand()
    cls = getattr(PACKAGES[package], name)
    optimizer = cls(hand.params, lr=0.05)
    optimizer.train()
    for _ in range(N_STEPS):
        hand.backward()
        optimizer.step()
    gradients_at = hand.theta()
    optimizer.eval()
    trajectories = by_sfnbench(use, {"lr": 0.05})
    agree(trajectories, hand)
    assert not torch.allclose(trajectories.theta[0], gradients_at)
    # the losses on the way are of other points
    assert trajectories.loss_before is None


# -- wrappers, groups, schedules, clipping ---------------------------------------------------------


@pytest.mark.parametrize("key", ["base", "optimizer"])
def test_wrappers_have_an_optimizer_inside(key):
    hand = ByHand()
    optimizer = pytorch_optimizer.Lookahead(
        torch.optim.SGD(hand.params, lr=0.1), k=3
    )
    for _ in range(N_STEPS):
        hand.backward()
        optimizer.step()
    params = {key: {"use": "torch.optim.SGD", "lr": 0.1}, "k": 3}
    agree(by_sfnbench("pytorch_optimizer.Lookahead", params), hand)
    # what the wrapper hands on
    by_name = {key: "torch.optim.SGD", "lr": 0.1, "k": 3}
    agree(by_sfnbench("pytorch_optimizer.Lookahead", by_name), hand)


def test_a_wrapper_may_wrap_a_wrapper():
    hand = ByHand()
    inner = pytorch_optimizer.Lookahead(torch.optim.SGD(hand.params, lr=0.1), k=3)
    optimizer = pytorch_optimizer.ScheduleFreeWrapper(inner)
    optimizer.train()
    for _ in range(N_STEPS):
        hand.backward()
        optimizer.step()
    optimizer.eval()
    lookahead = {"use": "pytorch_optimizer.Lookahead", "k": 3}
    params = {"base": {**lookahead, "base": {"use": "torch.optim.SGD", "lr": 0.1}}}
    agree(by_sfnbench("pytorch_optimizer.ScheduleFreeWrapper", params), hand)


def test_another_optimizer_takes_what_a_group_names():
    hand = ByHand()
    optimizers = [
        torch.optim.Muon(hand.matrices, lr=0.02),
        torch.optim.AdamW(hand.vectors, lr=0.01),
    ]
    for _ in range(N_STEPS):
        hand.backward()
        for optimizer in optimizers:
            optimizer.step()
    agree(
        by_sfnbench("torch.optim.Muon", {"lr": 0.02, "groups": {"vectors": ADAMW}}),
        hand,
    )
    muon = {"use": "torch.optim.Muon", "lr": 0.02}
    from_the_other_side = {"lr": 0.01, "groups": {"matrices": muon}}
    agree(by_sfnbench("torch.optim.AdamW", from_the_other_side), hand)


@pytest.mark.parametrize("selector", ["vectors", "*.bias", "layer?.bias"])
@pytest.mark.parametrize("use", ["torch.optim.AdamW", "pytorch_optimizer.AdamP"])
def test_weight_decay_that_leaves_biases_out_is_one_line(use, selector):
    package, _, name = use.rpartition(".")
    cls = getattr(PACKAGES[package], name)
    hand = ByHand()
    groups = [
        {"params": hand.matrices},
        {"params": hand.vectors, "weight_decay": 0.0},
    ]
    optimizer = cls(groups, lr=0.01, weight_decay=0.3)
    for _ in range(N_STEPS):
        hand.backward()
        optimizer.step()
    params = {
        "lr": 0.01,
        "weight_decay": 0.3,
        "groups": {selector: {"weight_decay": 0.0}},
    }
    agree(by_sfnbench(use, params), hand)


@pytest.mark.parametrize(
    ("schedule", "made"),
    [
        (
            {"use": "cosine", "steps": 6},
            lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
        ),
        ({"use": "StepLR", "step_size": 3}, lambda o: lr_scheduler.StepLR(o, 3)),
        (
            {
                "use": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                "patience": 0,
                "threshold": 0.5,
            },
            lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.5),
        ),
    ],
)
def test_schedules_of_torch_by_name(schedule, made):
    hand = ByHand()
    optimizer = torch.optim.SGD(hand.params, lr=0.5)
    scheduler = made(optimizer)
    for step in range(N_STEPS):
        loss = hand.backward()
        optimizer.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss.item())
        elif step < 6:  # torch's cosine goes up again, here it has ended
            scheduler.step()
    agree(by_sfnbench("torch.optim.SGD", {"lr": 0.5, "schedule": schedule}), hand)


@pytest.mark.parametrize(
    "use", ["torch.optim.SGD", "pytorch_optimizer.SGDW", "torch.optim.LBFGS"]
)
@pytest.mark.parametrize(
    ("clip", "clipping"),
    [
        (0.1, lambda params: torch.nn.utils.clip_grad_norm_(params, 0.1)),
        (
            {"value": 0.02},
            lambda params: torch.nn.utils.clip_grad_value_(params, 0.02),
        ),
    ],
)
def test_gradients_are_clipped_for_all(use, clip, clipping):
    package, _, name = use.rpartition(".")
    cls = getattr(PACKAGES[package], name)
    hand = ByHand()
    settings = {"lr": 0.5, "max_iter": 1} if name == "LBFGS" else {"lr": 0.5}
    optimizer = cls(hand.params, **settings)

    def closure():
        loss = hand.backward()
        clipping(hand.params)
        return loss

    for _ in range(3):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    agree(by_sfnbench(use, {**settings, "clip": clip}, n_steps=3), hand)


# -- chance ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "params"),
    [
        ("pytorch_optimizer.Magma", {}),
        ("pytorch_optimizer.BSAM", {"num_data": 40}),
        ("pytorch_optimizer.AdaHessian", {}),
        ("pytorch_optimizer.Kron", {}),
    ],
)
def test_all_that_is_drawn_follows_from_seed_and_step(use, params):
    torch.manual_seed(1)
    first = by_sfnbench(use, params).theta
    torch.manual_seed(2)
    random.seed(2)
    np.random.seed(2)
    states = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    )
    second = by_sfnbench(use, params).theta
    assert torch.equal(first, second)
    after = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    )
    # nothing of the harness's own is drawn or seeded
    assert torch.equal(after[0], states[0])
    assert after[1:] == states[1:]


def test_seeds_draw_differently():
    first = by_sfnbench(
        "pytorch_optimizer.BSAM", {"num_data": 1}, n_steps=1, seed=0
    )
    starts = start(0)[None]
    other = stock.lift_stock(
        PROBLEM, "pytorch_optimizer.BSAM", {"num_data": 1}, starts, (1,)
    )
    other.step([(None,)], None)
    assert not torch.allclose(first.theta, other.theta)
