import json
import pickle
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from suite_writing import enter, expect, load, race

from sfnbench.errors import SuiteError
from sfnbench.members import registry
from sfnbench.suite.completion import RegisteredCompletion
from sfnbench.suite.entries import EntryReader
from sfnbench.suite.grids import MAX_COMBINATIONS
from sfnbench.suite.plan import plan


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)


def test_params_are_complete_plain_and_one_for_each_way_of_writing() -> None:
    [one] = load(
        race("[{use: suite_probe, lr: 1, damping: 2, radius: 1, shape: [3]}]")
    ).optimizers
    [other] = load(
        race("[{use: suite_probe, lr: 1.0, damping: 2.0, radius: 1e0, shape: [3]}]")
    ).optimizers
    assert json.dumps(one.params) == json.dumps(other.params)
    numbers = {
        "lr": 1.0,
        "momentum": 0.9,
        "damping": 2.0,
        "radius": 1.0,
        "limit": float("inf"),
        "n_inner": 1,
    }
    others = {
        "restart": False,
        "shape": [3],
        "window": [0.0, 1.0],
        "colour": "red",
        "word": "on",
        "batch_size": None,
    }
    assert one.params == {**numbers, **others}


@pytest.mark.parametrize("kind", registry.KINDS)
def test_params_of_every_member_make_the_same_member_again(
    kind: registry.Kind,
) -> None:
    n_made = 0
    for name, member in registry.members(kind).items():
        if member.where == "plugin" and name.startswith("suite_"):
            continue
        for located in EntryReader(kind).default(name).specs:
            cls = registry.load(member)
            text = json.dumps(located.spec.params)
            assert TypeAdapter(cls).validate_json(text, strict=True) == cls()
            assert located.spec.instances == (cls(),)
            n_made += 1
    assert n_made >= 3


def test_a_grid_is_the_product_of_its_values() -> None:
    suite = load(
        race(
            "[{use: suite_probe, label: P, lr: {grid: [1e-2, 2]}, shape: {grid: [[5], "
            "[6, 7]]}, word: y}]"
        )
    )
    assert [c.label for c in suite.optimizers] == [
        "P lr=0.01 shape=[5]",
        "P lr=0.01 shape=[6, 7]",
        "P lr=2 shape=[5]",
        "P lr=2 shape=[6, 7]",
    ]
    values = [
        (c.params["lr"], c.params["shape"], c.params["word"])
        for c in suite.optimizers
    ]
    assert values == [
        (lr, shape, "y") for lr in (0.01, 2.0) for shape in ([5], [6, 7])
    ]


def test_grids_of_stock_optimizers_and_of_problems() -> None:
    suite = load(
        race(
            "[{use: torch.optim.SGD, lr: {grid: [0.1, 1]}}]",
            "[{use: suite_bowl, dim: {grid: [1, 2]}}]",
        )
    )
    assert [(c.label, c.params["lr"]) for c in suite.optimizers] == [
        ("torch.optim.SGD lr=0.1", 0.1),
        ("torch.optim.SGD lr=1", 1),
    ]
    assert [c.label for c in suite.problems] == [
        "suite_bowl dim=1",
        "suite_bowl dim=2",
    ]


def test_merge_keys_serve_entries_with_much_in_common() -> None:
    suite = load(
        race(
            "[&p {use: suite_probe, lr: 2, word: y}, {<<: *p, label: other, lr: 3}]"
        )
    )
    assert [
        (c.label, c.params["lr"], c.params["word"]) for c in suite.optimizers
    ] == [
        ("suite_probe", 2, "y"),
        ("other", 3, "y"),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "§suite_prob",
            "unknown optimizer 'suite_prob' (did you mean 'suite_probe'?)",
        ),
        ("§3", "an optimizer is a name or a mapping with the key 'use', not 3"),
        (
            "§[suite_probe]",
            "an optimizer is a name or a mapping with the key 'use', not a list",
        ),
        ("§{lr: 1}", "missing key 'use'"),
        (
            "§{suite_probe: {lr: 1}}",
            "missing key 'use': write {use: suite_probe, ...}",
        ),
        ("{use: §3}", "use must be the name of an optimizer, not 3"),
        (
            "{use: suite_probe, label: §3}",
            "label must be text on one line, not 3 (put it in quotes)",
        ),
        (
            "{use: suite_probe, label: §''}",
            "label must be text on one line, not ''",
        ),
        (
            r'{use: suite_probe, label: §"a\nb"}',
            r"label must be text on one line, not 'a\nb'",
        ),
        ("{use: suite_probe, lr: §'3'}", "lr must be a number, not '3'"),
        ("{use: suite_probe, lr: §true}", "lr must be a number, not true"),
        ("{use: suite_probe, lr: §null}", "lr must be a number, not null"),
        (
            "{use: suite_probe, lr: §[0.1]}",
            "lr must be a number, not a list (several values to try are written {grid: "
            "[first, second]})",
        ),
        ("{use: suite_probe, damping: §-1}", "damping must be at least 0, not -1"),
        (
            "{use: suite_probe, damping: §papr}",
            "damping must be a number, 'paper' or 'none', not 'papr' (did you mean 'paper'?)",
        ),
        ("{use: suite_probe, radius: §0}", "radius must be greater than 0, not 0"),
        (
            "{use: suite_probe, n_inner: §1.0}",
            "n_inner must be a whole number, not 1.0",
        ),
        (
            "{use: suite_probe, restart: §yes}",
            "restart must be true or false, not 'yes'",
        ),
        ("{use: suite_probe, shape: §3}", "shape must be a list, not 3"),
        (
            "{use: suite_probe, shape: [1, §0]}",
            "a value of shape must be at least 1, not 0",
        ),
        ("{use: suite_probe, window: §[1]}", "window has too few values"),
        (
            "{use: suite_probe, window: §[1, 2, 3]}",
            "window must have at most 2 values, not 3",
        ),
        (
            "{use: suite_probe, colour: §gren}",
            "colour must be 'red' or 'green', not 'gren' (did you mean 'green'?)",
        ),
        (
            "{use: suite_probe, word: §1}",
            "word must be text, not 1 (put it in quotes)",
        ),
        (
            "{use: suite_probe, §colr: red}",
            "unknown key 'colr' of suite_probe (did you mean 'colour'?)",
        ),
        (
            "{use: suite_probe, lr: {grid: §[]}}",
            "grid is empty: lr needs at least one value",
        ),
        ("{use: suite_probe, lr: {grid: §0.1}}", "grid must be a list, not 0.1"),
        (
            "{use: suite_probe, lr: {grid: [1, §0]}}",
            "lr must be greater than 0, not 0",
        ),
        (
            "{use: suite_probe, lr: {grid: [1, §1.0]}}",
            "the grid of lr has 1.0 twice",
        ),
        (
            "{use: suite_probe, lr: {grid: [1], §step: 2}}",
            "unknown key 'step' beside grid",
        ),
        (
            "{use: suite_probe, label: §{grid: [a]}}",
            "label must be text on one line, not a mapping",
        ),
        ("§suite_picky", "missing key 'low' of suite_picky"),
        ("{use: §suite_picky, low: 2}", "low must not exceed high, but 2 > 1"),
        (
            "{use: §suite_picky, low: 0}",
            "suite_picky cannot be made: ZeroDivisionError: float division by zero",
        ),
        ("suite_probe, {use: suite_probe, label: §suite_probe, lr: 3}", None),
        ("suite_probe, {use: §suite_probe, lr: 3}", None),
        (
            "{use: suite_probe, lr: 0.5}, {use: suite_probe, label: §b, lr: 0.50}",
            "'b' repeats 'suite_probe': same optimizer, same parameters",
        ),
        (
            "§torch.optim.Adm",
            "unknown optimizer 'torch.optim.Adm' (did you mean 'Adam'?)",
        ),
        ("§.Adam", re.compile("unknown optimizer '.Adam'.*")),
        (
            "{use: torch.optim.Adam, §beta: 1}",
            "unknown key 'beta' (did you mean 'betas'?)",
        ),
        (
            "§suite_bare",
            re.compile(r"\S+suite_bare.py: SuiteBare is not a dataclass"),
        ),
        (
            "§suite_broken",
            re.compile(
                r"\S+suite_broken.py:3: cannot be imported: ZeroDivisionError: .*"
            ),
        ),
        (
            "§suite_stepless",
            re.compile(r"\S+suite_stepless.py: SuiteStepless does not define step"),
        ),
        (
            "§suite_opaque",
            re.compile(
                r"\S+suite_opaque.py: the fields of SuiteOpaque cannot be read: .*Opaque.*"
            ),
        ),
    ],
)
def test_entries(entry: str, message: str | re.Pattern[str] | None) -> None:
    text = race(f"[{entry}]")
    if isinstance(message, re.Pattern):
        with pytest.raises(SuiteError) as caught:
            load(text.replace("§", ""))
        column = text.split("\n")[1].index("§") + 1
        assert re.fullmatch(
            rf"s\.yaml:2:{column}: {message.pattern}", str(caught.value)
        )
    else:
        expect(
            text,
            message
            or "two optimizers are called 'suite_probe': give one of them a label",
        )


def test_a_stock_problem_is_refused() -> None:
    expect(
        race(problems="[§torch.nn.Linear]"),
        "unknown problem 'torch.nn.Linear': only optimizers can be named by their module",
    )


def test_several_things_wrong_with_one_entry() -> None:
    grids = (
        "lr: {grid: §[]}, shape: {grid: [[1], [§0]]}, damping: {grid: [§-1, §x]}"
    )
    expect(
        race(f"[{{use: suite_probe, {grids}, §wrd: a, label: §1}}]"),
        "grid is empty: lr needs at least one value",
        "a value of shape must be at least 1, not 0",
        "damping must be at least 0, not -1",
        "damping must be a number, 'paper' or 'none', not 'x'",
        "unknown key 'wrd' of suite_probe (did you mean 'word'?)",
        "label must be text on one line, not 1 (put it in quotes)",
    )


def test_a_grid_beyond_reason_is_refused_before_it_is_unrolled() -> None:
    values = ", ".join(map(str, range(1, 101)))
    grid = f"{{grid: [{values}]}}"
    text = race(
        f"[§{{use: suite_probe, lr: {grid}, n_inner: {grid}, damping: {grid}, radius: {grid}}}]"
    )
    expect(
        text,
        f"these grids have {100**4} combinations, more than {MAX_COMBINATIONS}",
    )


def test_a_number_that_is_none_brings_one_line() -> None:
    finite = "a number must be finite and within 64 bits, not .nan"
    expect(race("[{use: torch.optim.AdamW, lr: §.nan}]"), finite)
    expect(
        race("[{use: torch.optim.Adam, betas: [0.9, §.nan], §bets: 1}]"),
        finite,
        BETS,
    )
    expect(race("[{use: suite_probe, shape: [1, §.nan]}]"), finite)


BETS = "unknown key 'bets' (did you mean 'betas'?)"


def test_a_range_where_nothing_is_tuned_is_refused() -> None:
    expect(
        """
        experiment: critical_points
        problems: [suite_bowl]
        paths: [{optimizer: §{use: suite_probe, lr: {uniform: [1, 2]}}}]
        """,
        "a range cannot be tuned here: give a value",
    )


def test_the_same_parameters_are_checked_and_built_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []
    make = RegisteredCompletion._complete

    def counted(self: Any, use: Any, params: Any, text: str, note: Any) -> Any:
        built.append((use.content, text))
        return make(self, use, params, text, note)

    monkeypatch.setattr(RegisteredCompletion, "_complete", counted)
    text = race(
        "[suite_probe, {use: suite_probe, label: b, lr: 2}]",
        more="profiles: {quick: {seeds: 1}, other: {optimizers: [{use: suite_probe, lr: 2}]}}",
    )
    suite = load(text)
    assert len(plan(suite)) == 2
    assert sorted(built) == [
        ("suite_bowl", "{}"),
        ("suite_probe", '{"lr": 2}'),
        ("suite_probe", "{}"),
    ]


def test_the_built_member_is_no_part_of_its_spec() -> None:
    [spec] = load(race()).optimizers
    [probe] = spec.instances
    assert probe.lr == 1
    again = pickle.loads(pickle.dumps(spec))
    assert (again, again.instances) == (spec, ())
    assert set(asdict(spec)) == {"use", "label", "params", "source"}
