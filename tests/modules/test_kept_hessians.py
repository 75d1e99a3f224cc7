"""Hessians that are kept: by their points, within a limit, and not inside a transform."""

import torch

from sfnbench.modules import kept_hessians
from sfnbench.modules.kept_hessians import KeptHessians


def test_points_are_known_by_their_numbers_and_make_room(monkeypatch):
    kept, taken = KeptHessians(), []

    def ask(theta):
        def take():
            taken.append(float(theta[0]))
            return theta.outer(theta)

        return kept.at(theta, take)

    a, b, c = (torch.full((3,), i, dtype=torch.float64) for i in (1.0, 2.0, 3.0))
    for theta in (a, b, a.clone(), b):
        assert torch.equal(ask(theta), theta.outer(theta))
    assert taken == [1, 2]
    ask(a.float())  # another precision
    assert taken == [1, 2, 1]
    monkeypatch.setattr(kept_hessians, "MOST_BYTES", 2 * 9 * 8)
    for theta in (c, c, a):
        ask(theta)
    assert taken == [1, 2, 1, 3, 1]
    monkeypatch.setattr(kept_hessians, "MOST_BYTES", 1)  # one is always kept
    for theta in (b, b):
        ask(theta)
    assert taken == [1, 2, 1, 3, 1, 2]


def test_inside_a_transform_nothing_is_kept():
    kept = KeptHessians()
    points = torch.eye(2, dtype=torch.float64)
    found = torch.func.vmap(lambda t: kept.at(t, lambda: t.outer(t)))(points)
    assert torch.equal(found, points[:, :, None] * points[:, None, :])
    assert not kept._kept
