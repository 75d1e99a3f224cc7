"""A suite may name methods whose packages are not installed: only runs of them are refused."""

import re
from pathlib import Path

import pytest
from suite_writing import enter, load, race

from sfnbench.errors import SuiteError
from sfnbench.suite.plan import plan
from sfnbench.suite.reading import Suite

ABSENT = "absent_package"
NEEDY = f"""
from dataclasses import dataclass
import {ABSENT}
from sfnbench import Optimizer, register

@register("needy")
@dataclass(frozen=True)
class Needy(Optimizer):
    def step(self, oracle, theta, state):
        return theta, state
"""
# Each names the package in its own way: a class, a plugin, one of a group, a schedule
ENTRIES = (
    f"{ABSENT}.Lion",
    "needy",
    f"{{use: torch.optim.SGD, groups: {{vectors: {{use: {ABSENT}.Lion}}}}}}",
    f"{{use: torch.optim.SGD, schedule: {{use: {ABSENT}.Cosine}}}}",
)


@pytest.fixture(autouse=True)
def needy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)
    folder = tmp_path / "plugins" / "optimizers"
    folder.mkdir(parents=True)
    (folder / "needy.py").write_text(NEEDY)


def refused(suite: Suite, *names: str) -> str:
    with pytest.raises(SuiteError) as caught:
        plan(suite, optimizers=names or None)
    return str(caught.value)


@pytest.mark.parametrize("entry", ENTRIES)
def test_another_method_runs_and_this_one_is_refused(entry: str) -> None:
    suite = load(race(f"[suite_probe, {entry}]"))
    assert [run.title for run in plan(suite, optimizers=["suite_probe"])] == [
        "suite_probe on suite_bowl"
    ]
    (absent,) = suite.absent
    for names in ((), (absent.use,), (absent.label, "suite_probe")):
        assert re.fullmatch(
            rf"s\.yaml:2:\d+: .*'{ABSENT}'.*", refused(suite, *names)
        )


def test_each_absent_method_that_is_picked_has_a_line() -> None:
    entries = f"{ABSENT}.A, {{use: {ABSENT}.B, label: b}}, {{use: {ABSENT}.B, label: c, lr: 1}}"
    suite = load(race(f"[suite_probe, {entries}]"))
    assert len(refused(suite).splitlines()) == 3
    assert len(refused(suite, f"{ABSENT}.B").splitlines()) == 2
    assert len(refused(suite, "c", "nosuch").splitlines()) == 2


def test_mistakes_of_the_text_are_said_beside_it() -> None:
    with pytest.raises(SuiteError) as caught:
        load(race(f"[{ABSENT}.A, {{use: suite_probe, nosuch: 1}}]"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_module_that_its_package_lacks_is_a_mistake_of_the_text() -> None:
    with pytest.raises(SuiteError, match=r"No module named 'torch\.optimm'"):
        load(race("[suite_probe, torch.optimm.Adam]"))


def test_what_the_suite_itself_needs_is_refused_at_once() -> None:
    switch = f"{{use: switch, first: msgd, then: {{use: {ABSENT}.A}}}}"
    with pytest.raises(SuiteError):
        load(race(f"[suite_probe, {switch}]"))


def test_an_absent_method_cannot_join() -> None:
    assert refused(load(race()), f"{ABSENT}.A").endswith(f"named '{ABSENT}'")


def test_tuning_goes_on_without_it(sfnbench, here) -> None:
    lr = "{loguniform: [1e-2, 1e-1]}"
    methods = f"{{use: gradient_descent, lr: {lr}}}, {{use: {ABSENT}.A, lr: {lr}}}"
    (here / "suites" / "tuned.yaml").write_text(
        "seeds: 1\nbudget: {steps: 2}\ntune: {trials: 2, seeds: 1}\n"
        f"problems: [quadratic_saddle]\noptimizers: [{methods}]\n"
    )
    words = ("run", "tuned", "--engine", "inline")
    assert sfnbench(*words)[0] == 2
    assert sfnbench(*words, "-o", "gradient_descent")[0] == 0
