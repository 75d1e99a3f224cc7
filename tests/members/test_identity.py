"""A run's identity: what decides its numbers is in it, in every process the same, and no more."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sfnbench.members import identity
from sfnbench.members.identity import codes, harness, identify, source_hash
from sfnbench.members.imports import class_file, module_file, reach
from sfnbench.members.reading import HERE
from sfnbench.records import Run, Spec
from sfnbench.results.staleness import why_stale

MACHINERY = {
    f"sfnbench/{file}.py"
    for file in [
        "core/cost",
        "core/curvature",
        "core/derivatives",
        "core/linearise",
        "core/memory",
        "core/network",
        "core/oracle",
        "core/problem",
        "experiments/draws",
        "experiments/randomness",
        "experiments/setup",
        "trajectories/single",
        "trajectories/stock",
        "trajectories/vmapped",
    ]
}
OWN_MACHINERY = {
    "race": [
        "experiments/race/blocks",
        "experiments/race/loop",
        "experiments/race/outcomes",
        "experiments/race/recording",
        "linalg/lanczos",
        "metrics/measuring",
    ],
    "critical_points": [
        "core/finder",
        "experiments/critical_points/search",
        "experiments/critical_points/spectrum",
        "linalg/spectrum",
        "metrics/measuring",
    ],
    "throughput": ["experiments/throughput/timer"],
}
REPORTING = ("cli", "report", "results", "session", "suite", "survival")


def files(kind, use, **params):
    return {place for code in codes(kind, use, params) for place in code.files}


# -- what is in it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", ["race", "critical_points", "throughput"])
def test_the_harness_is_what_runs_an_experiment_not_what_reports_it(experiment):
    found = set(harness(experiment).files)
    assert found >= MACHINERY
    assert found >= {f"sfnbench/{file}.py" for file in OWN_MACHINERY[experiment]}
    assert f"sfnbench/experiments/{experiment}/execute.py" in found
    rooms = {place.split("/")[1] for place in found}
    assert not rooms & {
        *REPORTING,
        "members",
        "words.py",
        "errors.py",
        "environment.py",
    }
    reports = ("table", "curves", "compare", "figures", "keys")
    assert not {Path(place).stem for place in found} & set(reports)


@pytest.mark.parametrize(
    ("experiment", "kinds"),
    [
        ("race", ("problem", "optimizer")),
        ("throughput", ("problem", "optimizer")),
        ("critical_points", ("problem", "finder", "optimizer")),
    ],
)
def test_what_members_share_with_the_harness_is_hashed_there(experiment, kinds):
    covered = {HERE.parent / place for place in harness(experiment).files}
    for kind in kinds:
        for module in identity._VOCABULARY[kind]:
            assert reach(HERE / "core" / f"{module}.py").files <= covered


def test_a_source_is_its_file_and_what_that_imports_by_name():
    assert files("optimizer", "sfn") == {
        "sfnbench/optimizers/sfn.py",
        "sfnbench/optimizers/_damping.py",
        "sfnbench/linalg/absolute.py",
    }
    shared = {
        f"sfnbench/datasets/{name}.py"
        for name in ("__init__", "_files", "_images", "_texts")
    }
    on_digits = files("problem", "mlp", dataset="digits")
    assert {place for place in on_digits if "/datasets/" in place} == {
        *shared,
        "sfnbench/datasets/digits.py",
    }
    on_mnist = files("problem", "mlp", dataset="mnist")
    assert on_mnist - on_digits == {
        "sfnbench/datasets/mnist.py",
        "sfnbench/datasets/_idx.py",
    }


def test_a_dataset_named_in_code_counts_too(plugin):
    plugin(
        "problems",
        "named",
        "from sfnbench.datasets import load\nX = load('cifar10')\n" + PROBLEM,
    )
    assert "sfnbench/datasets/cifar10.py" in files("problem", "named")
    assert "sfnbench/datasets/digits.py" not in files("problem", "named")


PROBLEM = """
from dataclasses import dataclass
from sfnbench import Problem, register
@register("named")
@dataclass(frozen=True)
class Named(Problem):
    dim = 1
"""


def test_an_optimizer_named_in_another_s_parameters_counts():
    inner = {"use": "sfn", "damping": 0.1}
    alone = files("optimizer", "switch", first={"use": "msgd"})
    assert "sfnbench/optimizers/sfn.py" not in alone
    assert "sfnbench/optimizers/sfn.py" in files("optimizer", "switch", first=inner)
    assert "sfnbench/optimizers/sfn.py" in files(
        "optimizer", "switch", first={"choice": [{"use": "msgd"}, inner]}
    )


# -- edits of a copy of the package ----------------------------------------------------------------

HASHES = """
import json, sys
from sfnbench.members import identity
used = [("problem", "mlp", {"dataset": "mnist"}), ("problem", "rnn", {"dataset": "penn_treebank"}),
        ("optimizer", "sfn", {}), ("optimizer", "gradient_descent", {})]
found = {use: identity.source_hash(kind, use, params) for kind, use, params in used}
found["race"] = identity.digest([identity.harness("race")])
assert "torch" not in sys.modules
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Edit a copy of sfnbench: copy(file, text=replacement) says which hashes that changes."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        HERE, root / "sfnbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(HERE.parent / "plugins", root / "plugins")

    def hashes():
        environment = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", HASHES],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    whole = hashes()

    def edit(file, old, new):
        path = root / "sfnbench" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        changed = {name for name, found in hashes().items() if found != whole[name]}
        path.write_text(text)
        return changed

    return edit


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        # a Hessian-vector product made three times too large
        ("core/curvature.py", "Kind", "Sort", {"race"}),
        ("trajectories/vmapped.py", "self.parked", "~self.parked", {"race"}),
        ("core/cost.py", '"hvp"', '"product"', {"race"}),
        ("optimizers/_damping.py", "\nimport", "\nimport math\nimport", {"sfn"}),
        ("problems/_sources.py", "import functools", "import math", {"mlp", "rnn"}),
        ("datasets/penn_treebank.py", "\nfrom", "\nimport math\nfrom", {"rnn"}),
        ("datasets/mnist.py", "\nfrom", "\nimport math\nfrom", {"mlp"}),
        ("datasets/penn_treebank.py", "\nfrom", "\n# a comment\nfrom", set()),
        ("core/oracle.py", '"""', '"""Another word. ', set()),
        ("records.py", "FORMAT", "FORMAT_OF", set()),
        ("members/registry.py", "\nimport", "\nimport math\nimport", set()),
        ("results/store.py", "\nimport", "\nimport math\nimport", set()),
        ("report/html.py", "\nimport", "\nimport math\nimport", set()),
        ("cli/main.py", "\nimport", "\nimport math\nimport", set()),
        ("__init__.py", "0.1.0", "0.2.0", set()),
    ],
)
def test_an_edit_makes_stale_what_it_reaches(copy, file, old, new, stale):
    assert copy(file, old, new) == stale


# -- the same everywhere ---------------------------------------------------------------------------

TWO_PACKAGES = """
from sfnbench import datasets, problems
from sfnbench import Problem, Optimizer
from sfnbench.linalg.lanczos import lanczos
from ._mine import shared
"""


def test_every_process_has_the_same_hash(plugin):
    plugin("optimizers", "_mine", "shared = 1\n")
    path = plugin("optimizers", "two", TWO_PACKAGES + METHOD.format(name="two"))
    script = (
        "import sys; from sfnbench.members import identity, registry;"
        f"registry.add_plugins({str(path.parents[1])!r});"
        "print(identity.source_hash('optimizer', 'two', {}))"
    )
    printed = {source_hash("optimizer", "two", {})}
    for seed in "012345":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.add(done.stdout.strip())
    assert len(printed) == 1


METHOD = """
from dataclasses import dataclass
from sfnbench import Optimizer, register
@register("{name}")
@dataclass(frozen=True)
class Method(Optimizer):
    def step(self, oracle, theta, state):
        return theta, state
"""


def test_where_a_plugin_lies_changes_nothing(tmp_path, plugin):
    path = plugin("optimizers", "moved", METHOD.format(name="moved"))
    before = source_hash("optimizer", "moved", {})
    elsewhere = path.parents[1] / "moved.py"
    path.rename(elsewhere)
    assert source_hash("optimizer", "moved", {}) == before


def test_a_plugin_is_hashed_with_the_files_beside_it(plugin):
    helper = plugin("optimizers", "_mine", "shared = 1\n")
    plugin(
        "optimizers",
        "two",
        "from ._mine import shared\n" + METHOD.format(name="two"),
    )
    before = source_hash("optimizer", "two", {})
    helper.write_text("shared = 2\n")
    assert source_hash("optimizer", "two", {}) != before


def test_a_file_that_is_no_python_counts_by_its_bytes(plugin):
    helper = plugin("optimizers", "_mine", "def broken(:\n")
    plugin(
        "optimizers",
        "two",
        "from ._mine import shared\n" + METHOD.format(name="two"),
    )
    before = source_hash("optimizer", "two", {})
    helper.write_text("def broken(::\n")
    assert source_hash("optimizer", "two", {}) != before


# -- what others wrote -----------------------------------------------------------------------------


def run(use, **params):
    problem = Spec(
        "quadratic_saddle",
        "saddle",
        {},
        source_hash("problem", "quadratic_saddle", {}),
    )
    method = Spec(use, use, params, source_hash("optimizer", use, params))
    return identify(
        Run("s", "race", problem, method, (0,), {"metrics": []}), "optimizer"
    )


def test_versions_are_those_of_what_is_run(monkeypatch):
    monkeypatch.setattr(identity, "_version", lambda package: f"{package} 1")
    # scipy draws the saddle's rotation
    assert run("gradient_descent").versions.keys() <= {"scipy"}
    assert run("torch.optim.Adam").versions["torch"] == "torch 1"
    assert (
        run("switch", first={"use": "torch.optim.Adam"}).versions["torch"]
        == "torch 1"
    )
    assert run("scipy.optimize.trust-krylov").versions == {"scipy": "scipy 1"}


def test_a_new_version_is_the_reason(monkeypatch):
    monkeypatch.setattr(identity, "_version", lambda package: "2.13.0")
    before = run("torch.optim.Adam")
    monkeypatch.setattr(
        identity,
        "_version",
        lambda package: {"torch": "2.14.0"}.get(package, "2.13.0"),
    )
    now = run("torch.optim.Adam")
    assert before.id != now.id
    assert (
        why_stale(before, now)
        == "torch.optim.Adam on saddle: torch was 2.13.0, is 2.14.0"
    )


def test_a_build_is_no_version(monkeypatch):
    monkeypatch.setattr(
        identity.importlib.metadata, "version", lambda name: "2.13.0+cu126"
    )
    assert run("torch.optim.Adam").versions["torch"] == "2.13.0"


def test_a_new_harness_is_the_reason():
    before = run("gradient_descent")
    now = replace(before, code={"harness": "another"})
    assert (
        why_stale(before, now) == "gradient_descent on saddle: the harness changed"
    )


def test_older_results_say_that_their_harness_was_not_recorded():
    now = run("gradient_descent")
    old = replace(
        now,
        code={},
        versions={},
        problem=replace(now.problem, source="of bytes"),
        settings={},
    )
    assert why_stale(old, replace(now, settings={})) == (
        "gradient_descent on saddle: it was not recorded with which harness it was run"
    )


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("use", ["mylab_of_test.Signed", "mylab_of_test:Signed"])
def test_a_user_s_own_module_counts_with_what_it_imports(modules, use):
    own = modules("mylab_of_test.py", "import mylab_tools\nclass Signed: pass\n")
    tools = modules("mylab_tools.py", "x = 1\n")
    before = run(use)
    assert before.method.source
    own.write_text("import mylab_tools\nclass Signed:\n    lr = 2\n")
    edited = run(use)
    assert why_stale(before, edited) == f"{use} on saddle: its source changed"
    tools.write_text("x = 2\n")
    assert run(use).id != edited.id


def test_an_installed_package_counts_by_its_version_and_the_file_of_the_class(
    modules,
):
    modules("site-packages/their_lab/__init__.py", "from .inner import *\n")
    modules(
        "site-packages/their_lab/inner/__init__.py", "from .signed import Signed\n"
    )
    signed = modules(
        "site-packages/their_lab/inner/signed.py", "class Signed: pass\n"
    )
    sys.path.insert(0, str(signed.parents[2]))
    try:
        assert class_file("their_lab", "Signed") == signed
        assert module_file("their_lab.inner.signed") == signed
        [code] = codes("optimizer", "their_lab.Signed", {})
    finally:
        sys.path.remove(str(signed.parents[2]))
    assert (code.files, code.packages) == ({"signed.py": signed}, {"their_lab"})


def test_an_unknown_name_has_no_source():
    assert source_hash("optimizer", "no_such_module_anywhere.X", {}) == ""
    assert source_hash("optimizer", "sfnn", {}) == ""


# -- metrics ---------------------------------------------------------------------------------------

METRIC = """
from dataclasses import dataclass
from sfnbench import Metric, register
@register("own_metric")
@dataclass(frozen=True, kw_only=True)
class Own(Metric):
    def measure(self, oracle, theta):
        return oracle.loss(theta)
"""


def test_a_metric_counts_where_it_is_measured(plugin):
    path = plugin("metrics", "own_metric", METRIC)
    without = run("gradient_descent")
    asked = replace(
        without, settings={"metrics": [["own_metric", 1], ["depth", 1]]}
    )
    before = identify(asked, "optimizer")
    assert before.code.keys() == {"harness", "metric own_metric"}
    path.write_text(METRIC.replace("oracle.loss(theta)", "2 * oracle.loss(theta)"))
    now = identify(asked, "optimizer")
    assert why_stale(before, now) == (
        "gradient_descent on saddle: the metric own_metric changed"
    )
    assert run("gradient_descent").id == without.id


def test_what_is_drawn_against_alpha_counts_too():
    before = run("gradient_descent")
    asked = replace(
        before, experiment="critical_points", settings={"energy": "loss"}
    )
    assert "metric loss" in identify(asked, "optimizer").code


def test_a_module_of_one_s_own_is_its_source_its_checkpoint_and_torch(
    tmp_path, monkeypatch
):
    """Its functions' source with what that imports, the checkpoint's bytes, torch's version."""
    monkeypatch.syspath_prepend(tmp_path)
    net, layers = tmp_path / "own_net.py", tmp_path / "own_layers.py"
    weights = tmp_path / "start.pt"
    net.write_text("from own_layers import Layer\ndef build(): return Layer()\n")
    layers.write_text("class Layer: width = 2\n")
    weights.write_bytes(b"1")
    params = {"model": "own_net:build", "checkpoint": str(weights), "radius": 0.1}

    def found():
        return identity.source_hash("problem", "module", params)

    first = found()
    net.write_text("# a remark\n" + net.read_text())
    assert found() == first
    layers.write_text("class Layer: width = 3\n")
    assert (second := found()) != first
    weights.write_bytes(b"2")
    assert found() != second
    packages = [
        each.packages for each in identity.codes("problem", "module", params)
    ]
    assert frozenset({"torch"}) in packages
