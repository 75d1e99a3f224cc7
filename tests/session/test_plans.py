"""Plans that are kept: the same as made again, and never believed where anything has changed."""

import subprocess
import sys

import pytest

from sfnbench.members import plugins
from sfnbench.session import plans
from sfnbench.session.plans import Request, plans_folder

PLUGIN = """
from dataclasses import dataclass
from sfnbench import Optimizer, register
{imports}

@register("kept_method")
@dataclass(frozen=True)
class KeptMethod(Optimizer):
    "A step."
    lr: float = {lr}

    def step(self, oracle, theta, state):
        return theta - self.lr * oracle.grad(theta), state
"""


@pytest.fixture
def request_(here, plugin, monkeypatch):
    """What a suite asks for, with a method and a module of its own, and a folder of data."""
    plugin("optimizers", "kept_method", PLUGIN.format(lr=0.1, imports=""))
    (here / "data").mkdir()
    monkeypatch.setenv("SFNBENCH_DATA", str(here / "data"))
    (here / "suites" / "kept.yaml").write_text(
        "seeds: 2\nbudget: {steps: 3}\nproblems: [quadratic_saddle]\n"
        "optimizers: [kept_method]\nprofiles: {quick: {seeds: 1}}\n"
    )
    return lambda **choices: Request("kept", **{"device": "cpu", **choices})


@pytest.fixture
def kept(request_):
    """The plan, made and kept."""
    return request_().make()


def test_a_kept_plan_is_the_plan(request_, kept):
    recalled = request_().recall()
    assert recalled == kept
    assert [run.id for run in recalled.runs] == [run.id for run in kept.runs]
    assert recalled.has_data


def test_another_request_has_another_plan(request_, kept):
    for choices in (
        {"profile": "quick"},
        {"seeds": 3},
        {"optimizers": ("sfn",)},
        {"device": "auto"},
    ):
        assert request_(**choices).recall() is None


def edit_suite(here):
    file = here / "suites" / "kept.yaml"
    file.write_text(file.read_text().replace("steps: 3", "steps: 4"))


def edit_plugin(here):
    file = here / "my_plugins" / "optimizers" / "kept_method.py"
    state = file.stat()
    file.write_text(PLUGIN.format(lr=0.2, imports=""))  # the same size
    plans.os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def add_plugin(here):
    (here / "my_plugins" / "optimizers" / "another.py").write_text("x = 1\n")


def add_module(here):
    (here / "beside.py").write_text("x = 1\n")


def add_data(here):
    (here / "data" / "file").write_text("x")


def install_package(here):
    (here / "site").mkdir()
    (here / "site" / "other-1.0.dist-info").mkdir()
    sys.path.append(str(here / "site"))


def damage_plan(here):
    (file,) = plans_folder().glob("*.json")
    text = file.read_text().replace('"lr": 0.1', '"lr": 0.3')
    file.write_text(text)


def cut_plan(here):
    (file,) = plans_folder().glob("*.json")
    file.write_bytes(file.read_bytes()[:-9])


@pytest.mark.parametrize(
    "change",
    [
        edit_suite,
        edit_plugin,
        add_plugin,
        add_module,
        add_data,
        install_package,
        damage_plan,
        cut_plan,
    ],
    ids=lambda change: change.__name__,
)
def test_a_plan_is_stale_where_anything_changed(
    change, here, request_, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plans, "plans_folder", lambda: tmp_path / "plans")
    monkeypatch.setitem(globals(), "plans_folder", lambda: tmp_path / "plans")
    request_().make()
    assert request_().recall() is not None
    change(here)
    assert request_().recall() is None


def test_what_changes_while_it_is_read_is_not_kept(here, request_, monkeypatch):
    read = plans.load_suite

    def meddling(*words):
        suite = read(*words)
        edit_suite(here)
        return suite

    monkeypatch.setattr(plans, "load_suite", meddling)
    request_().make()
    assert request_().recall() is None


def test_code_that_lies_elsewhere_is_not_kept(here, plugin, request_, monkeypatch):
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "far_away.py").write_text("factor = 1\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(here / "elsewhere")])
    imports = "import far_away"
    plugin("optimizers", "kept_method", PLUGIN.format(lr=0.1, imports=imports))
    request_().make()
    assert request_().recall() is None


def test_a_plan_with_ranges_is_not_kept(here, request_):
    (here / "suites" / "kept.yaml").write_text(
        "seeds: 2\nbudget: {steps: 3}\nproblems: [quadratic_saddle]\n"
        "optimizers: [{use: kept_method, lr: {loguniform: [0.01, 0.1]}}]\n"
        "tune: {trials: 2, seeds: 1}\n"
    )
    assert request_().make().suite.tune is not None
    assert request_().recall() is None


def test_a_kept_plan_needs_no_torch(here, request_, kept):
    code = (
        f"import sys; sys.path[:] = {sys.path}\n"
        "from pathlib import Path\n"
        "from sfnbench.members import plugins; plugins.add_plugins('my_plugins')\n"
        f"plugins.HERE = Path({str(plugins.HERE)!r})\n"
        "from sfnbench.session import plans\n"
        f"plans.plans_folder = lambda: Path({str(plans_folder())!r})\n"
        "from sfnbench.session.session import preview\n"
        "planned = plans.Request('kept', device='cpu').recall()\n"
        "print(planned and preview(planned)[0]['state'], 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "to do False"
