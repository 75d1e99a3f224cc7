"""What a user keeps in ./plugins, ./suites and ./runs of a clone changes no test."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shipping import copy_shipped

import sfnbench
from sfnbench.members import registry
from sfnbench.suite.reading import available

ROOT = Path(sfnbench.__file__).parents[1]
MINE = "raise SystemExit('the plugin of a user was imported')\n"


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(MINE)


def files(root):
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()
    }


def git(root, *words):
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


def test_what_git_knows_ships_and_everything_does_where_git_knows_nothing(tmp_path):
    ours, mine = (
        ("plugins/problems/ours.py", "suites/ours.yaml"),
        "plugins/optimizers/mine.py",
    )
    root = tmp_path / "clone"
    write(root, *ours)
    copy_shipped(root, tmp_path / "unpacked")
    assert files(tmp_path / "unpacked") == set(ours)
    git(root, "init", "-q")
    git(root, "add", ".")
    write(root, mine, "suites/mine.yaml", "runs/mine/results.sqlite")
    copy_shipped(root, tmp_path / "copy")
    assert files(tmp_path / "copy") == set(ours)


def test_tests_see_what_ships_alone():
    assert not any(Path(name).exists() for name in ("plugins", "suites", "runs"))
    places = (registry.HERE, registry.shipped("plugins"))
    for kind in registry.KINDS:
        for member in registry.members(kind).values():
            ours = any(member.path.is_relative_to(place) for place in places)
            assert ours or member.where == "package", member.path
    assert {path.parent for path in available().values()} == {
        registry.shipped("suites")
    }


@pytest.mark.slow
def test_a_users_own_files_turn_no_test_red(tmp_path):
    """A broken one, one of a name that tests use, and one of a name that ships."""
    if not (ROOT / "tests").is_dir():
        pytest.skip("sfnbench is installed without its tests")
    for folder in ("sfnbench", "tests", "benchmarks", "plugins", "suites"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    mine = [
        f"plugins/optimizers/{name}.py" for name in ("broken", "my_method", "sfn")
    ]
    write(tmp_path, *mine, "plugins/problems/lone.py", "suites/mine.yaml")
    chosen = "every_member_is_there or ships_alone or plugins_import or new_optimizer_passes"
    tests = [
        "test_contract.py",
        "test_shipping.py",
        "test_architecture.py",
        "cli/test_new.py",
    ]
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        chosen,
    ]
    words += [f"tests/{name}" for name in tests]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
