"""Where a number stopped being one is told of every seed that diverged."""

import pytest

from sfnbench.session.execute import execute

PROBLEM = """
from dataclasses import dataclass
import torch
from sfnbench import Problem, register
@register("holed")
@dataclass(frozen=True, kw_only=True)
class Holed(Problem):
    \"\"\"sum |x|^power: at zero its derivatives of high orders are not finite.\"\"\"
    power: float = 2.0
    dim = 2
    def start(self, rng):
        value = 0.0 if self.power else torch.nan
        return torch.full((2,), value, dtype=torch.float64)
    def loss(self, theta, batch):
        return (theta * theta).pow(self.power / 2).sum()
"""


@pytest.mark.parametrize(
    ("power", "optimizer", "params", "told"),
    [
        (-1.0, "gradient_descent", {}, "the loss"),
        (0.5, "gradient_descent", {}, "the gradient"),
        (2.5, "damped_newton", {"damping": 1.0}, "the Hessian"),
        (2.5, "krylov_sfn", {}, "the Hessian-vector product"),
    ],
)
def test_the_first_answer_that_is_not_finite_is_named(
    plugin, make_run, power, optimizer, params, told
):
    plugin("problems", "holed", PROBLEM)
    result = execute(
        make_run("holed", {"power": power}, optimizer, params, seeds=2, steps=3)
    )
    assert [(row["status"], row["not_finite"]) for row in result.rows] == [
        ("diverged", told)
    ] * 2


def test_a_step_of_finite_answers_is_the_optimizer_s_own_and_who_came_to_an_end_has_nothing_to_tell(
    plugin, make_run
):
    plugin(
        "optimizers",
        "leaping",
        """
from dataclasses import dataclass
from sfnbench import Optimizer, register
@register("leaping")
@dataclass(frozen=True, kw_only=True)
class Leaping(Optimizer):
    \"\"\"Divides by zero where the seed's first coordinate is negative.\"\"\"
    def step(self, oracle, theta, state):
        return theta - 0.01 * oracle.grad(theta) / (theta[0] > 0), state
""",
    )
    result = execute(
        make_run("quadratic_saddle", {}, "leaping", {}, seeds=8, steps=3)
    )
    told = {(row["status"], row.get("not_finite")) for row in result.rows}
    assert told == {("diverged", "the step"), ("ok", None)}
