"""What tests share: a run in a line, and members of their own."""

import importlib
import sys

import pytest
import torch
from hypothesis import settings

from sfnbench import registry
from sfnbench.planning import Chosen, Run

settings.register_profile("sfnbench", deadline=None, derandomize=True)  # time limits would fail on a busy machine
settings.load_profile("sfnbench")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")  # it keeps nothing, so hypothesis may use it too
def make_run():
    """A race in a line: make_run("quadratic_saddle", {...}, "sfn", {...}, seeds=4, steps=10)."""

    def make(problem, problem_params, optimizer, optimizer_params, *, seeds=3, steps=20, metrics=("loss",), **budget):
        return Run(
            suite="test",
            experiment="race",
            problem=Chosen(problem, problem, problem_params, ""),
            optimizer=Chosen(optimizer, optimizer, optimizer_params, ""),
            seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
            settings={
                "budget": {"steps": steps, "seconds": None, "cost": None, **budget},
                "metrics": [[name, 1] if isinstance(name, str) else list(name) for name in metrics],
            },
        )

    return make


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Write a plugin file for this test alone: plugin("optimizers", "name", source)."""
    added, path = list(registry._added), list(registry._package.__path__)
    root = tmp_path / "my_plugins"

    def write(folder, name, source):
        file = root / folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        registry.add_plugins(root)
        return file

    yield write
    registry._added[:] = added
    for key, cls in list(registry._registered.items()):
        module = sys.modules.get(cls.__module__)
        if module is None or (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del registry._registered[key]
            sys.modules.pop(cls.__module__, None)
    registry._package.__path__[:] = path
    importlib.invalidate_caches()
