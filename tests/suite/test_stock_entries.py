"""Whatever is wrong with a stock optimizer is one line with its place, before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from suite_writing import enter, expect, load, race

from sfnbench.experiments.race.execute import execute
from sfnbench.suite.plan import plan

MLP = "[{use: mlp, dataset: digits, size: 3, n_examples: 40, hidden: [3]}]"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)


def test_faults_stand_at_their_places() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        optimizers:
          - §torch.optim.Muon
          - {use: torch.optim.SGD, groups: {matrices: §3}}
          - {use: torch.optim.SGD, groups: {vectors: {§lrr: 1}}}
          - {use: torch.optim.AdamW, schedule: §{use: cosine, steps: 0}}
          - {use: pytorch_optimizer.SAM, base: §{lr: 0.1}}
          - {use: pytorch_optimizer.Lookahead, base: {use: §torch.optim.SDG}}
          - {use: §pytorch_optimizer.LOMO}
          - {use: torch.optim.Adam, clip_grad_norm: §-1}
          - {use: torch.optim.SGD, groups: {matrices: §{lr: 1}}}
          - {use: torch.optim.RMSprop, lr: §-0.1}
          - {use: torch.optim.NAdam, schedule: §StepLR}
          - §pytorch_optimizer.AdaMuon
        """,
        "torch.optim.Muon: it is for matrices, and there are none: there is theta (1 dimension)",
        "a group has settings, or an optimizer with 'use', not 3",
        "unknown key 'lrr' (did you mean 'lr'?)",
        "steps must be a whole number above warmup 0, not 0",
        "base must be an optimizer with the key 'use', as in {use: torch.optim.SGD, lr: 0.1}",
        "unknown optimizer 'torch.optim.SDG' (did you mean 'SGD'?)",
        "pytorch_optimizer.LOMO: it has no step of its own",
        "clip must be a positive number, {norm: NUMBER} or {value: NUMBER}, not -1",
        "torch.optim.SGD: the group 'matrices' matches no tensor: there is theta (1 dimension)",
        "torch.optim.RMSprop: Invalid learning rate: -0.1",
        "torch.optim.NAdam: StepLR needs 'step_size'",
        "pytorch_optimizer.AdaMuon: it is for matrices, and there are none: there is theta "
        "(1 dimension)",
    )


def test_what_fits_the_tensors_of_one_problem_alone_says_which_it_does_not_fit() -> (
    None
):
    groups = "groups: {vectors: {use: torch.optim.AdamW}}"
    load(race(f"[{{use: torch.optim.Muon, {groups}}}]", MLP))
    expect(
        f"""
        problems:
          - quadratic_saddle
          - {MLP[1:-1]}
        optimizers:
          - {{use: §torch.optim.Muon, {groups}}}
        """,
        "torch.optim.Muon: its groups leave no tensor for torch.optim.Muon "
        "(on quadratic_saddle, float64)",
    )


def test_dtypes_are_those_of_the_suite() -> None:
    load(race("[pytorch_optimizer.FAdam]", more="dtype: float32\n"))
    expect(
        """
        problems: [quadratic_saddle]
        optimizers: [§pytorch_optimizer.FAdam]
        """,
        "pytorch_optimizer.FAdam: expected dtype float for `end` but got dtype double",
    )


def test_a_module_beside_the_suite_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # monkeypatch puts sys.path back in the end
    monkeypatch.syspath_prepend(str(tmp_path / "nothing"))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside_the_suite.py").write_text(
        "import torch\n\n\nclass Own(torch.optim.SGD):\n    pass\n"
    )
    (folder / "s.yaml").write_text(race("[{use: 'beside_the_suite:Own', lr: 0.1}]"))
    from sfnbench.suite.reading import load_suite

    (chosen,) = load_suite(folder / "s.yaml").optimizers
    assert chosen.use == "beside_the_suite:Own"


def test_a_number_that_is_none_brings_one_line_of_a_stock_optimizer_too() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        optimizers:
          - torch.optim.AdamW
          - {use: torch.optim.AdamW, lr: §.nan, label: other}
          - {use: torch.optim.SGD, groups: {vectors: {lr: §.nan}}}
        """,
        "a number must be finite and within 64 bits, not .nan",
        "a number must be finite and within 64 bits, not .nan",
    )


def test_the_value_that_a_class_cannot_take_is_named_at_its_place() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        optimizers:
          - {use: torch.optim.SGD, lr: §fast}
          - {use: torch.optim.Adam, amsgrad: true, betas: §[0.9]}
          - {use: torch.optim.SGD, momentum: 0, nesterov: §true, label: a}
          - {use: torch.optim.SGD, lr: §{start: 0.1}, label: b}
          - {use: pytorch_optimizer.SAM, base: {use: §sfn}}
        """,
        "torch.optim.SGD: lr cannot be 'fast' ('<' not supported between instances of 'str' and "
        "'float')",
        "torch.optim.Adam: betas cannot be [0.9] (list index out of range)",
        "torch.optim.SGD: Nesterov momentum requires a momentum and zero dampening",
        "torch.optim.SGD: lr cannot be {'start': 0.1} ('<' not supported between instances of "
        "'dict' and 'float')",
        "unknown optimizer 'sfn': write package.module:name",
    )


def test_one_id_for_all_ways_of_writing_the_same() -> None:
    ways = (
        "torch.optim.Adam",
        "{use: torch.optim.Adam, lr: 1e-3}",
        "{use: torch.optim.Adam, lr: 0.001, betas: [0.9, 0.999], weight_decay: 0}",
        "{use: 'torch.optim.Adam', label: other}",
    )
    ids = {plan(load(race(f"[{way}]")))[0].id for way in ways}
    assert len(ids) == 1
    (other,) = plan(load(race("[{use: torch.optim.Adam, lr: 2e-3}]")))
    assert other.id not in ids


def test_a_schedule_takes_its_steps_from_the_budget_of_its_profile() -> None:
    more = "budget: {steps: 40}\nprofiles: {quick: {budget: {steps: 4}}}\n"
    text = race("[{use: torch.optim.SGD, lr: 0.1, schedule: cosine}]", MLP, more)
    ends = {}
    for profile, n_steps in ((None, 40), ("quick", 4)):
        (run,) = plan(load(text, profile), seeds=1)
        written = {"use": "cosine", "steps": n_steps}
        params = {**run.method.params, "schedule": written}
        again = replace(run, method=replace(run.method, params=params))
        a, b = (execute(each, lambda share: None) for each in (run, again))
        assert a.rows[0]["final_loss"] == b.rows[0]["final_loss"]
        ends[profile] = a.rows[0]["final_loss"]
    assert ends[None] != ends["quick"]


@pytest.mark.parametrize("budget", ["{steps: 20}", "{epochs: 3}", "{cost: 100}"])
def test_budgets_have_steps_for_schedules(budget: str) -> None:
    """Beside a cost alone there are the default's."""
    schedule = "[{use: torch.optim.SGD, schedule: linear}]"
    assert load(race(schedule, more=f"budget: {budget}\n")).n_steps


def test_a_schedule_asks_for_its_steps_where_trials_have_a_cost_alone() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        budget: {steps: 20}
        tune: {trials: 2, budget: {cost: 9}}
        optimizers:
          - {use: torch.optim.SGD, lr: {loguniform: [1e-3, 1]}, schedule: §cosine}
        """,
        "cosine needs its steps, and no budget says them here: {use: cosine, steps: NUMBER}",
    )


def test_another_spelling_has_no_range() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        tune: {trials: 2}
        optimizers:
          - {use: §torch.optim.SGD, clip_grad_norm: {uniform: [1, 2]}}
        """,
        "clip_grad_norm cannot be a range here: write it in sfnbench's own words, such as clip, "
        "groups or base",
    )
