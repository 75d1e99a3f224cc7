"""The way back with what training scripts bring: schedulers, names, groups, dropout, attention."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from sfnbench import ModelError, as_torch_optimizer
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.msgd import MomentumSGD

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 4, (32,), generator=torch.Generator().manual_seed(2))


def net(*inner):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), *inner, nn.Linear(6, 4))


def loss_of(model):
    return lambda: functional.cross_entropy(model(X), Y)


def test_a_scheduler_sets_the_rate_of_each_step():
    x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = as_torch_optimizer(MomentumSGD(lr=0.5, momentum=0.0), [x])
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for factor in (1 - 0.5, 1 - 0.25, 1 - 0.125):
        before = x.item()
        optimizer.step(lambda: (x**2).sum() / 2)
        schedule.step()
        assert x.item() == pytest.approx(before * factor, rel=1e-15)
    saved = optimizer.state_dict()
    again = as_torch_optimizer(MomentumSGD(lr=0.5, momentum=0.0), [x])
    again.load_state_dict(saved)
    assert again.param_groups[0]["lr"] == 0.0625
    other = as_torch_optimizer(MomentumSGD(lr=0.3, momentum=0.0), [x])
    other.load_state_dict(saved)
    assert other.param_groups[0]["lr"] == 0.3


def test_names_and_groups_make_the_same_steps():
    ends = []
    for given in (
        lambda m: m.parameters(),
        lambda m: m.named_parameters(),
        lambda m: [{"params": m[0].parameters()}, {"params": m[2].parameters()}],
        lambda m: [{"params": list(m.named_parameters())}],
    ):
        model = net()
        optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), given(model))
        optimizer.step(loss_of(model))
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    assert all(torch.equal(end, ends[0]) for end in ends)
    with pytest.raises(ValueError, match=r"no settings of its own, got \['lr'\]"):
        as_torch_optimizer(
            MomentumSGD(lr=0.1), [{"params": model.parameters(), "lr": 1.0}]
        )


def test_a_parameter_that_is_frozen_midway_stays():
    model = net()
    optimizer = as_torch_optimizer(
        MomentumSGD(lr=0.1, momentum=0.9), model.parameters()
    )
    optimizer.step(loss_of(model))
    model[0].requires_grad_(False)
    kept, other = model[0].weight.clone(), model[2].weight.clone()
    optimizer.step(loss_of(model))
    assert torch.equal(model[0].weight, kept)
    assert not torch.equal(model[2].weight, other)
    second = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    second.step(loss_of(model))
    assert torch.equal(model[0].weight, kept)


def test_dropout_has_one_mask_a_step_and_another_in_the_next():
    model = net(nn.Dropout(0.5)).train()
    masks = []

    def loss():
        hidden = model[2](torch.ones(1, 64))
        masks.append(hidden)
        return functional.cross_entropy(model(X), Y)

    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    for _ in range(2):
        optimizer.step(loss)
        assert len(masks) > 1
        assert all(torch.equal(mask, masks[0]) for mask in masks)
        first = masks.pop()
        masks.clear()
    optimizer.step(loss)
    assert not torch.equal(masks[0], first)


def test_fused_attention_goes_back_twice():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 4)
    )
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    first = optimizer.step(loss_of(model))
    assert optimizer.step(loss_of(model)) < first


def test_a_compiled_module_runs_as_it_is_written():
    model = net()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    first = optimizer.step(loss_of(compiled))
    assert optimizer.step(loss_of(compiled)) < first


def test_a_scheduler_of_a_method_without_a_rate_is_told_so():
    model = net()
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    again = as_torch_optimizer(KrylovSaddleFreeNewton(), model.parameters())
    again.load_state_dict(optimizer.state_dict())
    for each in (optimizer, again, copy.deepcopy(optimizer)):
        with pytest.raises(KeyError) as caught:
            torch.optim.lr_scheduler.StepLR(each, 1)
        assert str(caught.value).startswith("KrylovSaddleFreeNewton has no 'lr'")
        assert "lr" not in each.param_groups[0]


def test_schedulers_of_other_kinds_set_the_rate():
    for make in (
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=4, cycle_momentum=False
        ),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 4),
    ):
        ends = []
        for kind in ("own", "torch"):
            x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
            if kind == "own":
                optimizer = as_torch_optimizer(
                    MomentumSGD(lr=0.5, momentum=0.0), [x]
                )
            else:
                optimizer = torch.optim.SGD([x], lr=0.5)
            schedule = make(optimizer)
            for _ in range(3):
                optimizer.zero_grad()
                loss = (x**2).sum() / 2
                loss.backward()
                optimizer.step(lambda x=x: (x**2).sum() / 2)
                schedule.step()
            ends.append(x.item())
        assert ends[0] == pytest.approx(ends[1], rel=1e-14)


@pytest.mark.parametrize(
    "method",
    [MomentumSGD(lr=0.1), KrylovSaddleFreeNewton()],
    ids=["msgd", "krylov"],
)
def test_a_sparse_embedding_makes_the_steps_of_a_dense_one(method):
    words = torch.randint(0, 9, (32, 3), generator=torch.Generator().manual_seed(3))
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        embedding = nn.Embedding(9, 4, sparse=sparse)
        model = nn.Sequential(embedding, nn.Flatten(), nn.Linear(12, 4))
        optimizer = as_torch_optimizer(method, model.parameters())
        for _ in range(2):
            optimizer.step(lambda m=model: functional.cross_entropy(m(words), Y))
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends)


def test_a_kernel_without_second_derivatives_is_refused_with_the_way_out():
    weight = nn.Parameter(torch.randn(1, 2, 5, 4))

    def fused():
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            found = functional.scaled_dot_product_attention(weight, weight, weight)
        return found.square().mean()

    start = weight.detach().clone()
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), [weight])
    with pytest.raises(
        ModelError, match=r"SDPBackend.MATH for attention"
    ) as caught:
        optimizer.step(fused)
    assert "\n" not in str(caught.value)
    assert torch.equal(weight.detach(), start)
    as_torch_optimizer(MomentumSGD(lr=0.1), [weight]).step(fused)
    assert not torch.equal(weight.detach(), start)


def test_a_loss_that_is_no_number_is_said_where_a_finite_step_remains():
    weight = nn.Parameter(-torch.ones(3))
    optimizer = as_torch_optimizer(KrylovSaddleFreeNewton(), [weight])
    with pytest.raises(
        FloatingPointError, match="no finite step from a loss of nan"
    ):
        optimizer.step(lambda: weight.log().sum())
    assert torch.equal(weight.detach(), -torch.ones(3))


def test_a_recomputed_module_takes_the_steps_of_a_plain_one():
    ends = []
    for call in (lambda m: m(X), lambda m: checkpoint(m, X, use_reentrant=False)):
        model = net(nn.BatchNorm1d(6), nn.Dropout(0.5)).train()
        torch.manual_seed(1)
        optimizer = as_torch_optimizer(MomentumSGD(lr=0.1), model.parameters())
        optimizer.step(lambda m=model, c=call: functional.cross_entropy(c(m), Y))
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends)
