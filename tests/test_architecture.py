"""Who may import whom, how long a file may be, and that the public names are there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sfnbench

PACKAGE = Path(sfnbench.__file__).parent
ROOT = PACKAGE.parent

# module or folder -> what it may import of sfnbench, at the top of a file or inside a function
MAY_IMPORT = {
    "errors": set(),
    "cost": {"errors"},
    "curvature": {"core", "errors"},  # core for its types alone
    "core": {"cost", "curvature", "errors"},
    "linalg": {"core", "errors"},
    "datasets": {"errors"},
    "theory": set(),
    "problems": {"core", "curvature", "datasets", "errors", "linalg", "registry", "theory"},
    "optimizers": {"core", "errors", "linalg", "registry"},
    "finding": {"core", "cost"},
    "finders": {"core", "finding", "registry"},
    "registry": {"errors"},
    "lift": {"core", "cost", "curvature"},
    "stock": {"core", "curvature", "errors", "lift"},
    "torch_optimizer": {"core", "cost", "curvature"},
    "metrics": {"core", "lift", "linalg"},
    "laws": set(),
    "repeatability": {"store"},
    "statistics": set(),
    "checks": {"core", "curvature", "errors", "finder_checks", "finding", "lift"},
    "finder_checks": {"checks", "core", "finding"},
    "suite": {"errors", "metrics", "registry", "stock"},
    "planning": {"core", "errors", "registry", "stock", "suite"},
    "environment": set(),
    "store": {"errors", "planning"},
    "export": {"cost", "errors", "store"},
    "compare": {"cost", "environment", "errors", "statistics", "store"},
    "experiments": {
        *(
            "core",
            "cost",
            "environment",
            "errors",
            "finding",
            "lift",
            "linalg",
            "metrics",
            "planning",
            "registry",
            "stock",
            "store",
        ),
    },
    "engines": {"environment", "errors", "experiments", "planning", "registry", "store"},
    "tuning": {"errors", "planning", "store", "suite"},
    "session": {"engines", "environment", "errors", "planning", "registry", "store", "suite", "tuning"},
    "report": {"cost", "errors", "laws", "planning", "registry", "session", "statistics", "store", "theory", "tuning"},
}
FREE = {"cli", "cli_printing", "cli_results", "__main__", "__init__", "catalogue", "scaffold"}  # they join everything


def rooms():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, parts[0]


def imported(path):
    """The rooms of sfnbench that a file imports."""
    inside = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = inside[: len(inside) - node.level]
                full = (*base, *(node.module.split(".") if node.module else ()))
                for target in [full] if full else [(alias.name,) for alias in node.names]:
                    yield target[0]
            elif (node.module or "").split(".")[0] == "sfnbench":
                yield [*node.module.split("."), node.names[0].name][1]


@pytest.mark.parametrize(("path", "room"), list(rooms()), ids=lambda x: str(x).replace(str(PACKAGE), ""))
def test_imports_go_one_way(path, room):
    if room in FREE:
        return
    allowed = MAY_IMPORT[room] | {room}
    assert set(imported(path)) <= allowed, f"{room} may import {sorted(allowed)}"


def test_plugins_import_only_the_public_names():
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sfnbench"):
                assert node.module == "sfnbench", path
                assert {alias.name for alias in node.names} <= set(sfnbench.__all__), path


def test_files_and_functions_stay_short():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        source = path.read_text()
        assert source.count("\n") <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and not path.name.startswith("cli"):  # a command's options are many lines
                assert node.end_lineno - node.lineno < 45, f"{path}: {node.name}"


def test_public_names_are_said_twice_alike():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names
    }
    assert typed == set(sfnbench._HOME)
    for name in sfnbench.__all__:
        assert getattr(sfnbench, name) is not None


def test_the_version_is_said_once_more_in_pyproject():
    assert re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M).group(1) == sfnbench.__version__


@pytest.mark.parametrize(
    "module", ["", ".cli", ".store", ".export", ".report.summary", ".report.figures", ".report.scaling", ".theory"]
)
def test_what_only_reads_imports_no_torch(module):
    code = f"import sys, sfnbench{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_loops_and_doors_catch_everything():
    catching = set()
    for path, room in rooms():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name) and node.type.id == "Exception":
                catching.add(room)
    # checks and registry meet a plugin's own code; stock hands on what scipy's thread raised
    assert catching <= {"experiments", "engines", "registry", "checks", "stock"}
