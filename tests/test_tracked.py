"""What asv tracks over commits: its settings, finite costs, and that it catches what is planted."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
CONSTRAINTS = dict(
    re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text().lower(), re.M
    )
)


@pytest.fixture
def racing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield import_module("tracked.racing")
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "tracked"
    ]:
        del sys.modules[name]


def settings():
    return json.loads(
        re.sub(r"^ *//.*", "", (ROOT / "asv.conf.json").read_text(), flags=re.M)
    )


def test_the_environment_has_every_dependency_in_the_version_of_constraints():
    (declared,) = re.findall(
        r"^dependencies = \[(.*?)\]",
        (ROOT / "pyproject.toml").read_text(),
        re.M | re.S,
    )
    names = set(re.findall(r'"([\w-]+)', declared))
    pinned = settings()["matrix"]["req"]
    assert set(pinned) == names
    assert pinned == {name: [CONSTRAINTS[name]] for name in names}


def test_costs_are_finite_whatever_a_seed_did(racing):
    rows = [
        {"cost": value} for value in (3.0, None, float("nan"), float("inf"), 1e9)
    ]
    assert racing.capped(rows, "cost", 5)["samples"] == [
        3.0,
        *[5.0 * racing.PENALTY] * 4,
    ]
    assert racing.failures([{"status": "ok"}, {"status": "diverged"}]) == 51


@pytest.mark.parametrize("name", ["escape", "training"])
def test_suites_are_right_and_have_the_seeds_that_a_test_needs(racing, name):
    module = import_module(f"tracked.{name}")
    tracked = getattr(module, name.capitalize())
    runs = racing.planned(name)
    assert {run.method.label for run in runs} == set(tracked.params)
    assert len(runs) == len(tracked.params)
    assert min(len(run.seeds) for run in runs) >= 7


def test_asv_finds_each_benchmark_once_with_its_unit_and_version(racing):
    discovery = pytest.importorskip(
        "asv_runner.discovery",
        reason="asv is not installed: pip install 'sfnbench[track]'",
    )
    found = {
        bench.name: bench
        for bench in discovery.disc_benchmarks(str(ROOT / "benchmarks" / "tracked"))
    }
    own = {
        "escape.Escape": "track_escape_cost",
        "training.Training": "track_final_loss_gap",
    }
    shared = ("track_failures", "track_seconds_a_step", "peakmem_race")
    assert set(found) == {
        f"{place}.{name}" for place, one in own.items() for name in (one, *shared)
    }
    for name, bench in found.items():
        assert bench.version == racing.version(name.partition(".")[0])
        assert bench.unit != "unit"
    assert len({bench.setup_cache_key for bench in found.values()}) == 2


@pytest.fixture
def clone(tmp_path):
    """The working tree as a repository of one commit, whose asv borrows the packages that
    are here."""
    git = shutil.which("git")
    listed = subprocess.run(
        [git, "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = tmp_path / "clone" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(torch.__file__).parents[1].iterdir():
        if not re.match(
            r"(sfnbench|pip|setuptools|wheel|_?virtualenv)\b|.*\.pth$|.*sfnbench",
            path.name,
        ):
            (packages / path.name).symlink_to(path)
    # asv takes PYTHONPATH and ASV_PYTHONPATH away from what it runs
    borrowed = tmp_path / "borrowed.pth"
    borrowed.write_text(f"{packages}\n")
    conf, python = settings(), "{}.{}".format(*sys.version_info)
    conf["pythons"], conf["matrix"]["req"] = [python], {}
    copy = f"import shutil, sysconfig; shutil.copy('{borrowed}', sysconfig.get_path('purelib'))"
    conf["install_command"].append(f'in-dir={{env_dir}} python -c "{copy}"')
    (tmp_path / "clone" / "asv.conf.json").write_text(json.dumps(conf))
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GIT_", "PYTHON"))
    }
    environ["HOME"] = str(home)

    def call(*words):
        done = subprocess.run(
            words,
            cwd=tmp_path / "clone",
            env=environ,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        return done.returncode, done.stdout + done.stderr

    def commit():
        for words in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            ["commit", "-q", "-m", "one"],
        ):
            code, said = call(
                git, "-c", "user.name=x", "-c", "user.email=x@y", *words
            )
            assert code == 0, said

    call.commit, call.folder = commit, tmp_path / "clone"
    commit()
    return call


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_asv_catches_a_planted_slowdown_and_a_planted_loss_of_quality(clone):
    pytest.importorskip(
        "asv", reason="asv is not installed: pip install 'sfnbench[track]'"
    )
    asv = [sys.executable, "-m", "asv"]
    assert clone(*asv, "machine", "--yes")[0] == 0

    def continuous(pattern):
        return clone(
            *asv,
            "continuous",
            "-f",
            "1.3",
            "HEAD~1",
            "HEAD",
            "--bench",
            pattern,
            "--record-samples",
        )

    (clone.folder / "CHANGELOG.md").write_text("another text\n")
    clone.commit()
    code, said = continuous("escape.*(track_escape_cost|track_failures)")
    assert code == 0, said

    descent = clone.folder / "sfnbench" / "optimizers" / "gradient_descent.py"
    descent.write_text(
        planted(
            descent,
            "return theta -",
            "__import__('time').sleep(1e-2)\n        return theta -",
        )
    )
    sfn = clone.folder / "sfnbench" / "optimizers" / "sfn.py"
    sfn.write_text(planted(sfn, "[theta + self.lr *", "[theta + 0.3 * self.lr *"))
    clone.commit()
    code, said = continuous("escape.*(track_escape_cost|track_seconds)")
    assert code == 1, said
    worse = [line for line in said.splitlines() if line.startswith("| +")]
    assert any(
        "track_seconds_a_step" in line and "gradient_descent" in line
        for line in worse
    ), said
    assert any("track_escape_cost" in line and "sfn" in line for line in worse), (
        said
    )


def planted(file, here, instead):
    text = file.read_text()
    assert text.count(here) == 1, file
    return text.replace(here, instead)
