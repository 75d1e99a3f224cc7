from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from sfnbench import environment


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A git repository with one commit of a package."""
    (tmp_path / "sfnbench").mkdir()
    (tmp_path / "sfnbench" / "a.py").write_text("a = 1\n")
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.invalid"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*identity, "commit", "-qm", "first"],
    ):
        try:
            subprocess.run(
                ["git", "-C", str(tmp_path), *command],
                check=True,
                capture_output=True,
            )
        except FileNotFoundError:
            pytest.skip("git is not installed")
    return tmp_path


def head(clone: Path) -> str:
    return subprocess.check_output(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], text=True
    ).strip()


def test_facts_are_plain_and_true() -> None:
    facts = environment.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["torch"] == torch.__version__
    assert facts["numpy"] == version("numpy")
    assert facts["python"] == sys.version.split()[0]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["tf32_matmul"] is torch.backends.cuda.matmul.allow_tf32
    assert (facts["device"], facts["device_name"]) == ("cpu", None)
    assert 1 <= facts["n_cores"] <= 10_000
    assert facts["memory_bytes"] > 2**20
    assert {"commit", "dirty", "sfnbench", "scipy", "platform", "cpu"} <= set(facts)


def test_a_gpu_that_is_not_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert environment.describe("cuda")["device_name"] is None


def test_commit_and_whether_the_code_differs_from_it(clone: Path) -> None:
    assert environment.commit(clone) == {"commit": head(clone), "dirty": False}
    (clone / "notes.txt").touch()
    assert environment.commit(clone)["dirty"] is False, (
        "what is no code decides no number"
    )
    (clone / "plugins").mkdir()
    (clone / "plugins" / "mine.py").touch()
    assert environment.commit(clone)["dirty"] is True
    (clone / "plugins" / "mine.py").unlink()
    (clone / "sfnbench" / "a.py").write_text("a = 2\n")
    assert environment.commit(clone)["dirty"] is True


def test_a_git_hook_around_it_does_not_mislead(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = head(clone)
    monkeypatch.setenv("GIT_DIR", str(clone / "elsewhere"))
    assert environment.commit(clone)["commit"] == expected


def test_somebody_elses_clone_around_an_installed_package_is_not_ours(
    clone: Path,
) -> None:
    assert environment.commit(clone / "sfnbench") == {"commit": None, "dirty": None}


def test_no_clone_and_no_git_are_none(
    clone: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert environment.commit(elsewhere) == {"commit": None, "dirty": None}
    monkeypatch.setenv("PATH", str(elsewhere))
    assert environment.commit(clone) == {"commit": None, "dirty": None}


def test_a_worker_believes_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_machine", {})
    environment.assume({"commit": "abc"})
    assert environment.machine() == {"commit": "abc"}


def test_no_torch_is_imported_for_a_cpu() -> None:
    code = (
        "import sys; from sfnbench import environment; environment.describe(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("is_clone", [True, False])
def test_an_extra_is_installed_where_the_package_came_from(
    is_clone, tmp_path, monkeypatch
):
    (tmp_path / "sfnbench").mkdir()
    monkeypatch.setattr(
        environment, "__file__", f"{tmp_path}/sfnbench/environment.py"
    )
    if not is_clone:
        assert (
            environment.install_hint("report") == "pip install 'sfnbench[report]'"
        )
        return
    (tmp_path / "pyproject.toml").touch()
    assert (
        environment.install_hint("report") == f"pip install -e '{tmp_path}[report]'"
    )
    monkeypatch.chdir(tmp_path)
    assert environment.install_hint("report") == "pip install -e '.[report]'"
