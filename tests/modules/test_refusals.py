"""What does not fit a module as a problem is one clear line."""

import pytest
import torch
from networks import CE, Dropping, Pair, X, Y, net
from torch import nn
from torch.nn import functional

from sfnbench import ModelError, ModuleProblem


class Away(Dropping):
    def forward(self, x):
        return self.out(x + torch.zeros(6, device="meta"))


class Looked(Dropping):
    def forward(self, x):
        return functional.embedding(
            x.long() % 6, self.out.weight.mT, sparse=True
        ).sum(1)


class Detached(Dropping):
    def forward(self, x):
        return self.out(x).detach()


class Own(Dropping):
    def forward(self, x):
        return self.out(x + torch.zeros(6))[:, :1] * torch.ones(1, 3)


def normed():
    return net(nn.BatchNorm1d(5, track_running_stats=False))


def broken():
    model = net()
    model[2].bias.data[1] = torch.nan
    return model


WRONG = [
    (
        Dropping,
        CE,
        (X, Y),
        "no function of the weights.*dropout is on in eval mode too",
    ),
    (Pair, CE, (X, Y), "returns a tuple of 2, but one tensor"),
    (broken, CE, (X, Y), r"1 of 3 numbers of '2.bias' are not finite"),
    (net, CE, (X[:, :4], Y), r"does not take inputs of shape \(4,\): mat1"),
    (net, CE, (X, Y[:5]), "differ in length: 5 and 24"),
    (net, CE, (X[:0], Y[:0]), "the data are empty"),
    (net, CE, X, "must be a pair"),
    (net, CE, (X / 0, Y), "numbers of the inputs are not finite"),
    (
        net,
        nn.CrossEntropyLoss(reduction="none"),
        (X, Y),
        r"must return one number.*\(24,\)",
    ),
    (net, nn.MSELoss(), (X, Y), "the criterion"),
    (net, lambda z, y: z.sum() ** 2, (X, Y), "neither a mean nor a sum"),
    (Away, CE, (X, Y), "device.*register_buffer them"),
    (Looked, CE, (X, Y), "no gradient: .*sparse=False"),
    (Detached, CE, (X, Y), "no gradient: .*detached from the weights"),
    (net, CE, (X.long(), Y), r"does not take inputs of shape \(6,\): .*dtype"),
    (
        net,
        CE,
        {"x": X, "y": Y},
        r"a dict of 'x', 'y': give a loss of \(model, batch\)",
    ),
    (Pair, lambda model, batch: batch["x"], (X, Y), "model and batch fails: "),
    (lambda: net().to("meta"), CE, (X, Y), "'0.weight' is on the device meta"),
    (lambda: 3, CE, (X, Y), "must be a torch.nn.Module"),
    (lambda: net().requires_grad_(False), CE, (X, Y), "no parameter to train"),
    (lambda: nn.LazyLinear(3), CE, (X, Y), "has no shape yet"),
]


@pytest.mark.parametrize(("model", "criterion", "data", "message"), WRONG)
def test_what_does_not_fit_is_one_clear_line(model, criterion, data, message):
    with pytest.raises(ModelError, match=message) as raised:
        ModuleProblem(model, criterion, data)
    assert "\n" not in str(raised.value)


def test_batch_statistics_are_said():
    problem = ModuleProblem(normed, CE, (X, Y))
    assert "batch statistics" in problem.notes[0]
