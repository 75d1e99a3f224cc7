import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite_writing import enter, expect, load, race

from sfnbench.errors import SfnbenchError, SuiteError
from sfnbench.members import registry
from sfnbench.members.identity import source_hash
from sfnbench.suite.files import text_at
from sfnbench.suite.reading import Suite, available, load_suite, title
from sfnbench.suite.yaml_nodes import parse


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)


# -- what a suite resolves to ----------------------------------------------------------------------


def test_defaults() -> None:
    suite = load(race())
    assert (suite.name, suite.path, suite.title, suite.experiment) == (
        "s",
        Path("s.yaml"),
        "",
        "race",
    )
    assert (suite.seeds, suite.timeout_s, suite.dtype) == (
        (0, 1, 2, 3, 4),
        3600,
        "float64",
    )
    assert suite.settings == {
        "budget": {"steps": 500, "seconds": None, "cost": None, "epochs": None},
        "metrics": [["loss", {"steps": 1}]],
        "prices": {"loss": 1 / 3, "grad": 1, "hvp": 2, "hessian": 2},
    }
    [probe], [bowl] = suite.optimizers, suite.problems
    assert (probe.use, probe.label, bowl.use, bowl.params) == (
        "suite_probe",
        "suite_probe",
        "suite_bowl",
        {"dim": 2},
    )
    assert probe.source == source_hash("optimizer", "suite_probe", probe.params)


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
    assert (suite.title, suite.seeds, suite.timeout_s, suite.dtype) == (
        "Ω",
        (3, 1),
        10,
        "float32",
    )
    budget = {"steps": 7, "seconds": 1, "cost": 2.5, "epochs": None}
    assert suite.settings["budget"] == budget
    assert suite.settings["metrics"] == [
        ["depth", {"steps": 3}],
        ["gradient_norm", {"steps": 1}],
    ]
    assert [(p.label, p.params) for p in suite.problems] == [("y", {"dim": 3})]
    adam = suite.optimizers[1]
    assert (adam.use, adam.label, adam.source) == ("torch.optim.Adam",) * 2 + ("",)
    assert (adam.params["lr"], adam.params["betas"]) == (0.001, [0.9, 0.999])


def test_epochs_alone_decide_unless_steps_are_given_too() -> None:
    text = race(
        "[suite_probe]",
        more="budget: {epochs: 3}\nmetrics: [{use: loss, every: {epochs: 0.5}}]\n",
    )
    settings = load(text).settings
    assert settings["budget"] == {
        "steps": 10**9,
        "seconds": None,
        "cost": None,
        "epochs": 3,
    }
    assert settings["metrics"] == [["loss", {"epochs": 0.5}]]
    both = load(race("[suite_probe]", more="budget: {epochs: 3, steps: 7}\n"))
    assert (
        both.settings["budget"]["steps"],
        both.settings["budget"]["epochs"],
    ) == (
        7,
        3,
    )


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
    assert quick.settings == {
        "budget": {"steps": 2, "seconds": None, "cost": 3, "epochs": None},
        "metrics": [["loss", {"steps": 1}]],
        "prices": load(text).settings["prices"],
    }
    assert (quick.seeds, len(quick.optimizers), quick.profile) == ((0,), 1, "quick")
    assert len(load(text).optimizers) == 2


# -- what is wrong with a suite --------------------------------------------------------------------


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
        (
            "budget: {cost: §.inf}",
            "a number must be finite and within 64 bits, not .inf",
        ),
        ("timeout: §0", "timeout must be greater than 0, not 0"),
        ("timeout: §null", "timeout must be a number, not null"),
        (
            "dtype: §float16",
            "dtype must be 'float32' or 'float64', not 'float16' (did you mean 'float64'?)",
        ),
        ("dtype: §64", "dtype must be 'float32' or 'float64', not 64"),
        ("metrics: §[]", "metrics is empty"),
        ("metrics: §loss", "metrics must be a list, not 'loss'"),
        ("metrics: [§los]", "unknown metric 'los' (did you mean 'loss'?)"),
        (
            "metrics: [{use: §dept}]",
            "unknown metric 'dept' (did you mean 'depth'?)",
        ),
        ("metrics: [{use: loss, every: §0}]", "every must be at least 1, not 0"),
        (
            "metrics: [{use: loss, every: §{}}]",
            "every: must be a number of steps, {cost: NUMBER} or {epochs: NUMBER}",
        ),
        (
            "metrics: [{use: loss, every: §{cost: 1, epochs: 1}}]",
            "every: must be a number of steps, {cost: NUMBER} or {epochs: NUMBER}",
        ),
        ("budget: {epochs: §0}", "epochs must be greater than 0, not 0"),
        (
            "metrics: [{use: loss, §evry: 2}]",
            "unknown key 'evry' (did you mean 'every'?)",
        ),
        ("metrics: [§{every: 2}]", "missing key 'use'"),
        ("metrics: [loss, {use: §loss, every: 2}]", "metric 'loss' is given twice"),
        ("§replicas: 3", None),
        ("§1: 2", None),
        (
            "profiles: §[quick]",
            "profiles must be a mapping of names to changes, not a list",
        ),
        ("profiles: {quick: §3}", "profile 'quick' must be a mapping, not 3"),
        (
            "profiles: {quick: {budget: {steps: §x}}}",
            "steps must be a whole number, not 'x'",
        ),
        (
            "profiles: {quick: {§profiles: {}}}",
            "a profile has no profiles of its own",
        ),
        ("profiles: {quick: {problems: §[]}}", "problems is empty"),
    ],
)
def test_keys_of_a_suite(key: str, message: str | None) -> None:
    known = (
        "budget, dtype, experiment, metrics, optimizers, prices, problems, profiles, seeds, "
        "timeout, title, tune"
    )
    name = key.strip("§").partition(":")[0]
    expect(race(more=key), message or f"unknown key '{name}' (known: {known})")


def test_missing_entries() -> None:
    with pytest.raises(SuiteError) as caught:
        load("# a comment\ntitle: x\n")
    assert str(caught.value).split("\n") == [
        "s.yaml:2:1: missing key 'optimizers'",
        "s.yaml:2:1: missing key 'problems'",
    ]


def test_a_metric_needs_one_problem_that_has_it_and_a_profile_must_keep_it() -> (
    None
):
    more = "metrics: [loss, §depth]\nprofiles: {quick: {problems: [monkey_saddle]}}"
    known = sorted(registry.members("metric"))
    assert "depth" not in known
    expect(
        race(more=more),
        f"unknown metric 'depth' (known: {', '.join(known)}) (in profile 'quick')",
    )


def test_an_unknown_profile() -> None:
    with pytest.raises(
        SuiteError,
        match=re.escape("s.yaml: unknown profile 'quik' (did you mean 'quick'?)"),
    ):
        load(race(more="profiles: {quick: {}}"), "quik")
    with pytest.raises(
        SuiteError, match=re.escape("s.yaml: unknown profile 'quik' (it has none)")
    ):
        load(race(), "quik")


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "s.yaml: is empty"),
        (b"# nothing\n", "s.yaml: is empty"),
        (
            b"- a\n",
            "s.yaml:1:1: a suite is a mapping with keys such as problems, not a list",
        ),
        (
            b"\n text\n",
            "s.yaml:2:2: a suite is a mapping with keys such as problems, not 'text'",
        ),
        (b"title: \xff", "s.yaml:1:8: not UTF-8"),
        ("\ufefftitle: é".encode() + b"\xe9", "s.yaml:1:9: not UTF-8"),
        ("title: x".encode("utf-16"), "s.yaml:1:1: not UTF-8"),
        (
            b"a: [1",
            "s.yaml:1:6: not valid YAML: while parsing a flow sequence, expected ',' "
            "or ']', but got '<stream end>'",
        ),
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
    assert {
        "smoke",
        "digits",
        "mlp_mnist",
        "mlp_cifar10",
        "autoencoder",
        "rnn",
    } <= set(available())


def test_titles_are_read_without_reading_the_suite() -> None:
    Path("a.yaml").write_text("title: A\nproblems: [nonsense]")
    Path("b.yaml").write_text("title: [")
    Path("c.yaml").write_text("- title")
    assert title(Path("a.yaml")) == "A"
    assert title(Path("b.yaml")).startswith("broken: b.yaml:1:9: not valid YAML")
    assert title(Path("c.yaml")) == ""


@pytest.mark.parametrize(
    "text",
    [
        "a: {title: x}\ntitle: y\nb: [title, 3]",
        "title: x\ntitle: y",
        "x: title\ny: z",
        "{a: 1, ? [1, 2] : title, title: Q}",
        "? title\n: {a: b}",
        "title: &a A\nb: *a",
        "a: &a A\ntitle: *a",
        "title: |\n  two\n  lines",
        "title",
        "title:",
        "",
    ],
)
def test_a_title_that_is_read_quickly_is_the_one_that_the_tree_has(
    text: str,
) -> None:
    root, _ = parse(text)
    known = root.child("title") if root else None
    quick = text_at(text, "title")
    assert quick is None or (known is not None and quick == known.text)


def test_listing_suites_imports_neither_torch_nor_pydantic() -> None:
    code = (
        "import sys; from sfnbench.suite.files import available, title; "
        "print([title(p) for p in available().values()]);"
        "sys.exit(bool({'torch', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(
            (name, 40)
            for name in ("smoke", "toy", "digits", "mlp_mnist", "mlp_cifar10")
        ),
        *((name, 40) for name in ("gaussian_field", "spin_glass", "landscapes")),
        *(
            (f"critical_points_{name}", 50)
            for name in ("linear_autoencoder", "mnist", "cifar10")
        ),
        *(
            (name, 40)
            for name in ("escape", "strict_saddle", "octopus", "throughput")
        ),
        *((name, 60) for name in ("field", "field_stock", "index")),
        ("standing", 110),  # forty methods
        *(
            (name, 80) for name in ("autoencoder", "rnn")
        ),  # two screens: every control is an arm of its own
    ],
)
def test_shipped_suites_are_right_and_fit_a_screen(name: str, most: int) -> None:
    path = registry.shipped("suites") / f"{name}.yaml"
    suite = load_suite(path)
    assert suite.title
    header, *lines = path.read_text().splitlines()
    assert header.startswith("# yaml-language-server")  # for editors alone
    assert lines[0].startswith("#")
    assert len(lines) <= most
    assert max(map(len, lines)) <= 120


# -- anything at all -------------------------------------------------------------------------------

VALUE = st.recursive(
    st.sampled_from(
        [
            None,
            True,
            -1,
            0,
            1,
            2.5,
            "",
            "loss",
            "suite_probe",
            "suite_bowl",
            "torch.optim.Adam",
            "grid",
            "x",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["use", "label", "grid", "lr", "every"]), inner
        )
    ),
    max_leaves=6,
)
KEY = st.sampled_from(
    [
        "title",
        "experiment",
        "seeds",
        "budget",
        "timeout",
        "dtype",
        "metrics",
        "problems",
        "optimizers",
        "profiles",
        "x",
    ]
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=40,
)
@given(st.dictionaries(KEY, VALUE | st.lists(VALUE)))
def test_any_content_is_a_suite_or_a_suite_error(
    content: dict[str, object],
) -> None:
    base = {"problems": ["suite_bowl"], "optimizers": ["suite_probe"]}
    for candidate in (
        content,
        {**base, **content},
        {**base, "profiles": {"p": content}},
    ):
        said = ""
        try:
            load(json.dumps(candidate))
        except SfnbenchError as error:
            said = str(error)
        assert all(
            re.match(r"s\.yaml:\d+:\d+: ", line) for line in said.splitlines()
        )
        assert "Input should" not in said


def test_of_very_many_faults_the_first_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(f"problems: [{', '.join(['monkey_saddle'] * 70)}]\n")
    with pytest.raises(SuiteError) as found:
        load_suite(file)
    lines = str(found.value).splitlines()
    assert len(lines) == 51
    assert lines[-1].endswith(" more")
    n_more = int(lines[-1].split()[1])
    # each entry but the first, and each key that this suite lacks
    assert 50 + n_more == 69 + sum("missing key" in line for line in lines)
