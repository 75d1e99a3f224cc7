"""What tests share.

A run in a line, members of their own, and the command line in a folder of their own.
"""

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from shipping import copy_shipped

from sfnbench.cli import main as cli
from sfnbench.members import plugins, registry
from sfnbench.records import Run, Spec
from sfnbench.session import plans

# Limits on time would fail on a busy machine.
settings.register_profile(
    "sfnbench",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sfnbench")


def pytest_configure(config):
    """Let tests see what ships, and nothing of what a user keeps in ./plugins, ./suites and
    ./runs."""
    folder = Path(tempfile.mkdtemp(prefix="sfnbench-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    if not (plugins.HERE / "share").is_dir():
        copy_shipped(plugins.HERE.parent, folder / "share")
        plugins.HERE = folder
    plans.plans_folder = lambda: folder / "plans"
    if config.getoption("numprocesses", None) and not hasattr(
        config, "workerinput"
    ):
        return  # the workers look for the tests from this process's folder
    (folder / "empty").mkdir()
    config.add_cleanup(lambda: os.chdir(config.invocation_params.dir))
    os.chdir(folder / "empty")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers():
    """More workers than cores, for many tests wait for processes of their own."""
    return min((os.cpu_count() or 1) + 3, 6)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")  # it keeps nothing, so hypothesis may use it too
def make_run():
    """A race in a line: make_run("quadratic_saddle", {...}, "sfn", {...}, seeds=4, steps=10)."""

    def make(
        problem,
        problem_params,
        optimizer,
        optimizer_params,
        *,
        seeds=3,
        steps=20,
        metrics=("loss",),
        **budget,
    ):
        return Run(
            suite="test",
            experiment="race",
            problem=Spec(problem, problem, problem_params, ""),
            method=Spec(optimizer, optimizer, optimizer_params, ""),
            seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
            settings={
                "budget": {"steps": steps, "seconds": None, "cost": None, **budget},
                "metrics": [
                    [name, 1] if isinstance(name, str) else list(name)
                    for name in metrics
                ],
            },
        )

    return make


SUITE = """
title: Tiny
seeds: 3
budget: {steps: 20}
problems: [quadratic_saddle, monkey_saddle]
optimizers: [{use: sfn, damping: 0}, {use: gradient_descent, lr: 0.05}]
profiles:
  quick: {budget: {steps: 2}}
"""


@pytest.fixture
def own_members(tmp_path):
    """Members that a test brings in a folder of its own are forgotten after it."""
    added, path = list(plugins._added), list(plugins._package.__path__)
    yield
    plugins._added[:] = added
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    for key, cls in list(registry._registered.items()):
        if cls.__module__ not in sys.modules:
            del registry._registered[key]
    plugins._package.__path__[:] = path
    importlib.invalidate_caches()


@pytest.fixture
def plugin(tmp_path, own_members):
    """Write a plugin file for this test alone: plugin("optimizers", "name", source)."""
    root = tmp_path / "my_plugins"

    def write(folder, name, source):
        file = root / folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        registry.add_plugins(root)
        return file

    return write


@pytest.fixture
def here(tmp_path, monkeypatch, own_members):
    """A folder to work in, with one suite."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "tiny.yaml").write_text(SUITE)
    return tmp_path


@pytest.fixture
def sfnbench(here, monkeypatch, capsys):
    """Call the command line in this process: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sfnbench", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return exit_.value.code or 0, out, err

    return call


@pytest.fixture
def run(sfnbench):
    """Run that suite in this process."""
    return lambda *words: sfnbench("run", "tiny", "--engine", "inline", *words)


@pytest.fixture(scope="session")
def browser():
    """A browser, for all tests of a session."""
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="playwright is missing: pip install 'sfnbench[test]'",
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    # Chromium's sandbox refuses root
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=root)
        yield browser
        browser.close()
