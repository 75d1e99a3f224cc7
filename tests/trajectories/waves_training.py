"""What the tests of the way back share: methods of every kind, and `Waves` cut into parameters."""

import pytest
import torch
from torch import nn

from sfnbench.members import registry
from sfnbench.members.contract.shared import Waves
from sfnbench.optimizers.damped_newton import DampedNewton
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.krylov_sfn import KrylovSaddleFreeNewton
from sfnbench.optimizers.msgd import MomentumSGD
from sfnbench.optimizers.sfn import SaddleFreeNewton
from sfnbench.optimizers.switch import Switch

NOISY = registry.load(registry.find("optimizer", "noisy_gradient_descent"))
METHODS = [
    GradientDescent(lr=0.1),
    MomentumSGD(lr=0.1),
    MomentumSGD(lr=0.1, nesterov=True, schedule="sutskever", clip=0.5),
    DampedNewton(damping=2.0),
    SaddleFreeNewton(damping=0.1),
    SaddleFreeNewton(damping="paper", noise=1e-3),
    KrylovSaddleFreeNewton(k=4),
    KrylovSaddleFreeNewton(k=3, inner_steps=2, damping=0.3),
    NOISY(lr=0.1, noise=0.1),
    Switch(
        first=MomentumSGD(lr=0.1),
        then=KrylovSaddleFreeNewton(k=4),
        window=1,
        gain=0.9,
    ),  # switches after two steps
]


def name(method):
    return type(method).name


every_method = pytest.mark.parametrize("method", METHODS, ids=name)


def normal(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def waves(*params):
    return Waves().loss(torch.cat([param.reshape(-1) for param in params]), None)


def leaves(theta, sizes):
    return [nn.Parameter(part.clone()) for part in theta.split(sizes)]


def vector(params):
    return torch.cat([param.detach().reshape(-1) for param in params])
