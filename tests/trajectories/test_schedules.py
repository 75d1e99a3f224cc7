"""Learning rates that change from step to step, at steps whose rates are known."""

import pytest
import torch
from torch.optim import lr_scheduler

from sfnbench.trajectories.schedules import Course, read_schedule


def rates(schedule, n_steps):
    """The rates of these steps, with a rate of 1 before any schedule."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(n_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_courses_at_known_steps():
    cosine = Course("cosine", steps=8)
    assert [cosine(step) for step in (0, 4, 8, 100)] == pytest.approx(
        [1, 0.5, 0, 0]
    )
    linear = Course("linear", steps=10, warmup=2, end=0.5)
    assert [linear(step) for step in (0, 1, 2, 6, 10)] == pytest.approx(
        [0.5, 1, 1, 0.75, 0.5]
    )
    warm = Course("constant", warmup=4)
    assert [warm(step) for step in range(6)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1]
    )


def test_schedules_may_be_made_of_schedules():
    parts = [
        {"use": "StepLR", "step_size": 1, "gamma": 0.5},
        {"use": "cosine", "steps": 4},
    ]
    schedule = read_schedule(
        {"use": "SequentialLR", "schedulers": parts, "milestones": [2]}
    )
    assert rates(schedule.made, 4)[:2] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("given", "by_hand"),
    [
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, 8)),
        ("CosineAnnealingLR", lambda o: lr_scheduler.CosineAnnealingLR(o, 8)),
        (
            {"use": "OneCycleLR", "max_lr": 2.0},
            lambda o: lr_scheduler.OneCycleLR(o, max_lr=2.0, total_steps=8),
        ),
        ("linear", lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=8)),
    ],
)
def test_steps_that_are_not_given_are_the_budget_s(given, by_hand):
    found = rates(read_schedule(given, 8).made, 8)
    assert found == pytest.approx(rates(by_hand, 8), abs=1e-12)


def test_steps_that_are_given_go_before_the_budget_s():
    assert (
        read_schedule({"use": "cosine", "steps": 4}, 8).settings["lr_lambda"](4)
        == 0
    )
    given = {"use": "CosineAnnealingLR", "T_max": 4}
    assert read_schedule(given, 8).settings["T_max"] == 4


@pytest.mark.parametrize("given", ["cosine", "CosineAnnealingLR", "linear"])
def test_without_steps_and_without_a_budget_the_schedule_asks_for_them(given):
    with pytest.raises(ValueError, match=r"no budget says them here: \{use: "):
        read_schedule(given)


def test_a_schedule_that_ends_before_the_budget_is_refused():
    given = {"use": "OneCycleLR", "max_lr": 2.0, "total_steps": 7}
    with pytest.raises(
        ValueError, match="ends after 7 steps, and the budget has 8"
    ):
        read_schedule(given, 8)


def test_a_budget_may_end_within_the_warmup():
    course = read_schedule({"use": "cosine", "warmup": 10}, 5).settings["lr_lambda"]
    assert [course(step) for step in range(5)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5]
    )
