"""Every member, of the package or shipped beside it, keeps every clause of the public contract."""

import pytest

from sfnbench.members import contract, registry

MEMBERS = [
    member
    for kind in registry.KINDS
    for member in registry.members(kind).values()
    if member.where
    != "package"  # the plugins of other packages that are installed here
]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_member_keeps_the_contract(member):
    found = contract.failures(registry.load(member))
    assert {name: message for name, message in found.items() if message} == {}


def test_every_member_is_there():
    names = {member.name for member in MEMBERS}
    assert names >= {
        "gradient_descent",
        "msgd",
        "damped_newton",
        "sfn",
        "noisy_gradient_descent",
    }
    assert names >= {
        "quadratic_saddle",
        "monkey_saddle",
        "mlp",
        "linear_autoencoder",
    }
