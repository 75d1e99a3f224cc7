"""Ranges and `tune` in suites: what they resolve to, and what is wrong with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_writing import enter, expect, load, race

from sfnbench.errors import SuiteError
from sfnbench.experiments.keys import STEPS_LIMIT
from sfnbench.suite.plan import plan
from sfnbench.suite.ranges import EDGE, MAX_RANGES, Range, Scale, Tunable

TUNE = "tune: {trials: 4}"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)


def ranges(entry: str) -> dict[str, Range]:
    [one] = load(race(f"[{entry}]", more=TUNE)).optimizers
    assert isinstance(one, Tunable)
    return one.ranges


# -- what they resolve to --------------------------------------------------------------------------


def test_ranges_know_their_numbers_from_the_members_fields() -> None:
    found = ranges(
        "{use: suite_probe, n_inner: {uniform: [1, 10]}, lr: {loguniform: [1, 10]}, "
        "damping: {choice: [0, paper]}}"
    )
    assert found == {
        "damping": Range("choice", (0.0, "paper")),
        "lr": Range("loguniform", (1.0, 10.0)),
        "n_inner": Range("uniform", (1, 10), is_whole=True),
    }
    # the order in which they are written decides nothing
    assert list(found) == sorted(found)


def test_the_other_parameters_are_complete_and_ranges_stand_as_written() -> None:
    [one] = load(
        race("[{use: suite_probe, lr: {uniform: [1, 2.5]}, word: y}]", more=TUNE)
    ).optimizers
    [fixed] = load(race("[{use: suite_probe, word: y}]")).optimizers
    assert one.params == {**fixed.params, "lr": {"uniform": [1.0, 2.5]}}
    assert one.settled({"lr": 2.0}).params == {**fixed.params, "lr": 2.0}
    assert type(one.settled({"lr": 2.0})) is type(fixed)


def test_ranges_of_stock_optimizers_are_whole_where_only_whole_numbers_do() -> None:
    assert ranges(
        "{use: torch.optim.LBFGS, history_size: {uniform: [1, 9]}, lr: {uniform: [1, 9]}}"
    ) == {
        "history_size": Range("uniform", (1, 9), is_whole=True),
        "lr": Range("uniform", (1.0, 9.0)),
    }
    assert ranges("{use: scipy.optimize.L-BFGS-B, maxcor: {loguniform: [2, 32]}}")[
        "maxcor"
    ].is_whole
    assert not ranges("{use: torch.optim.SGD, momentum: {uniform: [0, 1]}}")[
        "momentum"
    ].is_whole


def test_each_point_of_a_grid_is_tuned_by_itself() -> None:
    suite = load(
        race(
            "[{use: suite_probe, momentum: {grid: [0, 0.5]}, lr: {loguniform: [0.1, "
            "1]}}, suite_probe]",
            more=TUNE,
        )
    )
    assert [(type(each).__name__, each.label) for each in suite.optimizers] == [
        ("Tunable", "suite_probe momentum=0"),
        ("Tunable", "suite_probe momentum=0.5"),
        ("Spec", "suite_probe"),
    ]


def test_a_trial_has_the_suites_budget_but_for_what_tune_says() -> None:
    text = race(
        "[{use: suite_probe, lr: {uniform: [1, 2]}}]",
        more="""
budget: {steps: 9, cost: 30}
tune: {budget: {cost: 3, steps: 7}, sampler: sobol, metric: best_loss}
profiles:
  quick: {tune: {trials: 2}, budget: {steps: 1}}
  fixed: {tune: null, optimizers: [suite_probe]}
""",
    )
    tune, quick = load(text).tune, load(text, "quick").tune
    trial = {"steps": 7, "seconds": None, "cost": 3, "epochs": None}
    assert tune.budget.model_dump() == trial
    assert (tune.sampler, tune.metric, tune.seed) == ("sobol", "best_loss", 0)
    assert quick.budget.model_dump() == trial
    assert (quick.trials, quick.sampler) == (2, "sobol")
    assert load(text, "fixed").tune is None
    by_cost = load(text.replace("{cost: 3, steps: 7}", "{cost: 3}")).tune
    # The suite's steps do not cut it short
    assert by_cost.budget.model_dump() == {**trial, "steps": STEPS_LIMIT}
    assert load(race()).tune is None


# -- what is wrong with them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "lr: {loguniform: §[]}",
            "loguniform must have two values, the ends of the range, not 0",
        ),
        (
            "lr: {uniform: §[1, 2, 3]}",
            "uniform must have two values, the ends of the range, not 3",
        ),
        ("lr: {uniform: §0.1}", "uniform must be a list, not 0.1"),
        (
            "lr: {uniform: §[1, 1.0]}",
            "the range of lr is empty: its low end must be below its high end",
        ),
        (
            "lr: {loguniform: §[1, 0.1]}",
            "the range of lr is reversed: its low end must be below its high end",
        ),
        (
            "lr: {uniform: [§a, 1]}",
            "an end of the range of lr must be a number, not 'a'",
        ),
        (
            "lr: {uniform: [0.1, §true]}",
            "an end of the range of lr must be a number, not true",
        ),
        (
            "damping: {loguniform: [§0, 1]}",
            "an end of a loguniform range must be greater than 0, not 0",
        ),
        ("lr: {uniform: [§0, 1]}", "lr must be greater than 0, not 0"),
        ("momentum: {uniform: [0.5, §1]}", "momentum must be less than 1, not 1"),
        (
            "n_inner: {uniform: [1, §2.5]}",
            "n_inner must be a whole number, not 2.5",
        ),
        (
            "colour: {choice: [red, §gren]}",
            "colour must be 'red' or 'green', not 'gren' (did you mean 'green'?)",
        ),
        (
            "colour: {choice: §[]}",
            "choice is empty: colour needs at least one value",
        ),
        ("colour: {choice: §red}", "choice must be a list, not 'red'"),
        ("lr: {uniform: [1, 2], §step: 1}", "unknown key 'step' beside uniform"),
        (
            "lr: {§log_uniform: [1, 2]}",
            "unknown key 'log_uniform' (did you mean 'loguniform'?)",
        ),
        (
            "§momentun: {uniform: [0, 0.5]}",
            "unknown key 'momentun' of suite_probe (did you mean 'momentum'?)",
        ),
        (
            "label: §{uniform: [1, 2]}",
            "label must be text on one line, not a mapping",
        ),
    ],
)
def test_ranges(entry: str, message: str) -> None:
    expect(
        race(
            f"[{{use: suite_probe, {entry}, radius: {{uniform: [1, 2]}}}}]",
            more=TUNE,
        ),
        message,
    )


def test_everything_wrong_with_ranges_is_said_at_once() -> None:
    expect(
        """
        problems: [{use: suite_bowl, §dim: {uniform: [1, 2]}}]
        optimizers:
          - use: suite_probe
            lr: {loguniform: [§-1, 1]}
            momentum: {choice: [0.1, §1, §x]}
            §wrd: a
          - {use: suite_probe, label: b, lr: {grid: [1, §0]}, momentum: {uniform: [§-1, §1]}}
          - {use: §suite_prob, lr: {uniform: [2, 1]}}
          - {use: torch.optim.Adam, lr: {uniform: §[2, 1]}, §bets: {uniform: [1, 2]}}
          - {use: torch.optim.Adam, lr: {uniform: [§-1, 1]}, label: c}
        tune:
          trials: §0
          seeds: §0
          sampler: §hlaton
          §trails: 3
          budget: {§step: 1}
          metric: §loss
        """,
        "dim is a range: only parameters of optimizers are tuned",
        "an end of a loguniform range must be greater than 0, not -1",
        "momentum must be less than 1, not 1",
        "momentum must be a number, not 'x'",
        "unknown key 'wrd' of suite_probe (did you mean 'word'?)",
        "lr must be greater than 0, not 0",
        "momentum must be at least 0, not -1",
        "momentum must be less than 1, not 1",
        "unknown optimizer 'suite_prob' (did you mean 'suite_probe'?)",
        "the range of lr is reversed: its low end must be below its high end",
        "unknown key 'bets' (did you mean 'betas'?)",
        "torch.optim.Adam: Invalid learning rate: -1",
        "trials must be at least 1, not 0",
        "seeds must be at least 1, not 0",
        "sampler must be 'halton', 'random' or 'sobol', not 'hlaton' (did you mean 'halton'?)",
        "unknown key 'trails' (did you mean 'trials'?)",
        "unknown key 'step' (did you mean 'steps'?)",
        "metric must be 'final_loss', 'best_loss', 'escape_step' or 'escape_cost', not "
        "'loss' (did you mean 'best_loss'?)",
    )


def test_ranges_and_tune_need_each_other() -> None:
    expect(
        race(
            "[{use: suite_probe, §lr: {uniform: [1, 2]}, §radius: {uniform: [1, 2]}}]"
        ),
        "lr is a range: the key 'tune' has to say how to find its value",
        "radius is a range: the key 'tune' has to say how to find its value",
    )
    scales = "{uniform: [...]}, {loguniform: [...]}, {choice: [...]}"
    expect(
        race(more="§tune: {}"),
        f"nothing to tune: no optimizer has a range ({scales})",
    )


def test_seeds_for_tuning_are_for_nothing_else() -> None:
    text = race(
        "[{use: suite_probe, lr: {uniform: [1, 2]}}]",
        more=f"seeds: [0, §1000000000, 999999999]\n{TUNE}",
    )
    expect(text, "seeds from 1000000000 on are for tuning alone, not 1000000000")
    # where nothing is tuned they are seeds like any
    assert load(race(more="seeds: [1000000000]")).seeds == (1_000_000_000,)


def test_no_more_ranges_than_the_sampler_is_good_for() -> None:
    names = ", ".join(f"x{i}: {{uniform: [0, 1]}}" for i in range(MAX_RANGES + 1))
    with pytest.raises(
        SuiteError, match=f"{MAX_RANGES + 1} ranges, more than {MAX_RANGES}"
    ):
        load(race(f"[{{use: suite_probe, {names}}}]", more=TUNE))


def test_what_the_ends_allow_but_not_the_middle_is_found_too() -> None:
    text = race("[{use: §suite_picky, low: {uniform: [-1, 1]}}]", more=TUNE)
    expect(
        text,
        "suite_picky cannot be made: ZeroDivisionError: float division by zero",
    )


# -- values of a range -----------------------------------------------------------------------------

UNIT = st.floats(0, 1, exclude_max=True)


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    UNIT,
    st.sampled_from(["uniform", "loguniform"]),
)
def test_values_lie_in_the_range_and_where_the_scale_says(
    a: float, b: float, u: float, scale: Scale
) -> None:
    low, high = min(a, b), max(a, b) * 1.001
    value = Range(scale, (low, high)).value(u)
    assert low <= value <= high
    exact = (
        low + u * (high - low) if scale == "uniform" else low * (high / low) ** u
    )
    assert value == pytest.approx(exact, rel=1e-5)  # six digits


@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.sampled_from(["uniform", "loguniform"]),
)
def test_every_whole_number_of_a_range_comes_up(
    low: int, more: int, scale: Scale
) -> None:
    one = Range(scale, (low, low + more), is_whole=True)
    values = [one.value(i / 10_000) for i in range(10_000)]
    assert set(values) == set(range(low, low + more + 1))
    assert values == sorted(values)
    if scale == "uniform":
        counts = [values.count(value) for value in set(values)]
        assert max(counts) - min(counts) <= 1  # each is as likely


@given(UNIT)
def test_choices_are_as_likely_as_each_other(u: float) -> None:
    assert Range("choice", ("a", "b", "c")).value(u) == "abc"[int(3 * u)]


def test_a_value_lies_at_an_edge_in_the_scale_of_its_range() -> None:
    log, flat = Range("loguniform", (1e-3, 1e-1)), Range("uniform", (0.0, 1.0))
    for near, far, end in (
        (EDGE - 0.01, EDGE + 0.01, "low"),
        (1 - EDGE + 0.01, 1 - EDGE - 0.01, "high"),
    ):
        assert (log.edge(1e-3 * 100**near), log.edge(1e-3 * 100**far)) == (
            end,
            None,
        )
        assert (flat.edge(near), flat.edge(far)) == (end, None)
    whole = Range("uniform", (1, 10), is_whole=True)
    assert [whole.edge(value) for value in (1, 2, 9, 10)] == [
        "low",
        None,
        None,
        "high",
    ]
    assert Range("choice", (1, 2)).edge(1) is None


# -- ranges that a class states --------------------------------------------------------------------


OWN = "tune: {trials: 4, ranges: own}"


def test_a_class_says_where_its_open_parameters_are_searched() -> None:
    suite = load(race("[msgd, {use: msgd, label: given, lr: 0.1}, sfn]", more=OWN))
    found = {spec.label: spec.ranges for spec in suite.optimizers}
    momentum = Range("choice", (0.5, 0.9, 0.99))
    assert found == {
        "msgd": {"lr": Range("loguniform", (0.001, 1.0)), "momentum": momentum},
        "given": {"momentum": momentum},
        "sfn": {"damping": Range("loguniform", (0.0001, 1.0))},
    }
    written = load(
        race("[{use: msgd, lr: {uniform: [1, 2]}}]", more=OWN)
    ).optimizers
    assert written[0].ranges["lr"] == Range("uniform", (1.0, 2.0))


def test_without_the_key_a_suite_alone_says_what_is_tuned() -> None:
    text = race("[msgd, {use: sfn, lr: {uniform: [0.5, 1]}}]", more=TUNE)
    [plain, tuned] = load(text).optimizers
    assert not plain.is_open
    assert list(tuned.ranges) == ["lr"]


def test_own_ranges_where_no_class_states_any() -> None:
    scales = "{uniform: [...]}, {loguniform: [...]}, {choice: [...]}"
    expect(
        race("[suite_probe]", more=f"§{OWN}"),
        f"nothing to tune: no optimizer has a range ({scales})",
    )


def test_a_profile_tunes_and_the_suite_does_not() -> None:
    text = race("[sfn]", more="profiles: {tuned: {tune: {trials: 2, ranges: own}}}")
    assert not load(text).optimizers[0].is_open
    assert load(text, "tuned").optimizers[0].is_open


def test_a_method_that_joins_is_tuned_in_its_own_ranges() -> None:
    suite = load(race("[sfn]", more=OWN))
    [run] = plan(suite, optimizers=["gradient_descent"])
    assert run.method.ranges == {"lr": Range("loguniform", (0.001, 1.0))}
