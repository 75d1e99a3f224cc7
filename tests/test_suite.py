import itertools
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sfnbench import registry
from sfnbench.choice import MAX_COMBINATIONS, Chooser
from sfnbench.errors import SfnbenchError, SuiteError
from sfnbench.metrics import METRICS
from sfnbench.suite import Suite, available, load_suite, title

PLUGINS = {
    "optimizers/suite_probe.py": '''
        import math
        from dataclasses import dataclass
        from typing import Literal
        from sfnbench import BelowOne, Count, NonNegative, Optimizer, Positive, register

        @register("suite_probe")
        @dataclass(frozen=True, kw_only=True)
        class SuiteProbe(Optimizer):
            """For tests."""

            lr: Positive = 1
            momentum: BelowOne = 0.9
            damping: NonNegative | Literal["paper", "none"] = 0.0
            radius: Positive | None = None
            limit: float = math.inf
            n_inner: Count = 1
            restart: bool = False
            shape: tuple[Count, ...] = (1, 2)
            window: tuple[float, float] = (0.0, 1.0)
            colour: Literal["red", "green"] = "red"
            word: str = "on"

            def step(self, oracle, theta, state):
                return theta, state
        ''',
    "optimizers/suite_picky.py": '''
        from dataclasses import dataclass
        from sfnbench import Optimizer, register

        @register("suite_picky")
        @dataclass(frozen=True, kw_only=True)
        class SuitePicky(Optimizer):
            """For tests."""

            low: float
            high: float = 1.0

            def __post_init__(self):
                if self.low > self.high:
                    raise ValueError(f"low must not exceed high, but {self.low:g} > {self.high:g}")
                1 / self.low

            def step(self, oracle, theta, state):
                return theta, state
        ''',
    "optimizers/suite_broken.py": '''
        from sfnbench import Optimizer, register
        1 / 0

        @register("suite_broken")
        class SuiteBroken(Optimizer):
            """For tests."""
        ''',
    "optimizers/suite_bare.py": '''
        from sfnbench import Optimizer, register

        @register("suite_bare")
        class SuiteBare(Optimizer):
            """For tests."""

            def step(self, oracle, theta, state):
                return theta, state
        ''',
    "optimizers/suite_stepless.py": '''
        from dataclasses import dataclass
        from sfnbench import Optimizer, register

        @register("suite_stepless")
        @dataclass(frozen=True)
        class SuiteStepless(Optimizer):
            """For tests."""
        ''',
    "optimizers/suite_opaque.py": '''
        from dataclasses import dataclass
        from sfnbench import Optimizer, register

        class Opaque:
            pass

        @register("suite_opaque")
        @dataclass(frozen=True)
        class SuiteOpaque(Optimizer):
            """For tests."""

            thing: Opaque | None = None

            def step(self, oracle, theta, state):
                return theta, state
        ''',
    "problems/suite_bowl.py": '''
        from dataclasses import dataclass
        import torch
        from sfnbench import Count, Problem, register

        @register("suite_bowl")
        @dataclass(frozen=True, kw_only=True)
        class SuiteBowl(Problem):
            """For tests."""

            measures = ("depth",)
            dim: Count = 2

            def start(self, rng):
                return torch.ones(self.dim, dtype=torch.float64)

            def loss(self, theta, batch):
                return theta @ theta

            def depth(self, theta):
                return theta.sum()
        ''',
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plugins")
    for name, source in PLUGINS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(textwrap.dedent(source))
    return root


@pytest.fixture(autouse=True)
def workplace(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "_added", [plugins])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, profile: str | None = None) -> Suite:
    Path("s.yaml").write_text(textwrap.dedent(text))
    return load_suite("s.yaml", profile)


def race(optimizers: str = "[suite_probe]", problems: str = "[suite_bowl]", more: str = "") -> str:
    return f"problems: {problems}\noptimizers: {optimizers}\n{more}"


def expect(marked: str, *messages: str) -> None:
    """The errors of a suite are these, one at each § of its text, in order."""
    marked = textwrap.dedent(marked)
    *before, _ = itertools.accumulate(marked.split("§"))
    places = [(text.count("\n") + 1, len(text) - text.rfind("\n")) for text in before]
    with pytest.raises(SuiteError) as caught:
        load(marked.replace("§", ""))
    lines = [f"s.yaml:{line}:{column}: {message}" for (line, column), message in zip(places, messages, strict=True)]
    assert str(caught.value).split("\n") == lines


# -- what a suite resolves to -----------------------------------------------------------------------------------------


def test_defaults() -> None:
    suite = load(race())
    assert (suite.name, suite.path, suite.title, suite.experiment) == ("s", Path("s.yaml"), "", "race")
    assert (suite.seeds, suite.timeout_s, suite.dtype) == ((0, 1, 2, 3, 4), 3600, "float64")
    assert suite.settings == {"budget": {"steps": 500, "seconds": None, "cost": None}, "metrics": [["loss", 1]]}
    [probe], [bowl] = suite.optimizers, suite.problems
    assert (probe.use, probe.label, bowl.use, bowl.params) == ("suite_probe", "suite_probe", "suite_bowl", {"dim": 2})
    assert probe.source == registry.source_hash(registry.find("optimizer", "suite_probe"))


def test_everything_given() -> None:
    suite = load(
        """
        title: Ω
        experiment: race
        seeds: [3, 1]
        budget: {steps: 7, seconds: 1, cost: 2.5}
        timeout: 1e1
        dtype: float32
        metrics: [{use: depth, every: 3}, gradient_norm]
        problems: [{use: suite_bowl, label: y, dim: 3}]
        optimizers: [suite_probe, {use: torch.optim.Adam, lr: 1e-3}]
        """
    )
    assert (suite.title, suite.seeds, suite.timeout_s, suite.dtype) == ("Ω", (3, 1), 10, "float32")
    assert suite.settings["budget"] == {"steps": 7, "seconds": 1, "cost": 2.5}
    assert suite.settings["metrics"] == [["depth", 3], ["gradient_norm", 1]]
    assert [(p.label, p.params) for p in suite.problems] == [("y", {"dim": 3})]
    adam = suite.optimizers[1]
    assert (adam.use, adam.label, adam.params, adam.source) == ("torch.optim.Adam", "torch.optim.Adam", {"lr": 0.001}, "")


def test_params_are_complete_plain_and_one_for_each_way_of_writing() -> None:
    [one] = load(race("[{use: suite_probe, lr: 1, damping: 2, radius: 1, shape: [3]}]")).optimizers
    [other] = load(race("[{use: suite_probe, lr: 1.0, damping: 2.0, radius: 1e0, shape: [3]}]")).optimizers
    assert json.dumps(one.params) == json.dumps(other.params)
    numbers = {"lr": 1.0, "momentum": 0.9, "damping": 2.0, "radius": 1.0, "limit": float("inf"), "n_inner": 1}
    others = {"restart": False, "shape": [3], "window": [0.0, 1.0], "colour": "red", "word": "on"}
    assert one.params == {**numbers, **others}


@pytest.mark.parametrize("kind", registry.KINDS)
def test_params_of_every_member_make_the_same_member_again(kind: registry.Kind) -> None:
    n_made = 0
    for name, member in registry.members(kind).items():
        chosen = None if member.where == "plugin" and name.startswith("suite_") else Chooser.of(kind).default(name)
        if chosen:
            cls = registry.load(member)
            assert TypeAdapter(cls).validate_json(json.dumps(chosen.params), strict=True) == cls()
            n_made += 1
    assert n_made >= 3


def test_a_grid_is_the_product_of_its_values() -> None:
    suite = load(race("[{use: suite_probe, label: P, lr: {grid: [1e-2, 2]}, shape: {grid: [[5], [6, 7]]}, word: y}]"))
    assert [c.label for c in suite.optimizers] == [
        *("P lr=0.01 shape=[5]", "P lr=0.01 shape=[6, 7]", "P lr=2 shape=[5]", "P lr=2 shape=[6, 7]")
    ]
    values = [(c.params["lr"], c.params["shape"], c.params["word"]) for c in suite.optimizers]
    assert values == [(lr, shape, "y") for lr in (0.01, 2.0) for shape in ([5], [6, 7])]


def test_grids_of_stock_optimizers_and_of_problems() -> None:
    suite = load(race("[{use: torch.optim.SGD, lr: {grid: [0.1, 1]}}]", "[{use: suite_bowl, dim: {grid: [1, 2]}}]"))
    assert [(c.label, c.params) for c in suite.optimizers] == [
        ("torch.optim.SGD lr=0.1", {"lr": 0.1}),
        ("torch.optim.SGD lr=1", {"lr": 1}),
    ]
    assert [c.label for c in suite.problems] == ["suite_bowl dim=1", "suite_bowl dim=2"]


def test_a_profile_merges_mappings_and_replaces_lists() -> None:
    text = race(
        "[suite_probe, {use: suite_probe, lr: 2, label: two}]",
        more="""
budget: {steps: 9, cost: 3}
metrics: [loss, depth]
profiles:
  quick: {seeds: 1, budget: {steps: 2}, optimizers: [suite_probe], metrics: [loss]}
  empty: {}
""",
    )
    assert load(text, "empty") == Suite(**{**vars(load(text)), "profile": "empty"})
    quick = load(text, "quick")
    assert quick.settings == {"budget": {"steps": 2, "seconds": None, "cost": 3}, "metrics": [["loss", 1]]}
    assert (quick.seeds, len(quick.optimizers), quick.profile) == ((0,), 1, "quick")
    assert len(load(text).optimizers) == 2


def test_merge_keys_serve_entries_with_much_in_common() -> None:
    suite = load(race("[&p {use: suite_probe, lr: 2, word: y}, {<<: *p, label: other, lr: 3}]"))
    assert [(c.label, c.params["lr"], c.params["word"]) for c in suite.optimizers] == [
        ("suite_probe", 2, "y"),
        ("other", 3, "y"),
    ]


# -- what is wrong with a suite ---------------------------------------------------------------------------------------


def test_everything_wrong_is_said_at_once_and_in_order() -> None:
    expect(
        """
        seeds: §0
        §timeuot: 3
        experiment: §rase
        budget: {steps: §1e3, §secnds: 1, cost: §-1}
        dtype: §float23
        problems: [§suite_bow, {use: suite_bowl, dim: §0}]
        optimizers:
          - §suite_prob
          - {use: suite_probe, lr: §-1, momentum: §1, §dampng: 1}
          - {use: suite_probe, lr: 2, §lr: 3}
        profiles:
          quick: {seeds: §ten, §sedes: 3, optimizers: [{use: suite_probe, lr: §no}]}
        """,
        "seeds must be at least 1, not 0",
        "unknown key 'timeuot' (did you mean 'timeout'?)",
        "unknown experiment 'rase' (did you mean 'race'?)",
        "steps must be a whole number, not 1e3",
        "unknown key 'secnds' (did you mean 'seconds'?)",
        "cost must be greater than 0, not -1",
        "dtype must be 'float32' or 'float64', not 'float23' (did you mean 'float32'?)",
        "unknown problem 'suite_bow' (did you mean 'suite_bowl'?)",
        "dim must be at least 1, not 0",
        "unknown optimizer 'suite_prob' (did you mean 'suite_probe'?)",
        "lr must be greater than 0, not -1",
        "momentum must be less than 1, not 1",
        "unknown key 'dampng' of suite_probe (did you mean 'damping'?)",
        "duplicate key 'lr' (first on line 11)",
        "seeds must be a whole number or a list, not 'ten'",
        "unknown key 'sedes' (did you mean 'seeds'?)",
        "lr must be a number, not 'no'",
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("title: §3", "title must be text, not 3 (put it in quotes)"),
        ("title: §[a]", "title must be text, not a list"),
        ("experiment: §3", "experiment must be text, not 3 (put it in quotes)"),
        ("seeds: §-1", "seeds must be at least 1, not -1"),
        ("seeds: §true", "seeds must be a whole number or a list, not true"),
        ("seeds: §2.5", "seeds must be a whole number or a list, not 2.5"),
        ("seeds: §1000000", "seeds must be at most 100000, not 1000000"),
        ("seeds: §[]", "seeds is empty"),
        ("seeds: [1, §-2]", "a value of seeds must be at least 0, not -2"),
        ("seeds: [1, 2, §1]", "seed 1 is given twice"),
        ("seeds: [1, §true]", "a value of seeds must be a whole number, not true"),
        ("budget: §10", "budget must be a mapping, not 10"),
        ("budget:§ ", "budget must be a mapping, not nothing"),
        ("budget: {steps: §0}", "steps must be at least 1, not 0"),
        ("budget: {steps: §ten}", "steps must be a whole number, not 'ten'"),
        ("budget: {steps: §012}", "steps must be a whole number, not '012'"),
        ("budget: {steps: §1000.0}", "steps must be a whole number, not 1000.0"),
        ("budget: {seconds: §0}", "seconds must be greater than 0, not 0"),
        ("budget: {seconds: §1:30}", "seconds must be a number, not '1:30'"),
        ("budget: {cost: §.inf}", "a number must be finite and within 64 bits, not .inf"),
        ("timeout: §0", "timeout must be greater than 0, not 0"),
        ("timeout: §null", "timeout must be a number, not null"),
        ("dtype: §float16", "dtype must be 'float32' or 'float64', not 'float16' (did you mean 'float64'?)"),
        ("dtype: §64", "dtype must be 'float32' or 'float64', not 64"),
        ("metrics: §[]", "metrics is empty"),
        ("metrics: §loss", "metrics must be a list, not 'loss'"),
        ("metrics: [§los]", "unknown metric 'los' (did you mean 'loss'?)"),
        ("metrics: [{use: §dept}]", "unknown metric 'dept' (did you mean 'depth'?)"),
        ("metrics: [{use: loss, every: §0}]", "every must be at least 1, not 0"),
        ("metrics: [{use: loss, §evry: 2}]", "unknown key 'evry' (did you mean 'every'?)"),
        ("metrics: [§{every: 2}]", "missing key 'use'"),
        ("metrics: [loss, {use: §loss, every: 2}]", "metric 'loss' is given twice"),
        ("§tune: {trials: 3}", None),
        ("§1: 2", None),
        ("profiles: §[quick]", "profiles must be a mapping of names to changes, not a list"),
        ("profiles: {quick: §3}", "profile 'quick' must be a mapping, not 3"),
        ("profiles: {quick: {budget: {steps: §x}}}", "steps must be a whole number, not 'x'"),
        ("profiles: {quick: {§profiles: {}}}", "a profile has no profiles of its own"),
        ("profiles: {quick: {problems: §[]}}", "problems is empty"),
    ],
)
def test_keys_of_a_suite(key: str, message: str | None) -> None:
    known = "budget, dtype, experiment, metrics, optimizers, problems, profiles, seeds, timeout, title"
    name = key.strip("§").partition(":")[0]
    expect(race(more=key), message or f"unknown key '{name}' (known: {known})")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("§suite_prob", "unknown optimizer 'suite_prob' (did you mean 'suite_probe'?)"),
        ("§3", "an optimizer is a name or a mapping with the key 'use', not 3"),
        ("§[suite_probe]", "an optimizer is a name or a mapping with the key 'use', not a list"),
        ("§{lr: 1}", "missing key 'use'"),
        ("§{suite_probe: {lr: 1}}", "missing key 'use': write {use: suite_probe, ...}"),
        ("{use: §3}", "use must be the name of an optimizer, not 3"),
        ("{use: suite_probe, label: §3}", "label must be text on one line, not 3 (put it in quotes)"),
        ("{use: suite_probe, label: §''}", "label must be text on one line, not ''"),
        (r'{use: suite_probe, label: §"a\nb"}', r"label must be text on one line, not 'a\nb'"),
        ("{use: suite_probe, lr: §'3'}", "lr must be a number, not '3'"),
        ("{use: suite_probe, lr: §true}", "lr must be a number, not true"),
        ("{use: suite_probe, lr: §null}", "lr must be a number, not null"),
        (
            "{use: suite_probe, lr: §[0.1]}",
            "lr must be a number, not a list (several values to try are written {grid: [first, second]})",
        ),
        ("{use: suite_probe, damping: §-1}", "damping must be at least 0, not -1"),
        (
            "{use: suite_probe, damping: §papr}",
            "damping must be a number, 'paper' or 'none', not 'papr' (did you mean 'paper'?)",
        ),
        ("{use: suite_probe, radius: §0}", "radius must be greater than 0, not 0"),
        ("{use: suite_probe, n_inner: §1.0}", "n_inner must be a whole number, not 1.0"),
        ("{use: suite_probe, restart: §yes}", "restart must be true or false, not 'yes'"),
        ("{use: suite_probe, shape: §3}", "shape must be a list, not 3"),
        ("{use: suite_probe, shape: [1, §0]}", "a value of shape must be at least 1, not 0"),
        ("{use: suite_probe, window: §[1]}", "window has too few values"),
        ("{use: suite_probe, window: §[1, 2, 3]}", "window must have at most 2 values, not 3"),
        ("{use: suite_probe, colour: §gren}", "colour must be 'red' or 'green', not 'gren' (did you mean 'green'?)"),
        ("{use: suite_probe, word: §1}", "word must be text, not 1 (put it in quotes)"),
        ("{use: suite_probe, §colr: red}", "unknown key 'colr' of suite_probe (did you mean 'colour'?)"),
        ("{use: suite_probe, lr: {grid: §[]}}", "grid is empty: lr needs at least one value"),
        ("{use: suite_probe, lr: {grid: §0.1}}", "grid must be a list, not 0.1"),
        ("{use: suite_probe, lr: {grid: [1, §0]}}", "lr must be greater than 0, not 0"),
        ("{use: suite_probe, lr: {grid: [1, §1.0]}}", "the grid of lr has 1.0 twice"),
        ("{use: suite_probe, lr: {grid: [1], §step: 2}}", "unknown key 'step' beside grid"),
        ("{use: suite_probe, label: §{grid: [a]}}", "label must be text on one line, not a mapping"),
        ("§suite_picky", "missing key 'low' of suite_picky"),
        ("{use: §suite_picky, low: 2}", "low must not exceed high, but 2 > 1"),
        ("{use: §suite_picky, low: 0}", "suite_picky cannot be made: ZeroDivisionError: float division by zero"),
        ("suite_probe, {use: suite_probe, label: §suite_probe, lr: 3}", None),
        ("suite_probe, {use: §suite_probe, lr: 3}", None),
        (
            "{use: suite_probe, lr: 0.5}, {use: suite_probe, label: §b, lr: 0.50}",
            "'b' is 'suite_probe' again: same optimizer, same parameters",
        ),
        ("§torch.optim.Adm", "unknown optimizer 'torch.optim.Adm' (did you mean 'Adam'?)"),
        ("§.Adam", re.compile("unknown optimizer '.Adam'.*")),
        ("{use: torch.optim.Adam, §beta: 1}", "unknown key 'beta' (did you mean 'betas'?)"),
        ("§suite_bare", re.compile(r"\S+suite_bare.py: SuiteBare is not a dataclass")),
        ("§suite_broken", re.compile(r"\S+suite_broken.py:3: cannot be imported: ZeroDivisionError: .*")),
        ("§suite_stepless", re.compile(r"\S+suite_stepless.py: SuiteStepless does not define step")),
        ("§suite_opaque", re.compile(r"\S+suite_opaque.py: the fields of SuiteOpaque cannot be read: .*Opaque.*")),
    ],
)
def test_entries(entry: str, message: str | re.Pattern[str] | None) -> None:
    text = race(f"[{entry}]")
    if isinstance(message, re.Pattern):
        with pytest.raises(SuiteError) as caught:
            load(text.replace("§", ""))
        column = text.split("\n")[1].index("§") + 1
        assert re.fullmatch(rf"s\.yaml:2:{column}: {message.pattern}", str(caught.value))
    else:
        expect(text, message or "two optimizers are called 'suite_probe': give one of them a label")


def test_a_stock_problem_is_refused() -> None:
    expect(
        race(problems="[§torch.nn.Linear]"),
        "unknown problem 'torch.nn.Linear': only optimizers can be named by their module",
    )


def test_several_things_wrong_with_one_entry() -> None:
    grids = "lr: {grid: §[]}, shape: {grid: [[1], [§0]]}, damping: {grid: [§-1, §x]}"
    expect(
        race(f"[{{use: suite_probe, {grids}, §wrd: a, label: §1}}]"),
        "grid is empty: lr needs at least one value",
        "a value of shape must be at least 1, not 0",
        "damping must be at least 0, not -1",
        "damping must be a number, 'paper' or 'none', not 'x'",
        "unknown key 'wrd' of suite_probe (did you mean 'word'?)",
        "label must be text on one line, not 1 (put it in quotes)",
    )


def test_missing_entries() -> None:
    with pytest.raises(SuiteError) as caught:
        load("# a comment\ntitle: x\n")
    assert str(caught.value).split("\n") == ["s.yaml:2:1: missing key 'optimizers'", "s.yaml:2:1: missing key 'problems'"]


def test_a_grid_beyond_reason_is_refused_before_it_is_unrolled() -> None:
    values = ", ".join(map(str, range(1, 101)))
    grid = f"{{grid: [{values}]}}"
    text = race(f"[§{{use: suite_probe, lr: {grid}, n_inner: {grid}, damping: {grid}, radius: {grid}}}]")
    expect(text, f"these grids have {100**4} combinations, more than {MAX_COMBINATIONS}")


def test_a_metric_needs_one_problem_that_has_it_and_a_profile_must_keep_it() -> None:
    more = "metrics: [loss, §depth]\nprofiles: {quick: {problems: [monkey_saddle]}}"
    known = sorted(METRICS)
    assert "depth" not in known
    expect(race(more=more), f"unknown metric 'depth' (known: {', '.join(known)}) (in profile 'quick')")


def test_an_unknown_profile() -> None:
    with pytest.raises(SuiteError, match=re.escape("s.yaml: unknown profile 'quik' (did you mean 'quick'?)")):
        load(race(more="profiles: {quick: {}}"), "quik")
    with pytest.raises(SuiteError, match=re.escape("s.yaml: unknown profile 'quik' (it has none)")):
        load(race(), "quik")


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "s.yaml: is empty"),
        (b"# nothing\n", "s.yaml: is empty"),
        (b"- a\n", "s.yaml:1:1: a suite is a mapping with keys such as problems, not a list"),
        (b"\n text\n", "s.yaml:2:2: a suite is a mapping with keys such as problems, not 'text'"),
        (b"title: \xff", "s.yaml:1:8: not UTF-8"),
        ("\ufefftitle: é".encode() + b"\xe9", "s.yaml:1:9: not UTF-8"),
        ("title: x".encode("utf-16"), "s.yaml:1:1: not UTF-8"),
        (b"a: [1", "s.yaml:1:6: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        (b"a" * 300_000, "s.yaml: larger than 200000 bytes, no suite"),
    ],
)
def test_files_that_hold_no_suite(data: bytes, message: str) -> None:
    Path("s.yaml").write_bytes(data)
    with pytest.raises(SuiteError) as caught:
        load_suite("s.yaml")
    assert str(caught.value) == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases: list[tuple[str | Path, str]] = [
        ("gone.yaml", "gone.yaml: no such file"),
        ("to.yaml", "to.yaml: no such file (did you mean 'toy'?)"),
        ("toyy", "unknown suite 'toyy' (did you mean 'toy'?)"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
        ("a\0b", "unknown suite 'a\\x00b'"),
        ("", "unknown suite ''"),
    ]
    for name, message in cases:
        with pytest.raises(SuiteError, match=f"^{re.escape(message)}"):
            load_suite(name)


def test_names_are_looked_up_here_and_then_among_the_shipped() -> None:
    assert load_suite("toy").path == registry.shipped("suites") / "toy.yaml"
    Path("suites").mkdir()
    Path("suites/toy.yaml").write_text(race(more="title: Mine"))
    assert load_suite("toy").title == "Mine"
    assert available()["toy"] == Path("suites/toy.yaml")
    assert {"smoke", "digits", "mlp_mnist"} <= set(available())


def test_titles_are_read_without_reading_the_suite() -> None:
    Path("a.yaml").write_text("title: A\nproblems: [nonsense]")
    Path("b.yaml").write_text("title: [")
    Path("c.yaml").write_text("- title")
    assert title(Path("a.yaml")) == "A"
    assert title(Path("b.yaml")).startswith("broken: b.yaml:1:9: not valid YAML")
    assert title(Path("c.yaml")) == ""


def test_listing_suites_imports_neither_torch_nor_pydantic() -> None:
    code = (
        "import sys; from sfnbench.suite_file import available, title; print([title(p) for p in available().values()]);"
        "sys.exit(bool({'torch', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["smoke", "toy", "digits", "mlp_mnist"])
def test_shipped_suites_are_right_and_fit_a_screen(name: str) -> None:
    path = registry.shipped("suites") / f"{name}.yaml"
    suite = load_suite(path)
    assert suite.title
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120


# -- anything at all --------------------------------------------------------------------------------------------------

VALUE = st.recursive(
    st.sampled_from([None, True, -1, 0, 1, 2.5, "", "loss", "suite_probe", "suite_bowl", "torch.optim.Adam", "grid", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["use", "label", "grid", "lr", "every"]), inner)
    ),
    max_leaves=6,
)
KEY = st.sampled_from(
    ["title", "experiment", "seeds", "budget", "timeout", "dtype", "metrics", "problems", "optimizers", "profiles", "x"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.dictionaries(KEY, VALUE | st.lists(VALUE)))
def test_any_content_is_a_suite_or_a_suite_error(content: dict[str, object]) -> None:
    base = {"problems": ["suite_bowl"], "optimizers": ["suite_probe"]}
    for candidate in (content, {**base, **content}, {**base, "profiles": {"p": content}}):
        said = ""
        try:
            load(json.dumps(candidate))
        except SfnbenchError as error:
            said = str(error)
        assert all(re.match(r"s\.yaml:\d+:\d+: ", line) for line in said.splitlines())
        assert "Input should" not in said
