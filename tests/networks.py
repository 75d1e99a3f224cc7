"""Small networks of all kinds, with their data: what tests of a user's own module look at."""

import torch
from torch import nn
from torch.nn import functional


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


CE = nn.CrossEntropyLoss()
X = torch.randn(24, 6, generator=rng(1))
Y = torch.randint(0, 3, (24,), generator=rng(2))
IMAGES = torch.randn(24, 1, 6, 6, generator=rng(3))
WORDS = torch.randint(0, 9, (24, 4), generator=rng(4))


def net(*inner):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), *inner, nn.Tanh(), nn.Linear(5, 3))


class Words(nn.Module):
    """An embedding, and a recurrent layer or one of attention."""

    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.kind = kind
        if kind == "attention":
            self.inner = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        else:
            self.inner = getattr(nn, kind)(4, 3, batch_first=True)
        self.out = nn.LazyLinear(3)
        self.forward(WORDS)

    def forward(self, words):
        found = self.inner(self.embedding(words))
        return self.out(
            found.mean(1) if self.kind == "attention" else found[0][:, -1]
        )


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.b.weight = self.a.weight
        self.spare = nn.Parameter(torch.ones(2))
        self.out = nn.Linear(6, 3)
        self.out.bias.requires_grad_(False)

    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))


def conv():
    inner = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Softplus(), nn.MaxPool2d(2)
    return nn.Sequential(*inner, nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3))


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        return self.out(functional.dropout(x))


class Pair(Dropping):
    def forward(self, x):
        return self.out(x), x


class First(nn.Module):
    def __init__(self, pair):
        super().__init__()
        self.pair = pair

    def forward(self, x):
        return self.pair(x)[0]
